// One kernel of the two that are compared, through the bare door: any command with any bytes, and what a case needs for it.
import { bpf_attach_type, bpf_cmd } from "../../../src/abi/generated/enums.ts"
import {
  bpf_attr_info,
  bpf_attr_link_create,
  bpf_attr_map_create,
  bpf_attr_map_elem,
  bpf_attr_prog_load
} from "../../../src/abi/generated/structs.ts"
import { type MapType, mapTypes, type ProgramType, programTypes } from "../../../src/abi/names.ts"
import { type FieldValue, fill, type StructLayout } from "../../../src/kernel/attribute.ts"
import type { Block, KernelService } from "../../../src/kernel/Kernel.ts"

const SCRATCH = 1 << 18
const LOG_SIZE = 1 << 16
const ATTR_SIZE = 4096

/** An instruction's 8 bytes. */
export const instruction = (opcode: number, registers: number, offset: number, immediate: number): Uint8Array => {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  bytes[0] = opcode
  bytes[1] = registers
  view.setInt16(2, offset, true)
  view.setInt32(4, immediate | 0, true)
  return bytes
}

export const joined = (...parts: ReadonlyArray<Uint8Array>): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => [...part]))

/** `rDst = immediate` and `rDst = rSrc`, of 64 bits. */
export const set = (dst: number, immediate: number): Uint8Array => instruction(0xb7, dst, 0, immediate)
export const copy = (dst: number, src: number): Uint8Array => instruction(0xbf, dst | (src << 4), 0, 0)
export const add = (dst: number, immediate: number): Uint8Array => instruction(0x07, dst, 0, immediate)
export const call = (helper: number): Uint8Array => instruction(0x85, 0, 0, helper)
export const exit: Uint8Array = instruction(0x95, 0, 0, 0)
/** A 64-bit constant, or with `src` 1 a map by its descriptor. */
export const wide = (dst: number, value: bigint, src = 0): Uint8Array =>
  joined(
    instruction(0x18, dst | (src << 4), 0, Number(BigInt.asIntN(32, value))),
    instruction(0, 0, 0, Number(BigInt.asIntN(32, value >> 32n)))
  )
export const mapInto = (dst: number, fd: number): Uint8Array => wide(dst, BigInt(fd), 1)
/** `*(u64 *)(rDst + offset) = immediate` */
export const storeDouble = (dst: number, offset: number, immediate: number): Uint8Array =>
  instruction(0x7a, dst, offset, immediate)
export const returning = (value: number): Uint8Array => joined(set(0, value), exit)

export type Fields = { readonly [name: string]: FieldValue | undefined }

/** What a program is loaded with; further fields of `bpf_attr` by name. */
export interface Load {
  readonly type: number
  readonly code: Uint8Array
  readonly license?: string
  readonly fields?: Fields
}

export class Bench {
  readonly kernel: KernelService
  readonly attr: Block
  private readonly scratch: Block
  private readonly log: Block
  private used = 0

  constructor(kernel: KernelService) {
    this.kernel = kernel
    const block = (size: number) => {
      const allocated = kernel.allocate(size)
      if (typeof allocated === "number") throw new Error(`no memory: ${allocated}`)
      return allocated
    }
    this.attr = block(ATTR_SIZE)
    this.scratch = block(SCRATCH)
    this.log = block(LOG_SIZE)
  }

  free(): void {
    for (const block of [this.attr, this.scratch, this.log]) this.kernel.free(block)
  }

  /** Before each case: what was placed is void. */
  reset(): void {
    this.used = 0
  }

  /** Puts bytes where the kernel can read and write them; gives their address. */
  place(bytes: Uint8Array | number): bigint {
    const size = typeof bytes === "number" ? bytes : bytes.length
    const at = this.used
    this.used = (this.used + size + 15) & ~7
    if (this.used > SCRATCH) throw new Error("a case places too much")
    if (typeof bytes === "number") this.scratch.bytes.fill(0, at, at + size)
    else this.scratch.bytes.set(bytes, at)
    return BigInt(this.scratch.address + at)
  }

  text(text: string): bigint {
    return this.place(new TextEncoder().encode(`${text}\0`))
  }

