import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
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
const struct = (name: string, size: number, members: ReadonlyArray<Member>): BtfType => ({
  _tag: "Struct",
  name,
  size,
  members
})

// As gcc lays it out on x86-64:
//   struct list { struct list *next; u32 id; };
//   struct task { int state; union { u32 a; struct { u8 lo; u8 hi; }; }; char comm[16]; struct list *all;
//                 struct list here[3]; unsigned f1:3; int f2:7; unsigned f3:22; unsigned f4:5; u64 big; };
const types: ReadonlyArray<BtfType> = [
  int("int", 4, true), // 1
  int("unsigned int", 4, false), // 2
  int("unsigned char", 1, false), // 3
  { _tag: "Typedef", name: "u32", type: 2 }, // 4
  { _tag: "Array", type: 3, indexType: 2, length: 16 }, // 5
  struct("list", 16, [member("next", 7, 0), member("id", 4, 64)]), // 6
  { _tag: "Pointer", type: 6 }, // 7
  { _tag: "Array", type: 6, indexType: 2, length: 3 }, // 8
  struct("", 2, [member("lo", 3, 0), member("hi", 3, 8)]), // 9
  { _tag: "Union", name: "", size: 4, members: [member("a", 4, 0), member("", 9, 0)] }, // 10
  int("unsigned long", 8, false), // 11
  struct("task", 104, [
    member("state", 1, 0),
    member("", 10, 32),
    member("comm", 5, 64),
    member("all", 7, 192),
    member("here", 8, 256),
    member("f1", 2, 640, 3),
    member("f2", 1, 643, 7),
    member("f3", 2, 650, 22),
    member("f4", 2, 672, 5),
    member("big", 11, 704),
    member("tail", 14, 768)
  ]), // 12
  { _tag: "Enum", name: "color", size: 4, signed: false, values: [{ name: "RED", value: 3 }] }, // 13
  { _tag: "Array", type: 3, indexType: 2, length: 0 }, // 14
  { _tag: "Enum64", name: "huge", size: 8, signed: false, values: [{ name: "HUGE", value: 2n ** 40n }] }, // 15
  struct("twice", 4, [member("x", 1, 0)]), // 16
  struct("twice", 8, [member("y", 1, 0), member("x", 1, 32)]), // 17
  struct("same", 4, [member("x", 1, 0)]), // 18
  struct("same", 4, [member("x", 1, 0)]), // 19
  { _tag: "FuncProto", returns: 1, parameters: [] }, // 20
  { _tag: "Func", name: "bpf_thing", type: 20, linkage: 0 }, // 21
  { _tag: "Var", name: "bpf_variable", type: 1, linkage: 1 }, // 22
  { _tag: "Typedef", name: "task", type: 1 } // 23
]
const btf = Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode(types))))

const value = (reference: Relocation.KernelReference): number | bigint =>
  Result.getOrThrow(Relocation.resolve(btf, reference))
const problem = (reference: Relocation.KernelReference): Relocation.RelocationError =>
  Result.getOrThrow(Result.flip(Relocation.resolve(btf, reference)))

