// CO-RE as compilers write it: a type of the program's own BTF and an access string, on a kernel with other types.
import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import * as Btf from "../../../src/btf/Btf.ts"
import type { BtfType, Member } from "../../../src/btf/BtfType.ts"
import * as Asm from "../../../src/isa/Asm.ts"
import * as Instruction from "../../../src/isa/Instruction.ts"
import { patch } from "../../../src/relocate/patch.ts"
import * as Relocation from "../../../src/relocate/Relocation.ts"

const int = (name: string, size: number, signed: boolean): BtfType => ({
  _tag: "Int",
  name,
  size,
  bits: size * 8,
  offset: 0,
  signed,
  char: false,
  bool: false
})
const member = (name: string, type: number, bitOffset: number, bitfieldSize = 0): Member => ({
  name,
  type,
  bitOffset,
  bitfieldSize
})
const struct = (name: string, size: number, ...members: ReadonlyArray<Member>): BtfType => ({
  _tag: "Struct",
  name,
  size,
  members
})
const of = (...types: ReadonlyArray<BtfType>): Btf.Btf =>
  Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode(types))))

// What the program was compiled with: a part of the kernel's struct, under a flavour, in another order.
const local = of(
  int("int", 4, true), // 1
  int("unsigned int", 4, false), // 2
  struct("list", 8, member("id", 2, 0), member("prev", 4, 32)), // 3
  int("long", 8, true), // 4
  { _tag: "Array", type: 3, indexType: 2, length: 8 }, // 5
  struct(
    "task___mine",
    104,
    member("pid", 1, 0),
    member("flags", 2, 32),
    member("lists", 5, 64),
    member("", 7, 576),
    member("signed_one", 1, 640),
    member("f", 2, 672, 5),
    member("parent", 8, 704)
  ), // 6
  { _tag: "Union", name: "", size: 8, members: [member("here", 1, 0), member("there", 4, 0)] }, // 7
  { _tag: "Pointer", type: 6 }, // 8
  {
    _tag: "Enum",
    name: "state",
    size: 4,
    signed: false,
    values: [{ name: "RUN", value: 0 }, { name: "DEAD", value: 1 }]
  }, // 9
  struct("gone", 4, member("x", 1, 0)), // 10
  { _tag: "Typedef", name: "callback", type: 12 }, // 11
  { _tag: "FuncProto", returns: 1, parameters: [{ name: "", type: 8 }] }, // 12
  struct("twice", 4, member("x", 1, 0)), // 13
  struct("list", 8, member("id", 2, 0), member("prev", 1, 32)), // 14
  struct("list", 4, member("other", 2, 0)) // 15
)

const kernel = of(
  int("int", 4, true), // 1
  int("unsigned int", 4, false), // 2
  int("unsigned long", 8, false), // 3
  struct("list", 16, member("next", 3, 0), member("prev", 1, 64), member("id", 2, 96)), // 4
  { _tag: "Array", type: 4, indexType: 2, length: 4 }, // 5
  struct(
    "task",
    256,
    member("lists", 5, 0),
    member("", 7, 512),
    member("flags", 3, 576),
    member("signed_one", 11, 640),
    member("f", 2, 707, 5),
    member("parent", 8, 768)
  ), // 6
  struct("", 16, member("pid", 1, 0), member("here", 1, 32)), // 7
  { _tag: "Pointer", type: 6 }, // 8
  { _tag: "Enum", name: "state", size: 4, signed: false, values: [{ name: "DEAD", value: 0xffffffff }] }, // 9
  struct("twice", 4, member("x", 1, 0)), // 10
  int("long", 8, true), // 11
  struct("twice", 8, member("y", 1, 0), member("x", 1, 32)), // 12
  { _tag: "Typedef", name: "callback", type: 14 }, // 13
  { _tag: "FuncProto", returns: 1, parameters: [{ name: "", type: 8 }] } // 14
)

const reference = (
  kind: Instruction.LocalCoreReference["kind"],
  type: number,
  access = "0"
): Instruction.LocalCoreReference => ({ _tag: "LocalCore", kind, types: local, type, access })
const value = (...args: Parameters<typeof reference>): number | bigint =>
  Result.getOrThrow(Relocation.resolve(kernel, reference(...args)))
const problem = (...args: Parameters<typeof reference>): Relocation.RelocationError =>
  Result.getOrThrow(Result.flip(Relocation.resolve(kernel, reference(...args))))