  /** What is at an address that was placed, as hexadecimal. */
  hex(address: bigint, size: number): string {
    return Buffer.from(this.bytes(address, size)).toString("hex")
  }

  bytes(address: bigint, size: number): Uint8Array {
    const at = Number(address) - this.scratch.address
    return this.scratch.bytes.slice(at, at + size)
  }

  /** Writes where something was placed. */
  put(address: bigint, bytes: Uint8Array): void {
    this.scratch.bytes.set(bytes, Number(address) - this.scratch.address)
  }

  /** Any command; `size` is that of the whole struct unless given. */
  call(command: number, layout: StructLayout, values: Fields, size = layout.size): number {
    fill(this.attr, layout, values)
    return this.kernel.bpf.call(command, this.attr, size)
  }

  /** Any command with raw bytes. */
  raw(command: number, bytes: Uint8Array, size = bytes.length): number {
    this.attr.bytes.fill(0)
    this.attr.bytes.set(bytes)
    return this.kernel.bpf.call(command, this.attr, size)
  }

  /** A field of the attr after a command. */
  answered({ offset, size }: { readonly offset: number; readonly size: number }): number {
    return size === 8 ? Number(this.attr.view.getBigUint64(offset, true)) : this.attr.view.getUint32(offset, true)
  }

  close(fd: number): void {
    if (fd >= 0) this.kernel.files.close(fd)
  }

  map(type: MapType, keySize: number, valueSize: number, maxEntries: number, fields: Fields = {}): number {
    const fd = this.call(bpf_cmd.BPF_MAP_CREATE, bpf_attr_map_create, {
      map_type: mapTypes[type],
      key_size: keySize,
      value_size: valueSize,
      max_entries: maxEntries,
      ...fields
    })
    if (fd < 0) throw new Error(`map ${type} on ${this.kernel.kind}: ${fd}`)
    return fd
  }

  update(map: number, key: Uint8Array, value: Uint8Array, flags = 0n): number {
    return this.call(bpf_cmd.BPF_MAP_UPDATE_ELEM, bpf_attr_map_elem, {
      map_fd: map,
      key: this.place(key),
      value: this.place(value),
      flags
    })
  }

  load({ code, fields, license = "GPL", type }: Load): number {
    return this.call(bpf_cmd.BPF_PROG_LOAD, bpf_attr_prog_load, {
      prog_type: type,
      insn_cnt: code.length / 8,
      insns: this.place(code),
      license: this.text(license),
      ...fields
    })
  }

  /** The descriptor of a program that must load. */
  program(type: ProgramType, fields: Fields = {}, code: Uint8Array = returning(1)): number {
    const fd = this.load({ type: programTypes[type], code, fields })
    if (fd < 0) {
      throw new Error(
        `program ${type} on ${this.kernel.kind}: ${fd} ${this.why({ type: programTypes[type], code, fields })}`
      )
    }
    return fd
  }

  /** What the verifier says last of a program. */
  why(load: Load): string {
    this.log.bytes[0] = 0
    this.close(this.load({ ...load, fields: { ...load.fields, log_level: 1, log_size: LOG_SIZE, log_buf: this.log } }))
    const text = new TextDecoder().decode(this.log.bytes.slice(0, this.log.bytes.indexOf(0)))
    const lines = text.split("\n").filter((line) =>
      line !== "" && !/^(processed|verification time|stack depth)/.test(line)
    )
    return lines.at(-1) ?? ""
  }

  /** A link of a raw tracepoint's program. */
  link(program: number, target: number, attachType: keyof typeof bpf_attach_type, fields: Fields = {}): number {
    return this.call(bpf_cmd.BPF_LINK_CREATE, bpf_attr_link_create, {
      prog_fd: program,
      target_fd: target,
      attach_type: bpf_attach_type[attachType],
      ...fields
    })
  }

  /** The id of a map, program or link. */
  id(fd: number): number {
    const info = this.place(64)
    this.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, bpf_attr_info, { bpf_fd: fd, info_len: 8, info })
    return new DataView(this.bytes(info, 8).buffer).getUint32(4, true)
  }
}