describe("a member", () => {
  it("lies at its offset, through anonymous members, arrays, nested structs and pointers", () => {
    const offsets: { readonly [path: string]: number } = {
      state: 0,
      a: 4,
      lo: 4,
      hi: 5,
      comm: 8,
      "comm[15]": 23,
      all: 24,
      "here[2]": 64,
      "here[2].id": 72,
      "all->id": 8,
      "all->next->next": 0,
      "here[1].next->id": 8,
      big: 88,
      "tail[1000]": 1096
    }
    for (const [path, offset] of Object.entries(offsets)) {
      expect(value(Asm.coreFieldOffset("task", path)), path).toBe(offset)
    }
  })

  it("has a size and a sign", () => {
    expect(value(Asm.coreFieldSize("task", "comm"))).toBe(16)
    expect(value(Asm.coreFieldSize("task", "here[0]"))).toBe(16)
    expect(value(Asm.coreFieldSize("task", "all"))).toBe(8)
    expect(value(Asm.coreFieldSize("struct task", "all->id"))).toBe(4)
    expect(value(Asm.coreFieldSigned("task", "state"))).toBe(1)
    expect(value(Asm.coreFieldSigned("task", "all->id"))).toBe(0)
    expect(value(Asm.coreFieldSigned("task", "comm"))).toBe(0)
  })

  it("of a few bits lies in the word of its type, and shifts cut it out", () => {
    // Loads of 4 bytes at 80 and 84: f1 is bits 0-2, f2 3-9, f3 10-31, f4 0-4 of the second.
    const fields = { f1: [80, 61, 61, 0], f2: [80, 54, 57, 1], f3: [80, 32, 42, 0], f4: [84, 59, 59, 0] } as const
    for (const [name, [offset, left, right, signed]] of Object.entries(fields)) {
      expect(value(Asm.coreFieldOffset("task", name)), name).toBe(offset)
      expect(value(Asm.coreFieldSize("task", name)), name).toBe(4)
      expect(value(Asm.coreFieldLshift("task", name)), name).toBe(left)
      expect(value(Asm.coreFieldRshift("task", name)), name).toBe(right)
      expect(value(Asm.coreFieldSigned("task", name)), name).toBe(signed)
    }
    expect(value(Asm.coreFieldLshift("task", "hi"))).toBe(56)
    expect(value(Asm.coreFieldRshift("task", "big"))).toBe(0)
  })

  it("exists or not", () => {
    expect(value(Asm.coreFieldExists("task", "all->next->id"))).toBe(1)
    for (const [type, path] of [["task", "nope"], ["nope", "x"], ["task", "state.x"], ["task", "state->x"]] as const) {
      expect(value(Asm.coreFieldExists(type, path)), path).toBe(0)
    }
    expect(value(Asm.coreFieldExists("twice", "y"))).toBe(1)
  })

  it("that is not there is missing, and the error says what", () => {
    const error = problem(Asm.coreFieldOffset("task", "mm->owner"))
    expect(error).toMatchObject({ _tag: "RelocationError", reason: "missing" })
    expect(error.message).toBe("member mm->owner of task: expected a member mm, got none")
    expect(problem(Asm.coreFieldOffset("union task", "a")).message).toBe(
      "member a of union task: expected a type union task, got none"
    )
    expect(problem(Asm.coreFieldOffset("task", "comm[16]")).actual).toBe("one of 16")
    expect(problem(Asm.coreFieldOffset("task", "state[0]")).expected).toBe("an array")
    expect(problem(Asm.coreFieldLshift("task", "comm")).expected).toBe("a field of up to 8 bytes")
  })

  it("of two structs of one name is at one place in both, or at none", () => {
    expect(value(Asm.coreFieldOffset("same", "x"))).toBe(0)
    expect(value(Asm.coreFieldOffset("twice", "y"))).toBe(0)
    expect(problem(Asm.coreFieldOffset("twice", "x"))).toMatchObject({
      reason: "ambiguous",
      actual: "several that differ: 0 for type 16, 4 for type 17",
      candidates: [16, 17]
    })
  })

  it("named by what is no path is invalid on every kernel", () => {
    for (const path of ["", ".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a->", "[0]", "a b", "a.[0]", "1a", "a[0]b"]) {
      expect(problem(Asm.coreFieldExists("task", path)), path).toMatchObject({ reason: "invalid" })
    }
  })

  const anything = Arbitrary.array(
    Arbitrary.schema(Schema.Literals(["a", "->", ".", "[", "]", "1", "all", "next", " "]))
  )
  it.prop("gives a number or a typed error for any path", [anything], ([parts]) => {
    const result = Relocation.resolve(btf, Asm.coreFieldOffset("task", parts.join("")))
    if (Result.isFailure(result)) expect(result.failure).toBeInstanceOf(Relocation.RelocationError)
    else expect(result.success).toBeTypeOf("number")
  })
})

