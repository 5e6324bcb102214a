// BPF_OBJ_PIN and BPF_OBJ_GET: objects by paths in a BPF file system.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { magic } from "../abi/os.ts"
import type { KernelService } from "../kernel/Kernel.ts"
import { type InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Descriptor } from "../kernel/systemCall.ts"
import { checkPath } from "../kernel/validate.ts"
import { acquire, perform, pointToText } from "./command.ts"

const folderOf = (path: string): string => path.includes("/") ? path.replace(/\/[^/]*$/, "") || "/" : "."

const decoder = new TextDecoder()

/** The effective user of this process. */
const userOf = (kernel: KernelService): string => {
  const status = kernel.files.read("/proc/self/status")
  return /^Uid:\s+\d+\s+(\d+)/m.exec(typeof status === "number" ? "" : decoder.decode(status))?.[1] ?? "another"
}

/** Which permission a pin lacks for this user: a map that may only be read is opened with BPF_F_RDONLY. */
const whyForbidden = (kernel: KernelService, path: string): string => {
  const status = kernel.files.status(path)
  const user = `this process is user ${userOf(kernel)}`
  if (typeof status === "number") return `A folder on the way to ${path} may not be entered, and ${user}`
  const { gid, mode, uid } = status
  return `The file's mode is 0${mode.toString(8)}, it belongs to user ${uid} and group ${gid}, and ${user}: ` +
    `open it with the flag BPF_F_RDONLY if it may be read and not written, or have its mode changed (chmod)`
}

/** The kernel answers EPERM, EINVAL or EACCES for a path in another file system: say that, where it is so. */
const explained = (kernel: KernelService, path: string, error: SystemCallError): SystemCallError => {
  if (error.errno === errno.EEXIST) {
    return new SystemCallError({ ...error, hint: "Something is pinned there already: unpin it first, or open it" })
  }
  const folder = folderOf(path)
  const type = kernel.files.fileSystemType(folder)
  if (type === -errno.ENOENT) return new SystemCallError({ ...error, hint: `The folder ${folder} does not exist` })
  if (type >= 0 && type !== magic.BPF_FS_MAGIC) {
    return new SystemCallError({ ...error, hint: `${folder} is in no BPF file system: see BpfFs.ensure` })
  }
  return error.errno === errno.EACCES ? new SystemCallError({ ...error, hint: whyForbidden(kernel, path) }) : error
}

const checked = <A, E, R>(path: string, make: () => Effect.Effect<A, E, R>): Effect.Effect<A, E | InvalidArgument, R> =>
  Effect.suspend((): Effect.Effect<A, E | InvalidArgument, R> => {
    const invalid = checkPath("path", path)
    return invalid === undefined ? make() : Effect.fail(invalid)
  })

/** BPF_OBJ_PIN: an object lives on under a path. */
export const pinObject = (
  kernel: KernelService,
  fd: number,
  subject: string,
  path: string
): Effect.Effect<void, InvalidArgument | SystemCallError> =>
  checked(path, () =>
    Effect.mapError(
      perform(kernel, "BPF_OBJ_PIN", { pathname: pointToText(path), bpf_fd: fd }, { subject: `${subject} at ${path}` }),
      (error) => explained(kernel, path, error)
    ))

/**
 * BPF_OBJ_GET: a descriptor of what is pinned at a path, closed with the scope. `fileFlags` are BPF_F_RDONLY or
 * BPF_F_WRONLY for a map that is opened for one of the two; what permissions the file must give depends on them.
 */
export const acquirePinned = (
  kernel: KernelService,
  path: string,
  fileFlags?: number
): Effect.Effect<Descriptor, InvalidArgument | SystemCallError, Scope.Scope> =>
  checked(path, () =>
    Effect.mapError(
      acquire(
        kernel,
        "BPF_OBJ_GET",
        { pathname: pointToText(path), bpf_fd: 0, file_flags: fileFlags },
        { subject: path }
      ),
      (error) => error.errno === errno.ENOENT ? error : explained(kernel, path, error)
    ))
