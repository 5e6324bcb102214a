// arena, after kernel/bpf/arena.c: pages that programs and a process share, at the same addresses. Programs allocate and
// free them.
import { errno } from "../../../abi/errno.ts"
import type { Family, SimulatedArena } from "../maps.ts"
import { addressOf, viewOf } from "../memory.ts"
import { refusing } from "./calls.ts"
import { BPF_F_MMAPABLE, BPF_F_NO_USER_CONV, BPF_F_SEGV_ON_FAULT } from "./flags.ts"
import { MOST_MEMORY } from "./values.ts"

const MOST_ARENA = 2 ** 32

export const arena: Family = {
  check: ({ extra, flags, keySize, maxEntries, valueSize }, { pageSize }) => {
    if (keySize !== 0 || valueSize !== 0 || maxEntries === 0 || (flags & BPF_F_MMAPABLE) === 0) return -errno.EINVAL
    if ((flags & ~(BPF_F_SEGV_ON_FAULT | BPF_F_MMAPABLE | BPF_F_NO_USER_CONV)) !== 0) return -errno.EINVAL
    if (extra % BigInt(pageSize) !== 0n) return -errno.EINVAL
    const size = maxEntries * pageSize
    if (size > MOST_ARENA) return -errno.E2BIG
    // Pointers are 32 bits wide in programs: the addresses that a process sees may not cross such a border.
    return extra >> 32n === (extra + BigInt(size) - 1n) >> 32n ? 0 : -errno.ERANGE
  },
  make: ({ memory, pageSize }, { extra, maxEntries }) => {
    const size = maxEntries * pageSize
    // What is not touched costs nothing: most arenas are far larger than what is used of them.
    let buffer = new ArrayBuffer(Math.min(size, MOST_MEMORY))
    const region = memory.map(new Uint8Array(buffer), { user: true })
    const pages = new Set<number>()
    let isMapped = extra !== 0n
    const free = (first: number, count: number): boolean => {
      for (let page = first; page < first + count; page++) if (page >= maxEntries || pages.has(page)) return false
      return true
    }
    const firstFree = (count: number): number | undefined => {
      for (let page = 0; page + count <= maxEntries; page++) if (free(page, count)) return page
      return undefined
    }
    const parts: SimulatedArena = {
      region,
      allocate: (count, page) => {
        if (count <= 0 || count > maxEntries) return undefined
        const first = page === undefined ? firstFree(count) : free(page, count) ? page : undefined
        if (first === undefined) return undefined
        for (let i = 0; i < count; i++) pages.add(first + i)
        return first * pageSize
      },
      release: (offset, count) => {
        const first = Math.floor(offset / pageSize)
        for (let i = first; i < Math.min(first + count, maxEntries); i++) {
          if (pages.delete(i)) region.bytes.fill(0, i * pageSize, (i + 1) * pageSize)
        }
      }
    }
    const show = (shown: ArrayBuffer) => {
      buffer = shown
      region.bytes = new Uint8Array(buffer, 0, Math.min(size, buffer.byteLength))
      region.view = viewOf(region.bytes)
    }
    return {
      arena: parts,
      calls: { ...refusing(errno.EOPNOTSUPP), lookup: () => -errno.EINVAL },
      // The first mapping decides where a process sees the arena; another one could only be at the same address, and
      // this door lets the kernel choose. The same holds where the creator chose the address.
      place: ({ length, offset }) => {
        if (offset !== 0) return -errno.EINVAL
        if (length > MOST_ARENA) return -errno.E2BIG
        return isMapped ? -errno.EINVAL : 0
      },
      mapping: ({ length }) => {
        if (length > MOST_MEMORY) return -errno.ENOMEM
        // A mapping may be longer than the arena: of what is behind it, programs know nothing.
        if (length > buffer.byteLength) show(buffer.transfer(length))
        isMapped = true
        return buffer
      },
      directValue: addressOf(region),
      moved: show,
      free: () => memory.unmap(region)
    }
  }
}