describe("a type", () => {
  it("exists, has a size and an id", () => {
    expect(value(Asm.coreTypeExists("task"))).toBe(1)
    expect(value(Asm.coreTypeExists("typedef task"))).toBe(1)
    expect(value(Asm.coreTypeExists("union task"))).toBe(0)
    expect(value(Asm.coreTypeExists("bpf_thing"))).toBe(0) // a function
    expect(value(Asm.coreTypeSize("task"))).toBe(104)
    expect(value(Asm.coreTypeSize("u32"))).toBe(4)
    expect(value(Asm.coreTypeId("task"))).toBe(12)
    // As libbpf: what is not there has size and id 0, and no instruction is poisoned for it.
    expect(value(Asm.coreTypeSize("nope"))).toBe(0)
    expect(value(Asm.coreTypeId("nope"))).toBe(0)
  })

  it("of which there are two that differ is ambiguous: an error of its own, with both", () => {
    expect(problem(Asm.coreTypeSize("twice"))).toMatchObject({ reason: "ambiguous", candidates: [16, 17] })
    expect(problem(Asm.coreTypeId("twice")).message).toBe(
      "type twice: expected one type twice, got several that differ: 16 for type 16, 17 for type 17"
    )
    expect(problem(Asm.coreTypeId("same")).reason).toBe("ambiguous")
    expect(value(Asm.coreTypeSize("same"))).toBe(4)
    expect(value(Asm.coreTypeExists("twice"))).toBe(1)
    const program = Result.getOrThrow(Asm.assemble([Asm.mov("r0", Asm.coreTypeSize("twice")), Asm.exit()]))
    expect(Result.getOrThrow(Result.flip(patch(program, btf)))).toMatchObject({ reason: "ambiguous" })
  })

  it("may be named with a flavour, which tells variants apart in a program only", () => {
    expect(value(Asm.coreTypeSize("task___old"))).toBe(104)
    expect(value(Asm.coreTypeExists("struct task___v2___x"))).toBe(0)
    expect(value(Asm.coreFieldOffset("struct task___old", "comm"))).toBe(8)
    expect(value(Asm.coreTypeExists("___task"))).toBe(0)
  })

  it("matches a shape", () => {
    const matches = (type: string, shape: Instruction.CoreShape) => value(Asm.coreTypeMatches(type, shape))
    expect(matches("task", { kind: "struct" })).toBe(1)
    expect(matches("task", { kind: "union" })).toBe(0)
    expect(matches("task", { kind: "struct", members: { state: "int", all: "pointer", comm: "array" } })).toBe(1)
    expect(matches("task", { kind: "struct", members: { state: "pointer" } })).toBe(0)
    expect(matches("task", { kind: "struct", members: { nope: "int" } })).toBe(0)
    expect(matches("color", { kind: "enum", values: ["RED"] })).toBe(1)
    expect(matches("color", { kind: "enum", values: ["BLUE"] })).toBe(0)
    expect(matches("nope", { kind: "struct" })).toBe(0)
  })
})

describe("an enumerator", () => {
  it("has a value, of 64 bits too, and exists or not", () => {
    expect(value(Asm.coreEnumValue("color", "RED"))).toBe(3)
    expect(value(Asm.coreEnumValue("enum huge", "HUGE"))).toBe(2n ** 40n)
    expect(value(Asm.coreEnumExists("color", "RED"))).toBe(1)
    expect(value(Asm.coreEnumExists("color", "BLUE"))).toBe(0)
    expect(problem(Asm.coreEnumValue("color", "BLUE")).message).toBe(
      "value BLUE of enum color: expected a value BLUE, got none"
    )
  })
})

describe("a negative enumerator", () => {
  it("is -1 where the kernel's types say it is unsigned, as they do before 6.0", () => {
    const values = [{ name: "INVALID", value: 0xffffffff }, { name: "OFFLINE", value: 0 }]
    const old = Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode([
      { _tag: "Enum", name: "cpuhp_state", size: 4, signed: false, values }
    ]))))
    const reference = Asm.coreEnumValue("cpuhp_state", "INVALID")
    expect(Relocation.resolve(old, reference)).toEqual(Result.succeed(-1))
    const program = Result.getOrThrow(Asm.assemble([Asm.lddwCore("r0", reference), Asm.exit()]))
    const { bytes } = Result.getOrThrow(patch(program, old))
    expect(Result.getOrThrow(Instruction.decode(bytes))[0]!.immediate).toBe(2n ** 64n - 1n)
  })
})

describe("functions and variables of the kernel", () => {
  it("are BTF ids", () => {
    expect(value({ _tag: "Kfunc", name: "bpf_thing" })).toBe(21)
    expect(value({ _tag: "KernelVariable", name: "bpf_variable" })).toBe(22)
    expect(problem({ _tag: "Kfunc", name: "bpf_variable" }).message).toMatch(/^kernel function bpf_variable: /)
  })
})

describe("BTF that is circular", () => {
  it("is searched to an end", () => {
    const circular = Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode([
      struct("loop", 8, [member("", 1, 0), member("", 2, 0)]),
      { _tag: "Typedef", name: "t", type: 2 }
    ]))))
    const result = Relocation.resolve(circular, Asm.coreFieldOffset("loop", "x"))
    expect(Result.isFailure(result)).toBe(true)
  })
})

