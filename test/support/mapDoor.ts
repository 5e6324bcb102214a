// The map commands of bpf(2) through the bare door, with what they gave as plain values: for tests that run them on two
// kernels.
import * as Result from "effect/Result"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import {
  bpf_attr_batch,
  bpf_attr_btf_load,
  bpf_attr_info,
  bpf_attr_map_create,
  bpf_attr_map_elem,
  bpf_attr_prog_load,
  bpf_map_info
} from "../../src/abi/generated/structs.ts"
import { type MapType, mapTypes } from "../../src/abi/names.ts"
import { Btf } from "../../src/index.ts"
import { type FieldValue, fill, readNumber } from "../../src/kernel/attribute.ts"
import type { Block, KernelService } from "../../src/kernel/Kernel.ts"

/** What a map is created with; fields of `bpf_attr` by their names. */
export interface Shape {
  readonly type: MapType
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly extra?: number
  /** Describes keys and values as 32-bit numbers. */
  readonly described?: boolean
}

/** What one command gave: `result` is 0 or `-errno`, bytes are in hexadecimal. */
export interface Answer {
  readonly result: number
  readonly [part: string]: unknown
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Bytes that no command is expected to leave where it wrote. */
const FILLER = 0xa5
const ARRAY_BYTES = 1 << 14

export class MapDoor {
  readonly kernel: KernelService
  private readonly blocks: ReadonlyArray<Block>
  private readonly attr: Block
  private readonly keys: Block
  private readonly values: Block
  private readonly cursor: Block
  private readonly kept: Array<number> = []

  constructor(kernel: KernelService) {
    this.kernel = kernel
    const block = (size: number) => kernel.allocate(size) as Block
    this.attr = block(bpf_attr_prog_load.size)
    this.keys = block(ARRAY_BYTES)
    this.values = block(ARRAY_BYTES)
    this.cursor = block(512)
    this.blocks = [this.attr, this.keys, this.values, this.cursor]
  }

  close(): void {
    for (const fd of this.kept) this.kernel.files.close(fd)
    for (const block of this.blocks) this.kernel.free(block)
  }

  /** Keeps a descriptor until the end. */
  keep(fd: number): number {
    if (fd < 0) throw new Error(`no descriptor: ${fd}`)
    this.kept.push(fd)
    return fd
  }

  create(shape: Shape, others: { readonly inner?: number | undefined; readonly btf: number }): number {
    return this.call(bpf_cmd.BPF_MAP_CREATE, bpf_attr_map_create, {
      map_type: mapTypes[shape.type],
      key_size: shape.keySize,
      value_size: shape.valueSize,
      max_entries: shape.maxEntries,
      map_flags: shape.flags,
      inner_map_fd: others.inner,
      map_extra: shape.extra,
      ...shape.described === true ? { btf_fd: others.btf, btf_key_type_id: 1, btf_value_type_id: 1 } : {}
    })
  }

  /** BTF whose type 1 is a 32-bit number. */
  btf(): number {
    const bytes = Result.getOrThrow(Btf.encode([{
      _tag: "Int",
      name: "unsigned int",
      size: 4,
      bits: 32,
      offset: 0,
      signed: false,
      char: false,
      bool: false
    }]))
    this.values.bytes.set(bytes)
    return this.call(bpf_cmd.BPF_BTF_LOAD, bpf_attr_btf_load, { btf: this.values, btf_size: bytes.length })
  }

  /** A program that returns 0. */
  program(type: number): number {
    this.values.bytes.set([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    this.keys.bytes.set(new TextEncoder().encode("GPL\0"))
    return this.call(bpf_cmd.BPF_PROG_LOAD, bpf_attr_prog_load, {
      prog_type: type,
      insn_cnt: 2,
      insns: this.values,
      license: this.keys
    })
  }

  /** The id of a map or program. */
  id(fd: number): number {
    this.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, bpf_attr_info, { bpf_fd: fd, info_len: 8, info: this.values })
    return this.values.u32[1]!
  }

  info(fd: number, fields: ReadonlyArray<keyof typeof bpf_map_info.fields & string>): Answer {
    this.values.bytes.fill(0, 0, bpf_map_info.size)
    const result = this.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, bpf_attr_info, {
      bpf_fd: fd,
      info_len: bpf_map_info.size,
      info: this.values
    })
    return { result, fields: fields.map((name) => readNumber(this.values, bpf_map_info, name)) }
  }

  freeze(fd: number): Answer {
    return { result: this.call(bpf_cmd.BPF_MAP_FREEZE, bpf_attr_map_elem, { map_fd: fd }) }
  }

