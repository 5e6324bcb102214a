// Helpers that read memory which need not be there, of the kernel or of the current process.
import { errno } from "../../../abi/errno.ts"
import { AccessFault } from "../memory.ts"
import { type Environment, failed, type Helpers, terminated, u32, unlessFault } from "./environment.ts"

/** Where the kernel's own addresses begin with five-level page tables: below they are the process's, or nobody's. */
const FIRST_OF_KERNEL = 0xff00_0000_0000_0000n
/** TASK_SIZE, with four levels. */
const USER_END = 2n ** 47n - 4096n

/** What an address that is not of a kind says: copy_from_kernel_nofault_allowed(), access_ok(). */
const refusal = (user: boolean, address: bigint, size: number): number => {
  if (user) return address + BigInt(size) > USER_END ? errno.EFAULT : 0
  return address < FIRST_OF_KERNEL ? errno.ERANGE : 0
}

export const probeHelpers = ({ memory }: Environment): Helpers => {
  /** EFAULT, and zeros in its place, for memory that is not there or not of the kind. */
  const probe = (user: boolean) => (destination: bigint, length: bigint, source: bigint): bigint => {
    const size = u32(length)
    const target = memory.find(destination, size) // the program's own memory must be there
    const refused = refusal(user, source, size)
    if (size === 0) return failed(refused)
    return unlessFault(() => {
      const { offset, region } = memory.find(source, size)
      if (region.user !== user) throw new AccessFault(source, "memory of the other kind")
      target.region.bytes.set(region.bytes.subarray(offset, offset + size), target.offset)
      return 0n
    }, () => {
      target.region.bytes.fill(0, target.offset, target.offset + size)
      return failed(refused === 0 ? errno.EFAULT : refused)
    })
  }
  const probeString = (user: boolean) => (destination: bigint, length: bigint, source: bigint): bigint => {
    const size = u32(length)
    const target = memory.find(destination, size)
    if (size === 0) return 0n
    return unlessFault(() => {
      const { offset, region } = memory.find(source, 1)
      if (region.user !== user) throw new AccessFault(source, "memory of the other kind")
      const text = terminated(region.bytes.subarray(offset), size)
      target.region.bytes.set(text, target.offset)
      return BigInt(text.length)
    }, () => {
      target.region.bytes.fill(0, target.offset, target.offset + size)
      return failed(refusal(user, source, 1) || errno.EFAULT)
    })
  }
  const either =
    (ofKernel: typeof kernel, ofUser: typeof kernel) => (to: bigint, length: bigint, from: bigint): bigint =>
      // Without the word, the kernel's reading is chosen by the address (bpf_probe_read_compat).
      from < USER_END ? ofUser(to, length, from) : ofKernel(to, length, from)
  const kernel = probe(false)
  const kernelString = probeString(false)
  return {
    BPF_FUNC_probe_read: either(kernel, probe(true)),
    BPF_FUNC_probe_read_str: either(kernelString, probeString(true)),
    BPF_FUNC_probe_read_kernel: kernel,
    BPF_FUNC_probe_read_user: probe(true),
    BPF_FUNC_probe_read_kernel_str: kernelString,
    BPF_FUNC_probe_read_user_str: probeString(true),
    BPF_FUNC_copy_from_user: (to, length, from) => u32(length) === 0 ? 0n : probe(true)(to, length, from),
    BPF_FUNC_copy_from_user_task: (to, length, from, _task, flags) =>
      flags === 0n ? probe(true)(to, length, from) : failed(errno.EINVAL),
    BPF_FUNC_probe_write_user: (destination, source, length) =>
      unlessFault(() => {
        const { offset, region } = memory.find(destination, u32(length))
        if (!region.user || !region.writable) throw new AccessFault(destination, "memory that is not the process's")
        region.bytes.set(memory.read(source, u32(length)), offset)
        return 0n
      }, () => failed(errno.EPERM))
  }
}