describe("a patched program", () => {
  const patched = (...items: ReadonlyArray<Asm.Item>) => {
    const { bytes, poisoned } = Result.getOrThrow(patch(Result.getOrThrow(Asm.assemble(items)), btf))
    return { instructions: Result.getOrThrow(Instruction.decode(bytes)), poisoned }
  }

  it("has numbers in offsets of loads and stores, and in immediates", () => {
    const { instructions, poisoned } = patched(
      Asm.ldxw("r0", "r1", Asm.coreFieldOffset("task", "big")),
      Asm.stw("r1", Asm.coreFieldOffset("task", "hi"), 7),
      Asm.stb("r1", Asm.coreFieldOffset("task", "comm"), "r2"),
      Asm.add("r1", Asm.coreFieldOffset("task", "here[2].id")),
      Asm.jeq("r1", 0, "x"),
      Asm.lddwCore("r2", Asm.coreEnumValue("huge", "HUGE")),
      Asm.label("x"),
      Asm.callKfunc("bpf_thing"),
      Asm.ldKernelVariable("r3", "bpf_variable"),
      Asm.exit()
    )
    expect(instructions.map((i) => [i.offset, i.immediate])).toEqual([
      [88, 0],
      [5, 7],
      [8, 0],
      [0, 72],
      [2, 0],
      [0, 2n ** 40n],
      [0, 21],
      [0, 22n],
      [0, 0]
    ])
    expect(poisoned.size).toBe(0)
  })

  it("loads fields in the size that they have", () => {
    const { instructions } = patched(
      Asm.coreLdx("r0", "r1", "task", "hi"),
      Asm.coreLdx("r0", "r1", "task", "state"),
      Asm.coreLdx("r0", "r1", "task", "big"),
      Asm.exit()
    )
    expect(instructions.map((i) => [i.opcode, i.offset])).toEqual([[0x71, 5], [0x61, 0], [0x79, 88], [0x95, 0]])
  })

  it("calls a helper that no kernel has where the number is missing, and says why", () => {
    const { instructions, poisoned } = patched(
      Asm.mov("r0", 0),
      Asm.ldxw("r0", "r1", Asm.coreFieldOffset("task", "nope")),
      Asm.lddwCore("r0", Asm.coreEnumValue("color", "BLUE")),
      Asm.coreLdx("r0", "r1", "task", "f1"),
      Asm.coreLdx("r0", "r1", "task", "comm"),
      Asm.mov("r0", Asm.coreEnumValue("huge", "HUGE")),
      Asm.ldxb("r0", "r1", Asm.coreFieldOffset("task", "tail[40000]")),
      Asm.callKfunc("gone"),
      Asm.exit()
    )
    // A wide load is poisoned in both of its slots.
    expect(instructions.map((i) => i.opcode)).toEqual([0xb7, ...Array.from({ length: 8 }, () => 0x85), 0x95])
    for (const poison of instructions.slice(1, -1)) {
      expect(poison).toMatchObject({ dst: 0, src: 0, offset: 0, immediate: 0xbad2310 })
    }
    expect([...poisoned.keys()]).toEqual([1, 2, 4, 5, 6, 7, 8])
    expect([...poisoned.values()].map((error) => error.expected)).toEqual([
      "a member nope",
      "a value BLUE",
      "a field of whole bytes",
      "a field of 1, 2, 4 or 8 bytes",
      "a number from -2147483648 to 2147483647 (lddwCore takes 64 bits)",
      "an offset of 16 bits (add it to the register)",
      "a Func gone"
    ])
  })

  it("is refused where a reference is wrong on every kernel", () => {
    const program = Result.getOrThrow(Asm.assemble([Asm.mov("r0", Asm.coreFieldOffset("task", "a..b")), Asm.exit()]))
    expect(Result.getOrThrow(Result.flip(patch(program, btf)))).toMatchObject({ reason: "invalid" })
  })

  it("leaves the assembled program as it was", () => {
    const program = Result.getOrThrow(Asm.assemble([Asm.mov("r0", Asm.coreTypeSize("task")), Asm.exit()]))
    const before = program.bytes.slice()
    Result.getOrThrow(patch(program, btf))
    expect(program.bytes).toEqual(before)
  })
})
