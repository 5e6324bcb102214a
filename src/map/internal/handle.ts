// What every map handle is built from: an opened map, and the errors that name it.
import * as Effect from "effect/Effect"
import {
  assertHandle,
  closedError as closedErrorOf,
  type HandleKind,
  handleOf as makeHandle,
  isHandle
} from "../../kernel/handle.ts"
import { releasedHint } from "../../kernel/released.ts"
import type { Descriptor } from "../../kernel/systemCall.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { LayoutError } from "../../layout/Layout.ts"
import { BatchError } from "../MapError.ts"
import type { MapKind, MapSpec } from "../../spec/MapSpec.ts"

/** A map of this process. `fd` is -1 once the scope that it was made in has closed. */
export interface BpfMap<out T extends MapKind = MapKind> {
  readonly fd: number
  readonly spec: MapSpec<T>
}

/** A map that a descriptor was acquired for, before it has the operations of its family. */
export interface Opened<T extends MapKind = MapKind> {
  readonly kernel: KernelService
  readonly map: BpfMap<T>
}

const handles: HandleKind = {
  typeId: "~effect-ebpf/BpfMap",
  parts: ["spec"],
  expected: "a map, as the modules of its families make it",
  closed: "The scope that the map was made in has closed",
  idLine: "map_id"
}

const kernelKey = Symbol.for("~effect-ebpf/BpfMap/kernel")

/** The handle of a descriptor: its number stays the live one, and it prints as `hash map "counters", id 7, fd 12`. */
export const handleOf = <T extends MapKind>(
  kernel: KernelService,
  descriptor: Descriptor,
  spec: MapSpec<T>
): BpfMap<T> => {
  const handle = makeHandle(kernel, descriptor, handles, describe(spec), { spec })
  return Object.defineProperty(handle, kernelKey, { value: kernel, enumerable: false })
}

/** True for handles of maps, of any family. */
export const isBpfMap = (value: unknown): value is BpfMap => isHandle(handles, value)

/** Throws `InvalidArgument` for what is no map, or one of another kind than wanted. */
export const assertMap = (field: string, value: unknown, kind?: MapKind): void => {
  assertHandle(field, value, handles)
  const { type } = (value as BpfMap).spec
  if (kind !== undefined && type !== kind) {
    throw new InvalidArgument({ field, expected: `a map of type ${kind}`, actual: `one of type ${type}` })
  }
}

/** `hash map "counters"`, as errors name a map. */
export const describe = (spec: MapSpec): string =>
  `${typeof spec.type === "number" ? `type ${spec.type}` : spec.type} map "${spec.name}"`

/** The error of an operation on a map whose scope has closed, or whose kernel was released. */
export const closedError = (map: BpfMap): SystemCallError => {
  const error = closedErrorOf(handles, describe(map.spec))
  const kernel = (map as { readonly [kernelKey]?: KernelService })[kernelKey]
  return kernel?.isReleased() === true ? new SystemCallError({ ...error, hint: releasedHint }) : error
}

/** A handle's operations beside what every map has; `fd` stays the live one, where a spread would copy its number. */
export const extend = <M extends BpfMap, A extends object>(map: M, operations: A): M & A =>
  Object.defineProperties({ ...operations }, Object.getOwnPropertyDescriptors(map)) as M & A

/** What an operation threw that its caller is to see as a failure. Anything else is a defect, and thrown on. */
export const caught = (
  thrown: unknown
): Effect.Effect<never, BatchError | InvalidArgument | LayoutError | SystemCallError> => {
  if (isExpected(thrown) || thrown instanceof BatchError) return Effect.fail(thrown)
  throw thrown
}

/** True for what an operation on one element throws; anything else is a defect. */
export const isExpected = (thrown: unknown): thrown is InvalidArgument | LayoutError | SystemCallError =>
  thrown instanceof SystemCallError || thrown instanceof LayoutError || thrown instanceof InvalidArgument
