/**
 * Storage attached to other objects of the kernel: a value for each socket (`BPF_MAP_TYPE_SK_STORAGE`, kernel 5.2), inode
 * (`INODE_STORAGE`, 5.10), task (`TASK_STORAGE`, 5.11) or cgroup (`CGRP_STORAGE`, 6.2). A value lives as long as its
 * object; programs reach it from the object, with no lookup of a key.
 *
 * From here an object is named by a descriptor: a socket's, an open file's, a pidfd (`openTask`), a cgroup folder's. There
 * is no iteration but by programs. The inode kind needs the BPF LSM to be on.
 *
 * @example
 * ```ts
 * import { Layout, LocalStorage } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const marks = yield* LocalStorage.makeTask({ name: "marks", value: Layout.u64 })
 *   const self = yield* LocalStorage.openTask(process.pid)
 *   yield* marks.update(self, 42n)
 *   return yield* marks.lookup(self) // Option.some(42n)
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { bpf_map_create_flags } from "../abi/generated/enums.ts"
import { acquireDescriptor } from "../kernel/systemCall.ts"
import { checkInteger, INT_MAX } from "../kernel/validate.ts"
import { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import { i32, type Layout, type LayoutError } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { acquireKeyed } from "./internal/keyed.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import { fdOf } from "./internal/objectEntries.ts"
import type { LookupOptions, ObjectReference, UpdateOptions } from "./MapOperations.ts"

/** The kinds, by the objects that values are attached to. */
export type Kind = "sk_storage" | "task_storage" | "inode_storage" | "cgrp_storage"

type Failure = InvalidArgument | LayoutError | SystemCallError

/**
 * Local storage of this process. Its operations fail with `InvalidArgument` for an object whose scope has closed, and
 * with `SystemCallError` for a descriptor of another kind (EBADF, EINVAL or ENOTSOCK).
 */
export interface LocalStorage<V, T extends Kind = Kind> extends BpfMap<T> {
  readonly value: Layout<V>
  /** The value of an object; `None` if it has none. */
  readonly lookup: (object: ObjectReference, options?: LookupOptions) => Effect.Effect<Option.Option<V>, Failure>
  /** Gives an object a value, or replaces the one it has. */
  readonly update: (object: ObjectReference, value: V, options?: UpdateOptions) => Effect.Effect<void, Failure>
  /** Takes an object's value away: true if it had one. */
  readonly delete: (object: ObjectReference) => Effect.Effect<boolean, Failure>
}

/** What local storage is made of: it has as many entries as objects that were given one. */
export interface Options<V> extends Omit<DefineOptions, "maxEntries"> {
  readonly value: Layout<V>
}

const defineKind = <V, const T extends Kind>(type: T, options: Options<V>): Definition<LocalStorage<V, T>> => {
  const { common, options: { value } } = readDefinition(type, options, { value: layout })
  const spec = {
    ...common,
    flags: common.flags | bpf_map_create_flags.BPF_F_NO_PREALLOC,
    keySize: 4,
    valueSize: value.size,
    types: { key: i32, value } // the kernel takes no local storage without BTF
  }
  return defineMap<T, LocalStorage<V, T>>(spec, (opened) =>
    Effect.map(acquireKeyed(opened, i32, value), (keyed) => {
      const of = <A>(object: ObjectReference, f: (fd: number) => Effect.Effect<A, Failure>) =>
        Effect.suspend((): Effect.Effect<A, Failure> => {
          const fd = fdOf(object)
          return fd instanceof InvalidArgument ? Effect.fail(fd) : f(fd)
        })
      return extend(opened.map, {
        value,
        lookup: (object: ObjectReference, lookupOptions?: LookupOptions) =>
          of(object, (fd) => keyed.lookup(fd, lookupOptions)),
        update: (object: ObjectReference, v: V, updateOptions?: UpdateOptions) =>
          of(object, (fd) => keyed.update(fd, v, updateOptions)),
        delete: (object: ObjectReference) => of(object, keyed.delete)
      })
    }))
}

/** Storage of sockets as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const defineSocket = <V>(options: Options<V>): Definition<LocalStorage<V, "sk_storage">> =>
  defineKind("sk_storage", options)

/** Storage of inodes as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const defineInode = <V>(options: Options<V>): Definition<LocalStorage<V, "inode_storage">> =>
  defineKind("inode_storage", options)

/** Storage of tasks as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const defineTask = <V>(options: Options<V>): Definition<LocalStorage<V, "task_storage">> =>
  defineKind("task_storage", options)

/** Storage of cgroups as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const defineCgroup = <V>(options: Options<V>): Definition<LocalStorage<V, "cgrp_storage">> =>
  defineKind("cgrp_storage", options)

/**
 * Creates storage of sockets, closed with the scope. Kernel 5.2.
 *
 * Fails with `InvalidArgument` for a bad name, and with `SystemCallError` if the kernel refuses: EINVAL from kernels that
 * lack the kind.
 */
export const makeSocket = <V>(
  options: Options<V>
): Effect.Effect<LocalStorage<V, "sk_storage">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineSocket(options))

/** Creates storage of inodes, closed with the scope; as `makeSocket` otherwise. Kernel 5.10. */
export const makeInode = <V>(
  options: Options<V>
): Effect.Effect<LocalStorage<V, "inode_storage">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineInode(options))

/** Creates storage of tasks, closed with the scope; as `makeSocket` otherwise. Kernel 5.11. */
export const makeTask = <V>(
  options: Options<V>
): Effect.Effect<LocalStorage<V, "task_storage">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineTask(options))

/** Creates storage of cgroups, closed with the scope; as `makeSocket` otherwise. Kernel 6.2. */
export const makeCgroup = <V>(
  options: Options<V>
): Effect.Effect<LocalStorage<V, "cgrp_storage">, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => defineCgroup(options))

/**
 * Opens a process by its id, as the object of task storage; closed with the scope. It stays that process, even when the id
 * is used again. Kernel 5.3.
 *
 * Fails with `SystemCallError` ESRCH if there is no such process, and EINVAL for the id of a thread.
 */
export const openTask = (
  pid: number
): Effect.Effect<{ readonly fd: number }, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  Effect.gen(function*() {
    const invalid = checkInteger("pid", pid, 1, INT_MAX)
    if (invalid !== undefined) return yield* invalid
    const kernel = yield* Kernel
    const what = { call: "pidfd_open", subject: `process ${pid}` }
    return yield* acquireDescriptor(kernel, what, () => kernel.files.pidfdOpen(pid))
  })
