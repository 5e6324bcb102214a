// Objects by their ids, which all processes see: opening one, and walking over all of a kind.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { errno } from "../abi/errno.ts"
import { bpf_cmd } from "../abi/generated/enums.ts"
import { bpf_attr_get_id } from "../abi/generated/structs.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import type { KernelService } from "../kernel/KernelService.ts"
import { fill, readNumber } from "../kernel/attribute.ts"
import {
  acquireBlock,
  acquireDescriptor,
  type Call,
  type Descriptor,
  run,
  withLocalScope
} from "../kernel/systemCall.ts"

const kinds = {
  map: { open: "BPF_MAP_GET_FD_BY_ID", next: "BPF_MAP_GET_NEXT_ID" },
  program: { open: "BPF_PROG_GET_FD_BY_ID", next: "BPF_PROG_GET_NEXT_ID" }
} as const

/** The kinds of object that are found so. */
export type Kind = keyof typeof kinds

/** A descriptor of an object by its id, closed with the scope. Needs CAP_SYS_ADMIN. */
export const acquireById = (
  kernel: KernelService,
  kind: Kind,
  id: number
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const { open } = kinds[kind]
    const attr = yield* acquireBlock(kernel, bpf_attr_get_id.size)
    const size = fill(attr, bpf_attr_get_id, { start_id: id }) // the same place for the ids of all kinds
    const what: Call = { call: "bpf", command: open, subject: `the ${kind} of id ${id}` }
    return yield* Scope.provide(
      acquireDescriptor(kernel, what, () => kernel.bpf.call(bpf_cmd[open], attr, size)),
      owner
    )
  }))

const { next_id } = bpf_attr_get_id.fields

/** The least id that is greater than `id`; `undefined` at the end. */
const nextId = (kernel: KernelService, kind: Kind, id: number): Effect.Effect<number | undefined, SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const { next } = kinds[kind]
    const attr = yield* acquireBlock(kernel, bpf_attr_get_id.size)
    fill(attr, bpf_attr_get_id, { start_id: id })
    let end = false
    yield* run(kernel, { call: "bpf", command: next }, () => {
      const result = kernel.bpf.call(bpf_cmd[next], attr, next_id.offset + next_id.size)
      end = result === -errno.ENOENT
      return end ? 0 : result
    })
    return end ? undefined : readNumber(attr, bpf_attr_get_id, "next_id")
  }))

/** What `read` tells of each object of a kind, by ascending id. One that goes meanwhile is left out. */
export const listById = <A, E>(
  kernel: KernelService,
  kind: Kind,
  read: (fd: number, subject: string) => Effect.Effect<A, E>
): Stream.Stream<A, E | SystemCallError> => {
  const found = (id: number): Effect.Effect<A | undefined, E | SystemCallError> =>
    acquireById(kernel, kind, id).pipe(
      Effect.map(({ fd }) => read(fd, `the ${kind} of id ${id}`)),
      Effect.catchIf((error) => error.errno === errno.ENOENT, () => Effect.succeed(Effect.undefined)),
      Effect.flatten,
      Effect.scoped
    )
  const after = (id: number): Effect.Effect<readonly [A, number] | undefined, E | SystemCallError> =>
    Effect.flatMap(nextId(kernel, kind, id), (next) =>
      next === undefined
        ? Effect.undefined
        : Effect.flatMap(found(next), (each) => each === undefined ? after(next) : Effect.succeed([each, next])))
  return Stream.unfold(0, after)
}
