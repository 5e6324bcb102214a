// The flags of BPF_MAP_CREATE by what takes them.
import { bpf_map_create_flags } from "../../../abi/generated/enums.ts"

export const {
  BPF_F_CLONE,
  BPF_F_INNER_MAP,
  BPF_F_LINK,
  BPF_F_MMAPABLE,
  BPF_F_NO_COMMON_LRU,
  BPF_F_NO_PREALLOC,
  BPF_F_NO_USER_CONV,
  BPF_F_NUMA_NODE,
  BPF_F_PRESERVE_ELEMS,
  BPF_F_RDONLY,
  BPF_F_RDONLY_PROG,
  BPF_F_SEGV_ON_FAULT,
  BPF_F_STACK_BUILD_ID,
  BPF_F_TOKEN_FD,
  BPF_F_VTYPE_BTF_OBJ_FD,
  BPF_F_WRONLY,
  BPF_F_WRONLY_PROG,
  BPF_F_ZERO_SEED
} = bpf_map_create_flags

/** What a descriptor may do: no matter to the map itself. */
export const FILE_FLAGS = BPF_F_RDONLY | BPF_F_WRONLY
/** BPF_F_ACCESS_MASK */
export const ACCESS_FLAGS = FILE_FLAGS | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG

/** True if all flags are of the mask, and programs may at least read or write (`bpf_map_flags_access_ok`). */
export const areFlagsOf = (flags: number, mask: number): boolean => {
  const none = BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG
  return (flags & ~mask) === 0 && (flags & none) !== none
}

/** KMALLOC_MAX_SIZE: what the kernel allocates in one piece. */
export const MOST_KMALLOC = 4 << 20
/** BPF_LOCAL_STORAGE_MAX_VALUE_SIZE: 16 bits, less sizeof(struct bpf_local_storage_elem). */
export const MOST_STORAGE = 0xffff - 128
/** PCPU_MIN_UNIT_SIZE: what a per-CPU value may have. */
export const MOST_PER_CPU = 32 << 10

/** `n` rounded up to a power of two. */
export const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(1, n)))