  /** BPF_MAP_LOOKUP_ELEM or BPF_MAP_LOOKUP_AND_DELETE_ELEM. `given` is where the value goes. */
  lookup(command: number, fd: number, key: Uint8Array | undefined, given: Uint8Array, flags: number): Answer {
    this.values.bytes.set(given)
    const result = this.element(command, fd, key, { value: this.values, flags: BigInt(flags) })
    return { result, value: hex(this.values.bytes.subarray(0, given.length)) }
  }

  update(fd: number, key: Uint8Array | undefined, value: Uint8Array, flags: number): Answer {
    this.values.bytes.set(value)
    const command = bpf_cmd.BPF_MAP_UPDATE_ELEM
    return { result: this.element(command, fd, key, { value: this.values, flags: BigInt(flags) }) }
  }

  delete(fd: number, key: Uint8Array | undefined): Answer {
    return { result: this.element(bpf_cmd.BPF_MAP_DELETE_ELEM, fd, key, {}) }
  }

  next(fd: number, key: Uint8Array | undefined, keySize: number): Answer & { readonly next: string } {
    this.cursor.bytes.fill(FILLER, 0, keySize)
    const result = this.element(bpf_cmd.BPF_MAP_GET_NEXT_KEY, fd, key, { next_key: this.cursor })
    return { result, next: hex(this.cursor.bytes.subarray(0, keySize)) }
  }

  /** A batch command. Its arrays hold the keys and values given; what they hold after it is in the answer. */
  batch(command: number, fd: number, batch: {
    readonly keys: ReadonlyArray<Uint8Array>
    readonly values: ReadonlyArray<Uint8Array>
    readonly keySize: number
    readonly valueBytes: number
    readonly count: number
    readonly from: Uint8Array | undefined
    readonly elementFlags: number
    readonly flags: number
  }): Answer & { readonly entries: ReadonlyArray<string>; readonly cursor: string } {
    const { count, from, keySize, keys, valueBytes, values } = batch
    this.keys.bytes.fill(FILLER, 0, keySize * 16)
    this.values.bytes.fill(FILLER, 0, valueBytes * 16)
    keys.forEach((key, i) => this.keys.bytes.set(key, i * keySize))
    values.forEach((value, i) => this.values.bytes.set(value, i * valueBytes))
    this.cursor.bytes.fill(FILLER, 0, 64)
    this.cursor.bytes.fill(0, 256, 320)
    if (from !== undefined) this.cursor.bytes.set(from, 256)
    fill(this.attr, bpf_attr_batch, {
      out_batch: this.cursor,
      keys: this.keys,
      values: this.values,
      count,
      map_fd: fd,
      elem_flags: BigInt(batch.elementFlags),
      flags: BigInt(batch.flags)
    })
    if (from !== undefined) this.attr.view.setBigUint64(0, BigInt(this.cursor.address + 256), true)
    const result = this.kernel.bpf.call(command, this.attr, bpf_attr_batch.size)
    const done = this.attr.u32[bpf_attr_batch.fields.count.offset / 4]!
    const at = (block: Block, size: number, i: number) => hex(block.bytes.subarray(i * size, (i + 1) * size))
    const entries = Array.from(
      { length: Math.min(done, 16) },
      (_, i) => `${at(this.keys, keySize, i)}=${at(this.values, valueBytes, i)}`
    )
    return { result, done, entries, cursor: hex(this.cursor.bytes.subarray(0, keySize)) }
  }

  private element(
    command: number,
    fd: number,
    key: Uint8Array | undefined,
    fields: { readonly value?: Block; readonly next_key?: Block; readonly flags?: bigint }
  ): number {
    if (key !== undefined) this.keys.bytes.set(key)
    return this.call(command, bpf_attr_map_elem, {
      map_fd: fd,
      key: key === undefined ? undefined : this.keys,
      ...fields
    })
  }

  /** Text that ends in a NUL, in a block that the next command with text or a cursor overwrites. */
  text(text: string): Block {
    this.cursor.bytes.fill(0)
    this.cursor.bytes.set(new TextEncoder().encode(text))
    return this.cursor
  }

  /** Any command: its result. What it wrote into its attr can be read with `written`. */
  call(
    command: number,
    layout: Parameters<typeof fill>[1],
    values: { readonly [name: string]: FieldValue | undefined }
  ): number {
    return this.kernel.bpf.call(command, this.attr, fill(this.attr, layout, values))
  }

  /** A 32-bit field of the last command's attr. */
  written({ offset }: { readonly offset: number }): number {
    return this.attr.view.getUint32(offset, true)
  }
}
