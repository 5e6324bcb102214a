// What a new map holds before anyone else sees it: its first entries, and whether it is frozen after that.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freezeMap } from "../../bpf/maps.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { allOrNothing, type Descriptor } from "../../kernel/systemCall.ts"
import * as MapKinds from "../../spec/MapKind.ts"
import type { Contents, MapSpec } from "../../spec/MapSpec.ts"
import { refused } from "./access.ts"
import { createMap } from "./create.ts"
import { strideOf } from "./codec.ts"
import { acquireElements } from "./elements.ts"
import { describe, handleOf } from "./handle.ts"
import { fdOf } from "./objectEntries.ts"
import { entriesInTurn, inTurns } from "./turns.ts"

/** Puts a value where the update takes it from: the bytes for each CPU, or a descriptor. */
const put = (view: DataView, bytes: Uint8Array, value: Contents[number][1], stride: number): void => {
  if (value instanceof Uint8Array) {
    for (let at = 0; at < bytes.length; at += stride) bytes.set(value, at)
    return
  }
  const fd = fdOf(value)
  if (fd instanceof InvalidArgument) throw fd
  bytes.fill(0)
  view.setInt32(0, fd, true)
}

const write = (
  kernel: KernelService,
  descriptor: Descriptor,
  spec: MapSpec,
  contents: Contents
): Effect.Effect<void, InvalidArgument | SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const opened = { kernel, map: handleOf(kernel, descriptor, spec) }
    const isPerCpu = MapKinds.of(spec.type)?.perCpu === true
    const stride = isPerCpu ? strideOf(spec.valueSize) : Math.max(1, spec.valueSize)
    const size = isPerCpu ? stride * kernel.possibleCpus : spec.valueSize
    const elements = yield* acquireElements(opened, { key: spec.keySize, value: size })
    const { key, value } = elements
    const most = entriesInTurn(spec.keySize + size)
    yield* inTurns<InvalidArgument | SystemCallError>(contents.length, most, (start, end) => {
      for (const [k, v] of contents.slice(start, end)) {
        key.bytes.set(k)
        put(value.view, value.bytes.subarray(0, size), v, stride)
        const result = elements.update(0)
        if (result < 0) throw refused(opened, "BPF_MAP_UPDATE_ELEM", result)
      }
    })
  }))

/** Writes a new map's contents, and freezes it where its spec says so. */
const fillMap = (
  kernel: KernelService,
  descriptor: Descriptor,
  spec: MapSpec
): Effect.Effect<void, InvalidArgument | SystemCallError> => {
  const { contents = [], frozen } = spec
  const written = contents.length === 0 ? Effect.void : write(kernel, descriptor, spec, contents)
  return frozen === true
    ? Effect.andThen(
      written,
      Effect.suspend(() => freezeMap(kernel, descriptor.fd, { subject: describe(spec) }))
    )
    : written
}

/** As `createMap`, with its contents. */
export const createFilled = (
  kernel: KernelService,
  spec: MapSpec
): Effect.Effect<Descriptor, InvalidArgument | SystemCallError, Scope.Scope> =>
  spec.contents === undefined && spec.frozen !== true
    ? createMap(kernel, spec)
    : allOrNothing(Effect.tap(createMap(kernel, spec), (descriptor) => fillMap(kernel, descriptor, spec)))
