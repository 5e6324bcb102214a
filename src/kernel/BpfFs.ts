/**
 * The BPF file system: where maps, programs and links are pinned, so that they live on under a path when no process holds
 * them, and other processes find them. It is usually mounted at `/sys/fs/bpf`, and lasts until the next boot.
 *
 * Mounting needs CAP_SYS_ADMIN; pinning needs write access to the folder.
 *
 * @example
 * ```ts
 * import { BpfFs, BpfMap, HashMap, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   yield* BpfFs.ensure()
 *   const counters = yield* HashMap.make({ name: "counters", key: Layout.u32, value: Layout.u64, maxEntries: 64 })
 *   yield* BpfMap.pin(counters, "/sys/fs/bpf/counters")
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import { errno } from "../abi/errno.ts"
import { magic } from "../abi/os.ts"
import { run } from "./systemCall.ts"
import { checkPath } from "./validate.ts"
import { Kernel } from "./Kernel.ts"
import { type InvalidArgument, SystemCallError } from "./KernelError.ts"

/** Where the BPF file system is mounted by convention. */
export const defaultPath = "/sys/fs/bpf"

/** True if a path lies in a BPF file system. Fails with `SystemCallError`, ENOENT for a path that does not exist. */
export const isMounted = (
  path: string = defaultPath
): Effect.Effect<boolean, InvalidArgument | SystemCallError, Kernel> =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    const invalid = checkPath("path", path)
    if (invalid !== undefined) return yield* invalid
    const type = yield* run(kernel, { call: "statfs", subject: path }, () => kernel.files.fileSystemType(path))
    return type === magic.BPF_FS_MAGIC
  })

/**
 * Makes sure that a BPF file system is mounted at `path`: mounts one where there is none, creating the folder if need
 * be. It stays mounted, for other processes too.
 *
 * Fails with `SystemCallError` where mounting is refused: EPERM without CAP_SYS_ADMIN.
 */
export const ensure = (path: string = defaultPath): Effect.Effect<void, InvalidArgument | SystemCallError, Kernel> =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    const invalid = checkPath("path", path)
    if (invalid !== undefined) return yield* invalid
    const mounted = yield* Effect.catchIf(
      isMounted(path),
      (error) => error instanceof SystemCallError && error.errno === errno.ENOENT,
      () => Effect.as(makeFolder(path), false)
    )
    if (!mounted) {
      yield* run(kernel, { call: "mount", subject: `bpf at ${path}` }, () => kernel.files.mount("bpf", path))
    }
  })

/** Creates a folder, in a BPF file system or above it; one that is there already is left as it is. */
export const makeFolder = (path: string): Effect.Effect<void, InvalidArgument | SystemCallError, Kernel> =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    const invalid = checkPath("path", path)
    if (invalid !== undefined) return yield* invalid
    yield* run(kernel, { call: "mkdir", subject: path }, () => {
      const result = kernel.files.mkdir(path)
      return result === -errno.EEXIST ? 0 : result
    })
  })

/**
 * Removes a pin: the object lives on as long as something else refers to it. True if there was one.
 *
 * Fails with `SystemCallError` where it may not be removed.
 */
export const unpin = (path: string): Effect.Effect<boolean, InvalidArgument | SystemCallError, Kernel> =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    const invalid = checkPath("path", path)
    if (invalid !== undefined) return yield* invalid
    if (
      !(yield* Effect.catchIf(
        isMounted(path),
        (error) => error instanceof SystemCallError && error.errno === errno.ENOENT,
        () => Effect.succeed(true)
      ))
    ) {
      return yield* new SystemCallError({
        call: "unlink",
        command: undefined,
        subject: path,
        errno: errno.EPERM,
        hint: "It lies in no BPF file system, so it is no pin: nothing was removed"
      })
    }
    let found = true
    let interrupted = false
    yield* run(kernel, { call: "unlink", subject: path }, () => {
      const result = kernel.files.unlink(path)
      // A call that a signal interrupted may have done its work: then the second finds nothing.
      found = interrupted || result !== -errno.ENOENT
      interrupted ||= result === -errno.EINTR
      return result === -errno.ENOENT ? 0 : result
    })
    return found
  })
