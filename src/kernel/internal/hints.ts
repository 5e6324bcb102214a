// What may have caused a failed system call. Nothing here runs before a failure: trying is cheaper than probing, and the
// kernel's own answer is the only one that counts.
import { errno } from "../../abi/errno.ts"
import { capabilities } from "../../abi/os.ts"
import type { KernelService } from "../kernelService.ts"
import { type FeatureName, features, isExpected } from "../Features.ts"

/** What a failed call was and needs. */
export interface Failure {
  readonly call: string
  readonly command?: string | undefined
  readonly errno: number
  /** Features that the call makes use of; the first one that this kernel is too old for becomes the hint. */
  readonly features?: ReadonlyArray<FeatureName> | undefined
}

const decoder = new TextDecoder()

const read = (kernel: KernelService, path: string): string | undefined => {
  const content = kernel.files.read(path)
  return typeof content === "number" ? undefined : decoder.decode(content)
}

const effectiveCapabilities = (status: string): bigint | undefined => {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)
  return match === null ? undefined : BigInt(`0x${match[1]}`)
}

/** Any one of the capabilities in `anyOf` gives the right. */
interface Right {
  readonly anyOf: ReadonlyArray<keyof typeof capabilities>
  readonly what: string
}

/** CAP_BPF and CAP_PERFMON were split from CAP_SYS_ADMIN in 5.8. */
const rightsFor = ({ version }: KernelService, { call, command }: Failure): ReadonlyArray<Right> => {
  const split = version.major > 5 || (version.major === 5 && version.minor >= 8)
  const bpf: Right = { anyOf: split ? ["CAP_BPF", "CAP_SYS_ADMIN"] : ["CAP_SYS_ADMIN"], what: "bpf(2)" }
  const perfmon: Right = { anyOf: split ? ["CAP_PERFMON", "CAP_SYS_ADMIN"] : ["CAP_SYS_ADMIN"], what: "Tracing" }
  if (call === "perf_event_open" || call === "ioctl") return [perfmon]
  if (call === "fsopen" || call === "fsconfig" || call === "fsmount") {
    return [{ anyOf: ["CAP_SYS_ADMIN"], what: "Mounting a file system" }]
  }
  if (call !== "bpf") return []
  return command === "BPF_PROG_LOAD" ? [bpf, perfmon] : [bpf]
}

const missingRight = (kernel: KernelService, failure: Failure): string | undefined => {
  const held = effectiveCapabilities(read(kernel, "/proc/self/status") ?? "")
  if (held === undefined) return undefined
  const has = (name: keyof typeof capabilities) => (held >> BigInt(capabilities[name])) & 1n
  const missing = rightsFor(kernel, failure).find((right) => !right.anyOf.some(has))
  if (missing === undefined) return undefined
  const needed = missing.anyOf.join(" or ")
  return `${missing.what} needs ${needed}, which this process lacks: run as root, or grant it with setcap or capsh`
}

/** Maps and programs were charged to RLIMIT_MEMLOCK until 5.11, and hitting it was EPERM. */
const memlock = (kernel: KernelService): string | undefined => {
  if (isExpected(kernel.version, "memcgAccounting")) return undefined
  const limit = /^Max locked memory\s+(\S+)/m.exec(read(kernel, "/proc/self/limits") ?? "")?.[1]
  return limit === undefined || limit === "unlimited"
    ? undefined
    : `Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK, which is ${limit} bytes here: raise it with ulimit -l`
}

const lockdown = (kernel: KernelService): string | undefined => {
  const mode = /\[(integrity|confidentiality)\]/.exec(read(kernel, "/sys/kernel/security/lockdown") ?? "")?.[1]
  return mode === undefined
    ? undefined
    : `The kernel is locked down (${mode}), which forbids BPF access to kernel memory`
}

const tooOld = (kernel: KernelService, needed: ReadonlyArray<FeatureName>): string | undefined => {
  const missing = needed.find((feature) => !isExpected(kernel.version, feature))
  if (missing === undefined) return undefined
  const { name, since } = features[missing]
  return `${name} needs Linux ${since.join(".")} or later, and this is ${kernel.version.release}`
}

/** The likely cause of a failure in words, or `undefined`. Never fails itself. */
export const explain = (kernel: KernelService, failure: Failure): string | undefined => {
  const old = tooOld(kernel, failure.features ?? [])
  switch (failure.errno) {
    case errno.EPERM:
    case errno.EACCES:
      return missingRight(kernel, failure) ?? memlock(kernel) ?? lockdown(kernel) ?? old
    case errno.EINVAL:
    case errno.E2BIG:
    case errno.ENOTSUPP:
    case errno.EOPNOTSUPP:
      return old
    case errno.ENOSYS:
      return old ?? `This kernel was built without ${failure.call}(2)`
    case errno.EMFILE:
      return "This process has as many descriptors open as it may: raise it with ulimit -n"
    default:
      return undefined
  }
}
