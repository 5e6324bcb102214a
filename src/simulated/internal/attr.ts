// The bytes of `union bpf_attr` as a command of the simulated kernel reads and writes them.
import { bpf_attr_prog_load } from "../../abi/generated/structs.ts"
import { viewOf } from "./memory.ts"

/** The size of `union bpf_attr` in this kernel. */
export const ATTR_SIZE = bpf_attr_prog_load.size

/** A command's attr: fields by name, and zero for those that the caller did not pass. */
export class Attr {
  readonly bytes = new Uint8Array(ATTR_SIZE)
  private readonly view = viewOf(this.bytes)
  private readonly answers: Array<{ readonly offset: number; readonly size: number }> = []
  constructor(bytes: Uint8Array) {
    this.bytes.set(bytes.subarray(0, ATTR_SIZE))
  }
  u32({ offset }: { readonly offset: number }): number {
    return this.view.getUint32(offset, true)
  }
  address({ offset }: { readonly offset: number }): bigint {
    return this.view.getBigUint64(offset, true)
  }
  /** A 64-bit number; exact up to 2^53, which is beyond all flags. */
  number({ offset }: { readonly offset: number }): number {
    return Number(this.view.getBigUint64(offset, true))
  }
  i32({ offset }: { readonly offset: number }): number {
    return this.view.getInt32(offset, true)
  }
  /** True if all after a command's last field is zero, without which the kernel refuses it (CHECK_ATTR). */
  endsWith({ offset, size }: { readonly offset: number; readonly size: number }): boolean {
    for (let i = offset + size; i < ATTR_SIZE; i++) if (this.bytes[i] !== 0) return false
    return true
  }
  set({ offset, size }: { readonly offset: number; readonly size: number }, value: number): void {
    if (size === 8) this.view.setBigUint64(offset, BigInt(value), true)
    else this.view.setUint32(offset, value, true)
  }
  /** As `set`, for what the kernel writes (put_user) though the caller passed a smaller size. */
  answer(field: { readonly offset: number; readonly size: number }, value: number): void {
    this.set(field, value)
    this.answers.push(field)
  }
  /** Copies what was written back into the caller's memory, of which it passed the first `size` bytes. */
  writeBack(memory: Uint8Array, size: number): void {
    memory.set(this.bytes.subarray(0, Math.min(size, memory.length)))
    for (const { offset, size } of this.answers) {
      if (offset + size <= memory.length) memory.set(this.bytes.subarray(offset, offset + size), offset)
    }
  }
  text({ offset, size }: { readonly offset: number; readonly size: number }): string {
    const bytes = this.bytes.subarray(offset, offset + size)
    const end = bytes.indexOf(0)
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
  }
}

/** The name of a number in one of the tables of `abi/names.ts`. */
export const nameOf = <T extends string>(table: { readonly [K in T]: number }, value: number): T | undefined =>
  (Object.keys(table) as Array<T>).find((name) => table[name] === value)

/** True for a name that the kernel takes for an object (`bpf_obj_name_cpy`). */
export const isName = (name: string): boolean => /^[A-Za-z0-9_.]{0,15}$/.test(name)
