import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import {
  bpf_attr_info,
  bpf_attr_map_create,
  bpf_attr_map_elem,
  bpf_attr_prog_load,
  bpf_attr_test,
  bpf_map_info,
  perf_event_attr
} from "../../../src/abi/generated/structs.ts"
import { fill, readNumber, readText } from "../../../src/kernel/attribute.ts"
import { blockOf } from "./memory.ts"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

// Offsets and sizes as GCC 12 prints them with offsetof and sizeof for linux/bpf.h and linux/perf_event.h.
describe("the generated layouts", () => {
  it("are those of the kernel's headers", () => {
    expect(bpf_attr_map_create.fields.map_type).toEqual({ offset: 0, size: 4 })
    expect(bpf_attr_map_create.fields.max_entries).toEqual({ offset: 12, size: 4 })
    expect(bpf_attr_map_create.fields.map_name).toEqual({ offset: 28, size: 16 })
    expect(bpf_attr_map_elem.fields.map_fd).toEqual({ offset: 0, size: 4 })
    expect(bpf_attr_map_elem.fields.key).toEqual({ offset: 8, size: 8 })
    expect(bpf_attr_map_elem.fields.value).toEqual({ offset: 16, size: 8 })
    expect(bpf_attr_map_elem.fields.next_key).toEqual({ offset: 16, size: 8 })
    expect(bpf_attr_map_elem.fields.flags).toEqual({ offset: 24, size: 8 })
    expect(bpf_attr_prog_load.fields.insn_cnt).toEqual({ offset: 4, size: 4 })
    expect(bpf_attr_prog_load.fields.insns).toEqual({ offset: 8, size: 8 })
    expect(bpf_attr_prog_load.fields.log_buf).toEqual({ offset: 32, size: 8 })
    expect(bpf_attr_prog_load.fields.prog_name).toEqual({ offset: 48, size: 16 })
    expect(bpf_attr_prog_load.fields.expected_attach_type).toEqual({ offset: 68, size: 4 })
    expect(bpf_attr_prog_load.fields.attach_btf_id).toEqual({ offset: 108, size: 4 })
    expect(bpf_attr_info.fields.info).toEqual({ offset: 8, size: 8 })
    expect(bpf_attr_test.fields.retval).toEqual({ offset: 4, size: 4 })
    expect(bpf_attr_test.fields.data_in).toEqual({ offset: 16, size: 8 })
    expect(bpf_attr_test.fields.ctx_in).toEqual({ offset: 48, size: 8 })
    expect(perf_event_attr.fields.config).toEqual({ offset: 8, size: 8 })
    expect(perf_event_attr.fields.sample_type).toEqual({ offset: 24, size: 8 })
    expect(perf_event_attr.fields.wakeup_events).toEqual({ offset: 48, size: 4 })
    expect(bpf_map_info.fields.id).toEqual({ offset: 4, size: 4 })
    expect(bpf_map_info.fields.name).toEqual({ offset: 24, size: 16 })
  })
})

