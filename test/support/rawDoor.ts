// Programs and maps through the bare door, for tests that run thousands of them on two kernels.
import { bpf_cmd, bpf_map_type } from "../../src/abi/generated/enums.ts"
import {
  bpf_attr_info,
  bpf_attr_map_create,
  bpf_attr_map_elem,
  bpf_attr_prog_load,
  bpf_attr_test,
  bpf_map_info
} from "../../src/abi/generated/structs.ts"
import { programTypes } from "../../src/abi/names.ts"
import { fill, readNumber } from "../../src/kernel/attribute.ts"
import type { Block, KernelService } from "../../src/kernel/Kernel.ts"

const LOG_SIZE = 1 << 20

/** A program as it is handed to a kernel. */
export interface LoadCall {
  readonly type: number
  readonly attachType: number
  readonly attachBtfId: number
  readonly flags: number
  readonly license: string
  readonly bytes: Uint8Array
}

export interface Outcome {
  readonly error: number
  readonly returnValue: number
  readonly data: Uint8Array
}

export class RawDoor {
  readonly kernel: KernelService
  private readonly attr: Block
  private readonly text: Block
  private readonly code: Block
  private readonly log: Block
  private readonly input: Block
  private readonly output: Block
  private readonly fds: Array<number> = []

  constructor(kernel: KernelService) {
    this.kernel = kernel
    const block = (size: number) => kernel.allocate(size) as Block
    this.attr = block(bpf_attr_prog_load.size)
    this.text = block(16)
    this.text.bytes.set(new TextEncoder().encode("GPL"))
    this.code = block(64 * 1024)
    this.log = block(LOG_SIZE)
    this.input = block(4096)
    this.output = block(4096)
  }

  /** Gives everything back. */
  close(): void {
    for (const fd of this.fds) this.kernel.files.close(fd)
    for (const block of [this.attr, this.text, this.code, this.log, this.input, this.output]) this.kernel.free(block)
  }

  map(type: keyof typeof bpf_map_type, keySize: number, valueSize: number, maxEntries: number): number {
    const size = fill(this.attr, bpf_attr_map_create, {
      map_type: bpf_map_type[type],
      key_size: keySize,
      value_size: valueSize,
      max_entries: maxEntries
    })
    const fd = this.kernel.bpf.call(bpf_cmd.BPF_MAP_CREATE, this.attr, size)
    if (fd < 0) throw new Error(`BPF_MAP_CREATE ${type}: ${fd}`)
    this.fds.push(fd)
    return fd
  }

  /** A descriptor, or `-errno`. */
  load(type: keyof typeof programTypes, bytes: Uint8Array, log = false): number {
    this.code.bytes.set(bytes)
    if (log) this.log.bytes[0] = 0
    const size = fill(this.attr, bpf_attr_prog_load, {
      prog_type: programTypes[type],
      insn_cnt: bytes.length / 8,
      insns: this.code,
      license: this.text,
      ...(log ? { log_level: 1, log_size: LOG_SIZE, log_buf: this.log } : {})
    })
    return this.kernel.bpf.call(bpf_cmd.BPF_PROG_LOAD, this.attr, size)
  }

  /** As `load`, with all that a call says. */
  loadCall(call: LoadCall, log = false): number {
    this.code.bytes.set(call.bytes)
    this.text.bytes.fill(0)
    this.text.bytes.set(new TextEncoder().encode(call.license).subarray(0, this.text.size - 1))
    if (log) this.log.bytes[0] = 0
    const size = fill(this.attr, bpf_attr_prog_load, {
      prog_type: call.type,
      insn_cnt: call.bytes.length / 8,
      insns: this.code,
      license: this.text,
      prog_flags: call.flags,
      expected_attach_type: call.attachType,
      ...(call.attachBtfId === 0 ? {} : { attach_btf_id: call.attachBtfId }),
      ...(log ? { log_level: 1, log_size: LOG_SIZE, log_buf: this.log } : {})
    })
    return this.kernel.bpf.call(bpf_cmd.BPF_PROG_LOAD, this.attr, size)
  }

  /** What the verifier says of it. */
  logOf(call: LoadCall): string {
    const fd = this.loadCall(call, true)
    if (fd >= 0) this.kernel.files.close(fd)
    return new TextDecoder().decode(this.log.bytes.slice(0, this.log.bytes.indexOf(0)))
  }

