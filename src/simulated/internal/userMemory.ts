// What system calls read and write of the calling process's memory. Anything else is EFAULT.
import { AccessFault, type AddressSpace } from "./memory.ts"

const placeOf = (memory: AddressSpace, address: bigint, size: number) => {
  const place = memory.find(address, size)
  if (!place.region.user) throw new AccessFault(address, "not the process's memory")
  return place
}

/** A copy of the process's bytes (copy_from_user). Nothing is read where there is nothing to read. */
export const readUser = (memory: AddressSpace, address: bigint, size: number): Uint8Array => {
  if (size === 0) return new Uint8Array(0)
  const { offset, region } = placeOf(memory, address, size)
  return region.bytes.slice(offset, offset + size)
}

/** Writes into the process's memory (copy_to_user). */
export const writeUser = (memory: AddressSpace, address: bigint, bytes: Uint8Array): void => {
  if (bytes.length === 0) return
  const { offset, region } = placeOf(memory, address, bytes.length)
  region.bytes.set(bytes, offset)
}

/** A string of the process: what comes before its NUL, or `undefined` if there is none within `most` bytes. */
export const readUserText = (memory: AddressSpace, address: bigint, most: number): string | undefined => {
  const { offset, region } = placeOf(memory, address, 1)
  const bytes = region.bytes.subarray(offset, offset + most)
  const end = bytes.indexOf(0)
  return end < 0 ? undefined : new TextDecoder().decode(bytes.slice(0, end))
}
