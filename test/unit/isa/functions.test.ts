import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import * as Asm from "../../../src/isa/Asm.ts"
import * as Instruction from "../../../src/isa/Instruction.ts"

const assemble = (...items: ReadonlyArray<Asm.Item>): Asm.Assembled => Result.getOrThrow(Asm.assemble(items))
const failure = (...items: ReadonlyArray<Asm.Item>): Asm.AsmError => Result.getOrThrow(Result.flip(Asm.assemble(items)))

const here = (): string => {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, here)
  const [, file, line] = /\(?(?:file:\/\/)?([^\s()]+):(\d+):\d+\)?$/.exec(holder.stack!.split("\n")[1]!)!
  return `${file}:${line}`
}

const one = Asm.mov("r0", 1)

describe("functions", () => {
  it("stand behind the entry in their order, wherever they are written", () => {
    const program = assemble(
      Asm.func("second", [Asm.lddw("r0", 1n), Asm.exit()]),
      Asm.callLocal("third"),
      [Asm.func("third", [Asm.exit()])],
      Asm.callLocal("second"),
      Asm.exit()
    )
    expect(program.functions).toEqual([
      { name: undefined, slot: 0, global: false, parameters: 0 },
      { name: "second", slot: 3, global: false, parameters: 0 },
      { name: "third", slot: 6, global: false, parameters: 0 }
    ])
    expect(program.instructions[0]!.immediate).toBe(5)
    expect(program.instructions[1]!.immediate).toBe(1)
  })

  it("begin with the first, where nothing stands outside of them", () => {
    const { functions } = assemble(
      Asm.func("main", [Asm.callLocal("leaf"), Asm.exit()]),
      Asm.func("leaf", [one, Asm.exit()], { global: true, parameters: 2 })
    )
    expect(functions).toEqual([
      { name: "main", slot: 0, global: false, parameters: 0 },
      { name: "leaf", slot: 2, global: true, parameters: 2 }
    ])
  })

  it("call each other forwards, backwards and themselves", () => {
    const { instructions } = assemble(
      Asm.callLocal("a"),
      Asm.exit(),
      Asm.func("a", [Asm.callLocal("a"), Asm.callLocal("b"), Asm.exit()]),
      Asm.func("b", [Asm.callLocal("a"), Asm.exit()])
    )
    expect(instructions.map((i) => i.immediate)).toEqual([1, 0, -1, 1, 0, -4, 0])
  })

  it("have addresses before and behind the instruction that loads them", () => {
    const { instructions } = assemble(
      Asm.ldFunc("r2", "back"),
      Asm.exit(),
      Asm.func("back", [Asm.ldFunc("r3", "back"), Asm.exit()])
    )
    expect(instructions[0]!.immediate).toBe(2n)
    expect(instructions[2]!.immediate).toBe(0xffffffffn) // -1: to itself
  })

  it("have labels of their own", () => {
    const { instructions } = assemble(
      Asm.jeq("r1", 0, "out"),
      Asm.callLocal("f"),
      Asm.label("out"),
      Asm.exit(),
      Asm.func("f", [Asm.jeq("r1", 0, "out"), one, one, Asm.label("out"), Asm.exit()])
    )
    expect(instructions.map((i) => i.offset)).toEqual([1, 0, 0, 2, 0, 0, 0])
  })

  const cases: ReadonlyArray<readonly [string, string, ReadonlyArray<Asm.Item>, string]> = [
    [
      "that nothing calls",
      ...[here(), [Asm.exit(), Asm.func("lonely", [Asm.exit()])]] as const,
      "expected a use of function lonely, got none"
    ],
    ["that are not there", here(), [Asm.callLocal("ghost"), Asm.exit()], "expected a function ghost, got none"],
    [
      "whose address is asked for, and are not there",
      ...[here(), [Asm.ldFunc("r1", "ghost"), Asm.exit()]] as const,
      "expected a function ghost, got none"
    ],
    [
      "without instructions",
      ...[here(), [Asm.callLocal("f"), Asm.exit(), Asm.func("f", [Asm.label("x")])]] as const,
      "expected instructions in function f, got none"
    ],
    [
      "inside of functions",
      ...[here(), [Asm.func("f", [Asm.func("g", [Asm.exit()])])]] as const,
      "expected functions side by side, got g inside of f"
    ],
    [
      "whose name is no identifier",
      ...[here(), [Asm.exit(), Asm.func("f.g", [Asm.exit()])]] as const,
      "expected a C identifier as function name, got f.g"
    ],
    [
      "with too many parameters",
      ...[here(), [Asm.exit(), Asm.func("f", [Asm.exit()], { parameters: 6 })]] as const,
      "expected 0 to 5 parameters, got 6"
    ],
    [
      "of which one falls into the next",
      ...[here(), [Asm.callLocal("f"), Asm.mov("r0", 0), Asm.func("f", [Asm.exit()])]] as const,
      "expected exit() or ja() as the last instruction, got one that falls off the end"
    ],
    [
      "that jump to a label of another",
      ...[here(), [Asm.label("x"), Asm.callLocal("f"), Asm.exit(), Asm.func("f", [Asm.ja("x")])]] as const,
      "expected a label x, got none"
    ]
  ]
  for (const [name, place, items, problem] of cases) {
    it(`${name} are refused, and the error names the line`, () => {
      const error = failure(...items)
      expect(error.message.endsWith(`(${place}): ${problem}`), error.message).toBe(true)
    })
  }

  it("of one name are refused", () => {
    expect(failure(Asm.callLocal("f"), Asm.exit(), Asm.func("f", [Asm.exit()]), Asm.func("f", [Asm.exit()])))
      .toMatchObject({ expected: "one function f", actual: "a second one" })
  })
})