  /** What the verifier says of a program. */
  verdict(type: keyof typeof programTypes, bytes: Uint8Array): string {
    const fd = this.load(type, bytes, true)
    if (fd >= 0) this.kernel.files.close(fd)
    return new TextDecoder().decode(this.log.bytes.slice(0, this.log.bytes.indexOf(0)))
  }

  testRun(fd: number, data: Uint8Array): Outcome {
    this.input.bytes.set(data)
    this.output.bytes.fill(0)
    const size = fill(this.attr, bpf_attr_test, {
      prog_fd: fd,
      data_size_in: data.length,
      data_size_out: 4096,
      data_in: this.input,
      data_out: this.output
    })
    const error = this.kernel.bpf.call(bpf_cmd.BPF_PROG_TEST_RUN, this.attr, Math.max(size, 64))
    return {
      error,
      returnValue: readNumber(this.attr, bpf_attr_test, "retval"),
      data: this.output.bytes.slice(0, readNumber(this.attr, bpf_attr_test, "data_size_out"))
    }
  }

  private element(command: number, fd: number, key: Uint8Array | undefined, value: Uint8Array): number {
    if (key !== undefined) this.input.bytes.set(key)
    this.output.bytes.set(value)
    const size = fill(this.attr, bpf_attr_map_elem, {
      map_fd: fd,
      key: key === undefined ? 0 : this.input,
      value: command === bpf_cmd.BPF_MAP_DELETE_ELEM ? undefined : this.output
    })
    return this.kernel.bpf.call(command, this.attr, size)
  }

  /** `-errno`, or 0. */
  tryUpdate(fd: number, key: Uint8Array, value: Uint8Array): number {
    return this.element(bpf_cmd.BPF_MAP_UPDATE_ELEM, fd, key, value)
  }

  /** Deletes the first entry; false if there is none, or it may not be deleted. */
  remove(fd: number, keySize: number): boolean {
    if (this.element(bpf_cmd.BPF_MAP_GET_NEXT_KEY, fd, undefined, new Uint8Array(keySize)) !== 0) return false
    const key = this.output.bytes.slice(0, keySize)
    return this.element(bpf_cmd.BPF_MAP_DELETE_ELEM, fd, key, new Uint8Array(0)) === 0
  }

  /** What a map is, or `undefined` for a descriptor of none. */
  mapInfo(fd: number) {
    const { bytes, view } = this.output
    bytes.fill(0, 0, bpf_map_info.size)
    const size = fill(this.attr, bpf_attr_info, { bpf_fd: fd, info_len: bpf_map_info.size, info: this.output })
    if (this.kernel.bpf.call(bpf_cmd.BPF_OBJ_GET_INFO_BY_FD, this.attr, size) < 0) return undefined
    const { key_size, max_entries, type, value_size } = bpf_map_info.fields
    return {
      type: view.getUint32(type.offset, true),
      keySize: view.getUint32(key_size.offset, true),
      valueSize: view.getUint32(value_size.offset, true),
      maxEntries: view.getUint32(max_entries.offset, true)
    }
  }

  update(fd: number, key: Uint8Array, value: Uint8Array): void {
    const result = this.tryUpdate(fd, key, value)
    if (result < 0) throw new Error(`BPF_MAP_UPDATE_ELEM: ${result}`)
  }

  lookup(fd: number, key: Uint8Array, size: number): Uint8Array | undefined {
    const result = this.element(bpf_cmd.BPF_MAP_LOOKUP_ELEM, fd, key, new Uint8Array(size))
    return result < 0 ? undefined : this.output.bytes.slice(0, size)
  }

  /** All entries, in the order of their keys' bytes. */
  entries(fd: number, keySize: number, valueSize: number): ReadonlyArray<readonly [key: string, value: string]> {
    const keys: Array<Uint8Array> = []
    let key: Uint8Array | undefined
    while (this.element(bpf_cmd.BPF_MAP_GET_NEXT_KEY, fd, key, new Uint8Array(keySize)) === 0) {
      key = this.output.bytes.slice(0, keySize)
      keys.push(key)
    }
    const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString("hex")
    return keys.map((each) => [hex(each), hex(this.lookup(fd, each, valueSize))] as const)
      .toSorted(([a], [b]) => a < b ? -1 : 1)
  }

  clear(fd: number, keySize: number): void {
    while (this.element(bpf_cmd.BPF_MAP_GET_NEXT_KEY, fd, undefined, new Uint8Array(keySize)) === 0) {
      this.element(bpf_cmd.BPF_MAP_DELETE_ELEM, fd, this.output.bytes.slice(0, keySize), new Uint8Array(0))
    }
  }
}
