// BPF_OBJ_PIN and BPF_OBJ_GET.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_obj } from "../../abi/generated/structs.ts"
import { errno } from "../../abi/errno.ts"
import { magic } from "../../abi/os.ts"
import { fill } from "../../kernel/attribute.ts"
import {
  acquireBlock,
  acquireDescriptor,
  type Call,
  type Descriptor,
  run,
  withLocalScope
} from "../../kernel/systemCall.ts"
import { checkPath } from "../../kernel/validate.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { type InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"

const pathBlock = (kernel: KernelService, path: string) =>
  Effect.gen(function*() {
    const invalid = checkPath("path", path)
    if (invalid !== undefined) return yield* invalid
    const bytes = new TextEncoder().encode(`${path}\0`)
    const block = yield* acquireBlock(kernel, bytes.length)
    block.bytes.set(bytes)
    return block
  })

const folderOf = (path: string): string => path.replace(/\/[^/]*$/, "") || "/"

/** The kernel answers EPERM, EINVAL or EACCES for a path in another file system: say that, where it is so. */
const explained = (kernel: KernelService, path: string, error: SystemCallError): SystemCallError => {
  if (error.errno === errno.EEXIST) {
    return new SystemCallError({
      ...error,
      hint: "Something is pinned there already: unpin it first, or use BpfMap.pinned"
    })
  }
  const folder = path.includes("/") ? folderOf(path) : "."
  const type = kernel.files.fileSystemType(folder)
  if (type === -errno.ENOENT) return new SystemCallError({ ...error, hint: `The folder ${folder} does not exist` })
  if (type >= 0 && type !== magic.BPF_FS_MAGIC) {
    return new SystemCallError({ ...error, hint: `${folder} is in no BPF file system: see BpfFs.ensure` })
  }
  return error
}

/** Pins an object. */
export const pinObject = (
  kernel: KernelService,
  fd: number,
  subject: string,
  path: string
): Effect.Effect<void, InvalidArgument | SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const pathname = yield* pathBlock(kernel, path)
    const attr = yield* acquireBlock(kernel, bpf_attr_obj.size)
    const size = fill(attr, bpf_attr_obj, { pathname, bpf_fd: fd })
    const what: Call = { call: "bpf", command: "BPF_OBJ_PIN", subject: `${subject} at ${path}` }
    yield* Effect.mapError(
      run(kernel, what, () => kernel.bpf.call(bpf_cmd.BPF_OBJ_PIN, attr, size)),
      (error) => explained(kernel, path, error)
    )
  }))

/** A descriptor of what is pinned at a path, closed with the scope. */
export const acquirePinned = (
  kernel: KernelService,
  path: string
): Effect.Effect<Descriptor, InvalidArgument | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const pathname = yield* pathBlock(kernel, path)
    const attr = yield* acquireBlock(kernel, bpf_attr_obj.size)
    const size = fill(attr, bpf_attr_obj, { pathname, bpf_fd: 0 })
    const what: Call = { call: "bpf", command: "BPF_OBJ_GET", subject: path }
    const get = () => kernel.bpf.call(bpf_cmd.BPF_OBJ_GET, attr, size)
    return yield* Effect.mapError(
      Scope.provide(acquireDescriptor(kernel, what, get), owner),
      (error) => error.errno === errno.ENOENT ? error : explained(kernel, path, error)
    )
  }))