describe("scopes", () => {
  const skip = Asm.scope([Asm.jeq("r1", 0, "skip"), one, Asm.label("skip")])

  it("may be used several times, with labels of the same name", () => {
    const { instructions } = assemble(skip, skip, one, Asm.exit())
    expect(instructions.map((i) => i.offset)).toEqual([1, 0, 1, 0, 0, 0])
  })

  it("see the labels outside, and hide those of the same name", () => {
    const { instructions } = assemble(
      Asm.scope([Asm.jeq("r1", 0, "out"), Asm.jeq("r1", 1, "near"), Asm.label("near")]),
      Asm.label("near"),
      one,
      one,
      Asm.label("out"),
      Asm.exit()
    )
    expect(instructions.map((i) => i.offset)).toEqual([3, 0, 0, 0, 0])
  })

  it("are not seen from outside", () => {
    expect(failure(skip, Asm.ja("skip"))).toMatchObject({ expected: "a label skip", actual: "none" })
  })
})

describe("maps", () => {
  it("are referred to by name, by spec, by what has a spec, and by handle", () => {
    const handle = { fd: 7, spec: { name: "d" } }
    const { handles, maps } = assemble(
      Asm.ldMapFd("r1", "a"),
      Asm.ldMapFd("r1", { name: "b" }),
      Asm.ldMapValue("r1", { spec: { name: "a" } }, 8),
      Asm.ldMapFd("r1", handle),
      Asm.ldMapValue("r1", handle),
      Asm.exit()
    )
    expect([...maps]).toEqual([["a", [0, 4]], ["b", [2]]])
    expect([...handles]).toEqual([[handle, [6, 8]]])
  })

  it("have values whose offset is of 32 bits", () => {
    for (const offset of [-1, 0.5, 2 ** 32, Number.NaN]) {
      expect(failure(Asm.ldMapValue("r1", "m", offset), Asm.exit())).toMatchObject({
        operand: "offset of ldMapValue",
        expected: "an integer from 0 to 4294967295"
      })
    }
  })
})