describe("filling a struct", () => {
  it("writes each field at its place, and gives the end of the last", () => {
    const block = blockOf(96)
    const size = fill(block, bpf_attr_map_create, { map_type: 1, key_size: 4, value_size: 8, max_entries: 0xffffffff })
    expect(size).toBe(16)
    expect(hex(block.bytes.subarray(0, 16))).toBe("010000000400000008000000ffffffff")
    expect(hex(block.bytes.subarray(16))).toBe("00".repeat(80))
  })

  it("gives the end of the furthest field, in whatever order they are named", () => {
    const block = blockOf(96)
    expect(fill(block, bpf_attr_map_create, { map_extra: 1, map_type: 1 })).toBe(72)
    expect(fill(block, bpf_attr_map_create, {})).toBe(0)
  })

  it("leaves nothing of what was there before", () => {
    const block = blockOf(96)
    block.bytes.fill(0xff)
    fill(block, bpf_attr_map_create, { map_type: 2 })
    expect(hex(block.bytes)).toBe("02000000" + "00".repeat(92))
  })

  it("leaves out fields that are undefined, which does not lengthen it", () => {
    const block = blockOf(96)
    expect(fill(block, bpf_attr_map_create, { map_type: 2, map_extra: undefined })).toBe(4)
    expect(fill(block, bpf_attr_map_create, { map_type: 2, nonsense: 5 } as never)).toBe(4)
  })

  it("writes pointers to blocks in 64 bits", () => {
    const [attr, key] = [blockOf(32), blockOf(8)]
    expect(fill(attr, bpf_attr_map_elem, { map_fd: 7, key })).toBe(16)
    expect(attr.view.getUint32(0, true)).toBe(7)
    expect(attr.view.getBigUint64(8, true)).toBe(BigInt(key.address))
  })

  it("writes 64-bit numbers whole, and negative ones as two's complement", () => {
    const block = blockOf(128)
    fill(block, perf_event_attr, { config: 0x1122334455667788n, sample_type: 2 ** 40, bp_type: -1 })
    expect(block.view.getBigUint64(8, true)).toBe(0x1122334455667788n)
    expect(block.view.getBigUint64(24, true)).toBe(2n ** 40n)
    expect(block.view.getUint32(perf_event_attr.fields.bp_type.offset, true)).toBe(0xffffffff)
    fill(block, perf_event_attr, { config: -1 })
    expect(block.view.getBigUint64(8, true)).toBe(2n ** 64n - 1n)
  })

  it("writes the bytes of an array, and no more of them than it has", () => {
    const block = blockOf(96)
    const size = fill(block, bpf_attr_map_create, { map_name: new TextEncoder().encode("counters") })
    expect(size).toBe(44)
    expect(hex(block.bytes.subarray(28, 48))).toBe("636f756e74657273000000000000000000000000")
    fill(block, bpf_attr_map_create, { map_name: new Uint8Array(40).fill(0x61) })
    expect(hex(block.bytes.subarray(26, 48))).toBe("0000" + "61".repeat(16) + "00000000")
  })

  it("puts each bit-field at its bits, beside the others", () => {
    const block = blockOf(128)
    const size = fill(block, perf_event_attr, { disabled: 1, exclude_kernel: 1, mmap: 1 })
    expect(size).toBe(48)
    expect(block.view.getBigUint64(40, true)).toBe(1n | (1n << 5n) | (1n << 8n))
    fill(block, perf_event_attr, { inherit: 1 })
    expect(block.view.getBigUint64(40, true)).toBe(2n)
  })

  it("keeps to the bits of a bit-field whatever it is given", () => {
    const block = blockOf(128)
    fill(block, perf_event_attr, { inherit: -1 })
    expect(block.view.getBigUint64(40, true)).toBe(2n)
    fill(block, perf_event_attr, { precise_ip: 7 })
    const { bits, shift } = perf_event_attr.fields.precise_ip
    expect([bits, block.view.getBigUint64(40, true)]).toEqual([2, 3n << BigInt(shift)])
  })

  it("writes fields of 1 and 2 bytes", () => {
    const struct = {
      size: 8,
      fields: { a: { offset: 0, size: 1 }, b: { offset: 2, size: 2 }, c: { offset: 4, size: 1 } }
    }
    const block = blockOf(8)
    expect(fill(block, struct, { a: 0x1ff, b: 0x1234, c: 5 })).toBe(5)
    expect(hex(block.bytes)).toBe("ff00341205000000")
  })

  it("of one bit-field at the end of a block needs no room behind it", () => {
    const struct = { size: 8, fields: { last: { offset: 4, size: 4, shift: 3, bits: 2 } } }
    const block = blockOf(8)
    expect(fill(block, struct, { last: 3 })).toBe(8)
    expect(hex(block.bytes)).toBe("0000000018000000")
  })
})

describe("reading a struct", () => {
  it("gives back numbers of every size", () => {
    const struct = {
      size: 16,
      fields: {
        a: { offset: 0, size: 1 },
        b: { offset: 2, size: 2 },
        c: { offset: 4, size: 4 },
        d: { offset: 8, size: 8 }
      }
    }
    const block = blockOf(16)
    fill(block, struct, { a: 200, b: 60_000, c: 4_000_000_000, d: 2n ** 53n - 1n })
    expect((["a", "b", "c", "d"] as const).map((name) => readNumber(block, struct, name))).toEqual([
      200,
      60_000,
      4_000_000_000,
      2 ** 53 - 1
    ])
  })

  it("gives text up to its NUL, or all of it", () => {
    const block = blockOf(bpf_map_info.size)
    fill(block, bpf_map_info, { name: new TextEncoder().encode("known.name_1\0junk") })
    expect(readText(block, bpf_map_info, "name")).toBe("known.name_1")
    fill(block, bpf_map_info, { name: new Uint8Array(16).fill(0x62) })
    expect(readText(block, bpf_map_info, "name")).toBe("b".repeat(16))
    fill(block, bpf_map_info, {})
    expect(readText(block, bpf_map_info, "name")).toBe("")
  })
})
