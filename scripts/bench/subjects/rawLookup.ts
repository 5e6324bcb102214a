import { Kernel } from "effect-ebpf"
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_map_elem } from "../../../src/abi/generated/structs.ts"
import { setPointer } from "../../../src/kernel/Memory.ts"

/** A lookup with an 8-byte key and value as numbers: throws on a miss. Its blocks are freed with the Kernel. */
export const rawLookup = (kernel: Kernel.KernelService, fd: number): (key: number) => number => {
  const { fields, size } = bpf_attr_map_elem
  const allocate = (bytes: number): Kernel.Block => {
    const block = kernel.allocate(bytes)
    if (typeof block === "number") throw new Error(`no memory: errno ${-block}`)
    return block
  }
  const [attr, key, value] = [allocate(size), allocate(8), allocate(8)]
  attr.view.setUint32(fields.map_fd.offset, fd, true)
  setPointer(attr, fields.key.offset, key)
  setPointer(attr, fields.value.offset, value)
  return (k) => {
    key.u32[0] = k
    const result = kernel.bpf(bpf_cmd.BPF_MAP_LOOKUP_ELEM, attr, size)
    if (result < 0) throw new Error(`no key ${k}: errno ${-result}`)
    return value.u32[1]! * 2 ** 32 + value.u32[0]!
  }
}