describe("the frame pointer", () => {
  const [r10, r1] = ["r10", "r1"] as const
  const writes: ReadonlyArray<Instruction.Instruction> = [
    Asm.mov(r10, 0),
    Asm.add(r10, r1),
    Asm.neg32(r10),
    Asm.be(r10, 16),
    Asm.lddw(r10, 1n),
    Asm.ldxw(r10, r1, 0),
    Asm.loadAcquire8(r10, r1, 0),
    Asm.atomicFetchAdd(r1, 0, r10),
    Asm.atomicXchg32(r1, 0, r10)
  ]
  it("is never written", () => {
    for (const instruction of writes) {
      expect(failure(instruction, Asm.exit())).toMatchObject({
        expected: "a register that can be written",
        actual: "r10, the read-only frame pointer"
      })
    }
  })

  it("may be read, stored, compared and stored to", () => {
    const reads = [Asm.mov(r1, r10), Asm.stdw(r10, -8, r10), Asm.atomicAdd(r10, -8, r1), Asm.jeq(r10, r1, "x")]
    expect(assemble(reads, Asm.label("x"), Asm.exit()).instructions.length).toBe(5)
    expect(assemble(Asm.storeRelease64(r10, -8, r10), Asm.atomicCmpxchg(r10, -8, r10), Asm.exit()).bytes.length).toBe(
      24
    )
  })
})

describe("whatever is assembled", () => {
  const circle: Array<Asm.Item> = []
  circle.push(circle)

  it("is refused with a typed error where it is no program", () => {
    const junk: ReadonlyArray<unknown> = [undefined, null, 1, "exit", {}, { _tag: "Label" }, { _tag: "Other" }, () => 1]
    for (const item of junk) {
      expect(Result.isFailure(Asm.assemble([item as Asm.Item, Asm.exit()]))).toBe(
        (item as { _tag?: string } | null)?._tag !== "Label"
      )
    }
    for (const items of [undefined, null, 7, {}] as ReadonlyArray<unknown> as ReadonlyArray<never>) {
      expect(failure(Asm.scope(items), Asm.exit()).expected).toBe("an array of items")
      expect(failure(Asm.func("f", items), Asm.exit()).expected).toBe("an array of items")
      expect(Result.isFailure(Asm.assemble(items))).toBe(true)
    }
    expect(failure(circle)).toMatchObject({ expected: "at most 500 nested arrays" })
    expect(failure(Instruction.make({ opcode: 256 }), Asm.exit()).expected).toBe("an opcode from 0 to 255")
  })

  const number = Schema.Union([Schema.Int, Schema.Number])
  const name = Schema.Literals(["a", "b", "r1", "r10", ""])
  const items = Arbitrary.array(Arbitrary.schema(Schema.Union([
    Schema.Struct({ _tag: Schema.Literal("Label"), name }),
    Schema.Struct({ _tag: Schema.Literal("jump"), name, opcode: number }),
    Schema.Struct({ _tag: Schema.Literal("call"), name }),
    Schema.Struct({ _tag: Schema.Literal("func"), name }),
    Schema.Struct({
      _tag: Schema.Literal("any"),
      opcode: number,
      dst: number,
      src: number,
      offset: number,
      immediate: Schema.Union([number, Schema.BigInt])
    })
  ])))
  it.prop("gives bytes or an AsmError, and never throws", [items], ([parts]) => {
    const made = parts.map((part): Asm.Item => {
      switch (part._tag) {
        case "Label":
          return Asm.label(part.name)
        case "jump":
          return Instruction.make({ opcode: part.opcode, reference: { _tag: "Label", name: part.name } })
        case "call":
          return Asm.callLocal(part.name)
        case "func":
          return Asm.func(part.name, [Asm.exit()])
        case "any":
          return Instruction.make(part)
      }
    })
    const result = Asm.assemble([...made, Asm.exit()])
    if (Result.isFailure(result)) expect(result.failure).toBeInstanceOf(Asm.AsmError)
    else expect(Instruction.encode(result.success.instructions)).toEqual(result.success.bytes)
  })
})
