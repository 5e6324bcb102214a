// Addresses in memory, and where they are in the file.
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import { elf } from "../../abi/elf.ts"
import type { Elf } from "./image.ts"

/**
 * Where in the file the byte is that is mapped at an address, which is what a uprobe asks for: by the segments that are loaded.
 * `None` for an address that is not in the file, as of `.bss`, and for objects that were not linked.
 */
export const fileOffset: {
  (address: bigint): (file: Elf) => Option.Option<number>
  (file: Elf, address: bigint): Option.Option<number>
} = dual(2, (file: Elf, address: bigint): Option.Option<number> => {
  for (const { address: start, fileSize, offset, type } of file.segments) {
    if (type !== elf.PT_LOAD) continue
    const distance = address - start
    if (distance >= 0n && distance < BigInt(fileSize)) return Option.some(offset + Number(distance))
  }
  return Option.none()
})

/** The address at which a byte of the file is mapped, before the file is moved as a whole (ASLR). `None` if it is not loaded. */
export const addressOf: {
  (offset: number): (file: Elf) => Option.Option<bigint>
  (file: Elf, offset: number): Option.Option<bigint>
} = dual(2, (file: Elf, offset: number): Option.Option<bigint> => {
  for (const { address, fileSize, offset: start, type } of file.segments) {
    if (type !== elf.PT_LOAD) continue
    if (offset >= start && offset < start + fileSize) return Option.some(address + BigInt(offset - start))
  }
  return Option.none()
})
