// struct_ops as a container, after kernel/bpf/bpf_struct_ops.c: one value, which is set once. What it registers with the
// kernel is not simulated.
import { errno } from "../../../abi/errno.ts"
import type { Family } from "../maps.ts"
import { indexKey, indexOf } from "./calls.ts"
import { BPF_F_LINK, BPF_F_VTYPE_BTF_OBJ_FD } from "./flags.ts"
import { MOST_MEMORY } from "./values.ts"

export const structOps: Family = {
  check: ({ btfVmlinuxValueType, flags, keySize, maxEntries }) => {
    const known = (flags & ~(BPF_F_LINK | BPF_F_VTYPE_BTF_OBJ_FD)) === 0
    return keySize !== 4 || maxEntries !== 1 || !known || btfVmlinuxValueType === 0 ? -errno.EINVAL : 0
  },
  make: (_, { valueSize }) => {
    if (valueSize > MOST_MEMORY) return -errno.ENOMEM
    let value: Uint8Array | undefined
    return {
      calls: {
        valueBytes: valueSize,
        lookup: (key) => indexOf(key) !== 0 ? -errno.ENOENT : value?.slice() ?? new Uint8Array(valueSize),
        update: (key, given, flags) => {
          if (flags !== 0) return -errno.EINVAL
          if (indexOf(key) !== 0) return -errno.E2BIG
          if (value !== undefined) return -errno.EBUSY
          value = given.slice()
          return 0
        },
        delete: () => {
          if (value === undefined) return -errno.ENOENT
          value = undefined
          return 0
        },
        next: (key) => key !== undefined && indexOf(key) === 0 ? -errno.ENOENT : indexKey(0)
      }
    }
  }
}