describe("a field by local type and access string", () => {
  it("is found by the names on the way, where the kernel has it", () => {
    expect(value("field_byte_offset", 6, "0:0")).toBe(64) // pid, in an anonymous struct there
    expect(value("field_byte_offset", 6, "0:1")).toBe(72)
    expect(value("field_byte_offset", 6, "0:2:3:0")).toBe(3 * 16 + 12) // lists[3].id
    expect(value("field_byte_offset", 6, "0:3:0")).toBe(68) // here, out of an anonymous union here
    expect(value("field_byte_offset", 6, "2:6")).toBe(2 * 256 + 96) // [2].parent
    expect(value("field_byte_size", 6, "0:2")).toBe(64)
    expect(value("field_signed", 6, "0:0")).toBe(1)
    expect(value("field_byte_offset", 6, "0:5")).toBe(88)
    expect([value("field_lshift_u64", 6, "0:5"), value("field_rshift_u64", 6, "0:5")]).toEqual([56, 59])
  })

  it("exists or not, and one of another kind does not", () => {
    expect(value("field_exists", 6, "0:1")).toBe(1)
    expect(value("field_exists", 6, "0:3:1")).toBe(0) // there
    expect(value("field_exists", 6, "0:2:5")).toBe(0) // lists[5] of 4
    expect(value("field_exists", 10, "0:0")).toBe(0)
    expect(problem("field_byte_offset", 6, "0:3:1")).toMatchObject({ reason: "missing" })
    expect(problem("field_byte_offset", 10, "0:0")).toMatchObject({ reason: "missing" })
  })

  it("that two types of the name have at different places is ambiguous", () => {
    expect(problem("field_byte_offset", 13, "0:0")).toMatchObject({ reason: "ambiguous", candidates: [10, 12] })
    expect(value("field_exists", 13, "0:0")).toBe(1)
  })

  it("that the program's own types do not have is invalid", () => {
    for (const access of ["", "x", "0:99", "0:0:0", "0:", "0:2:9"]) {
      expect(problem("field_exists", 6, access).reason, access).not.toBe("ambiguous")
    }
    expect(problem("field_exists", 6, "0:99")).toMatchObject({ reason: "invalid" })
    expect(problem("field_exists", 99, "0:0")).toMatchObject({ reason: "invalid" })
    expect(problem("field_exists", 7, "0:0")).toMatchObject({ reason: "invalid" }) // it has no name
    const none = { ...reference("field_exists", 6), types: {} as never }
    expect(Result.getOrThrow(Result.flip(Relocation.resolve(kernel, none)))).toMatchObject({ reason: "invalid" })
  })
})

describe("a type and an enumerator by local type", () => {
  it("exist, and have sizes and ids, or 0", () => {
    expect([value("type_exists", 6), value("type_size", 6), value("type_id_target", 6)]).toEqual([1, 256, 6])
    expect([value("type_exists", 10), value("type_size", 10), value("type_id_target", 10)]).toEqual([0, 0, 0])
    expect(value("type_id_local", 10)).toBe(10)
    expect(value("type_exists", 11)).toBe(1)
    expect(problem("type_id_target", 13)).toMatchObject({ reason: "ambiguous" })
  })

  it("match where the kernel's has all that the program's has", () => {
    expect(value("type_matches", 14)).toBe(1)
    expect(value("type_matches", 15)).toBe(0)
    expect(value("type_matches", 3)).toBe(0) // prev is of another type there
  })

  it("have values by name, -1 too", () => {
    expect(value("enumval_value", 9, "1")).toBe(-1)
    expect(value("enumval_exists", 9, "1")).toBe(1)
    expect(value("enumval_exists", 9, "0")).toBe(0)
    expect(problem("enumval_value", 9, "0")).toMatchObject({ reason: "missing" })
    expect(problem("enumval_value", 9, "7")).toMatchObject({ reason: "invalid" })
  })
})

describe("a patched program", () => {
  const patched = (opcode: number, access: string) => {
    const items = [
      Instruction.make({ opcode, dst: 0, src: 1, reference: reference("field_byte_offset", 6, access) }),
      Asm.exit()
    ]
    const { bytes, poisoned } = Result.getOrThrow(patch(Result.getOrThrow(Asm.assemble(items)), kernel))
    return { first: Result.getOrThrow(Instruction.decode(bytes))[0]!, poisoned }
  }

  it("loads as many bytes as an unsigned field has, and none of a signed one that has others", () => {
    const LDXW = 0x61
    const LDXDW = 0x79
    expect(patched(LDXW, "0:1").first).toMatchObject({ opcode: LDXDW, offset: 72 })
    expect(patched(LDXW, "0:0").first).toMatchObject({ opcode: LDXW, offset: 64 })
    const { first, poisoned } = patched(LDXW, "0:4")
    expect(first).toMatchObject({ immediate: 0xbad2310 })
    expect([...poisoned.values()][0]!.message).toContain("task___mine at 0:4: expected a field of 4 bytes")
  })
})
