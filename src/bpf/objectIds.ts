// Objects by their ids, which all processes see: opening one, and walking over all of a kind.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { deferredStream } from "../effect/onDemand.ts"
import { errno } from "../abi/errno.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import type { KernelService } from "../kernel/kernelService.ts"
import { type Descriptor, run } from "../kernel/systemCall.ts"
import { acquire, callOf, prepare } from "./command.ts"

const kinds = {
  map: { open: "BPF_MAP_GET_FD_BY_ID", next: "BPF_MAP_GET_NEXT_ID" },
  program: { open: "BPF_PROG_GET_FD_BY_ID", next: "BPF_PROG_GET_NEXT_ID" },
  btf: { open: "BPF_BTF_GET_FD_BY_ID", next: "BPF_BTF_GET_NEXT_ID" },
  link: { open: "BPF_LINK_GET_FD_BY_ID", next: "BPF_LINK_GET_NEXT_ID" }
} as const

/** The kinds of object that are found so. */
export type Kind = keyof typeof kinds

/**
 * A descriptor of an object by its id, closed with the scope. `openFlags` are BPF_F_RDONLY or BPF_F_WRONLY for a map that
 * is opened for one of the two. Needs CAP_SYS_ADMIN.
 */
export const acquireById = (
  kernel: KernelService,
  kind: Kind,
  id: number,
  openFlags?: number
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  // `start_id` is the same place as the ids of all kinds.
  acquire(kernel, kinds[kind].open, { start_id: id, open_flags: openFlags }, { subject: `the ${kind} of id ${id}` })

/** The least id that is greater than `id`; `undefined` at the end. */
const nextId = (kernel: KernelService, kind: Kind, id: number): Effect.Effect<number | undefined, SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const { next } = kinds[kind]
    const { call, read } = yield* prepare(kernel, next, { start_id: id })
    let end = false
    yield* run(kernel, callOf(next), () => {
      const result = call()
      end = result === -errno.ENOENT
      return end ? 0 : result
    })
    return end ? undefined : read("next_id")
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
  return deferredStream((stream) => stream.unfold(0, after))
}
