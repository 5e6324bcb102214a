import { describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { expect } from "vitest"
import * as Btf from "../../../src/btf/Btf.ts"
import * as Asm from "../../../src/isa/Asm.ts"
import * as Instruction from "../../../src/isa/Instruction.ts"
import * as Snippets from "../../../src/isa/Snippets.ts"
import { debugInfoOf } from "../../../src/program/internal/debugInfo.ts"

/** The line of its own call. */
const line = (): number => {
  const holder: { stack?: string } = {}
  Error.captureStackTrace(holder, line)
  return Number(/:(\d+):\d+\)?$/.exec(holder.stack!.split("\n")[1]!)![1])
}

const infoOf = (items: ReadonlyArray<Asm.Item>, name = "tracer") => {
  const info = debugInfoOf(Result.getOrThrow(Asm.assemble(items)), name)!
  const btf = Result.getOrThrow(Btf.parse(info.btf))
  const records = (bytes: Uint8Array, words: number) => {
    const all = [...new Uint32Array(bytes.slice().buffer)]
    return Array.from({ length: all.length / words }, (_, i) => all.slice(i * words, (i + 1) * words))
  }
  return {
    btf,
    functions: records(info.functions, 2).map(([slot, id]) => ({ slot, type: Option.getOrThrow(Btf.type(btf, id!)) })),
    lines: records(info.lines, 4).map(([slot, file, text, place]) => ({
      slot,
      file: btf.string(file!),
      text: btf.string(text!),
      line: place! >>> 10,
      column: place! & 0x3ff
    }))
  }
}

describe("the debug information of a program", () => {
  it("names its functions with their slots and linkage", () => {
    const { btf, functions } = infoOf([
      Asm.lddw("r1", 1n),
      Asm.callLocal("inner"),
      Asm.callLocal("outer"),
      Asm.exit(),
      Asm.func("inner", [Asm.mov("r0", 0), Asm.exit()]),
      Asm.func("outer", [Asm.mov("r0", 0), Asm.exit()], { global: true, parameters: 2 })
    ], "9.my-tracer")
    expect(functions.map(({ slot, type }) => [slot, type])).toMatchObject([
      [0, { _tag: "Func", name: "_9_my_tracer", linkage: 1 }],
      [5, { _tag: "Func", name: "inner", linkage: 0 }],
      [7, { _tag: "Func", name: "outer", linkage: 1 }]
    ])
    const prototype = Option.getOrThrow(Btf.type(btf, (functions[2]!.type as { type: number }).type))
    expect(prototype).toMatchObject({ _tag: "FuncProto", parameters: [{ name: "r1" }, { name: "r2" }] })
  })

  it("has the file, the line and the call of every instruction", () => {
    const [first, second] = [line() + 1, line() + 2]
    const program = [Asm.mov("r0", 0)]
    program.push(Asm.lddw("r1", 1n), Asm.exit())
    const { lines } = infoOf(program)
    expect(lines.map(({ line, slot, text }) => ({ line, slot, text }))).toEqual([
      { slot: 0, line: first, text: `debugInfo.test.ts:${first}: Asm.mov(...)` },
      { slot: 1, line: second, text: `debugInfo.test.ts:${second}: Asm.lddw(...)` },
      { slot: 3, line: second, text: `debugInfo.test.ts:${second}: Asm.exit(...)` }
    ])
    expect(lines.every(({ file }) => file.endsWith("test/unit/program/debugInfo.test.ts"))).toBe(true)
  })

  it("has one record for a sequence, which is its caller's, and one more at each function's start", () => {
    const at = line() + 1
    const key = Snippets.zero({ offset: -64, size: 64, layout: undefined as never })
    const exit = Asm.exit()
    const { lines } = infoOf([Asm.callLocal("f"), key, exit, Asm.func("f", [exit])])
    expect(lines.map(({ slot }) => slot)).toEqual([0, 1, 9, 10])
    expect(lines[1]!.text).toBe(`debugInfo.test.ts:${at}: Snippets.zero(...)`)
  })

  it("has no lines for instructions that no builder made", () => {
    const made = [Instruction.make({ opcode: 0xb7 }), Instruction.make({ opcode: 0x95 })]
    expect(infoOf(made).lines).toEqual([])
    expect(infoOf([made[0]!, Asm.exit()]).lines).toMatchObject([{ slot: 0, text: "", line: 0 }, { slot: 1 }])
  })

  it("finds texts behind characters of several bytes", () => {
    const source = (file: string) => ({ builder: "Asm.exit", location: { file, line: 3, column: 5 } }) as never
    const { lines } = infoOf([
      Instruction.make({ opcode: 0xb7, source: source("/tmp/größe/日本.ts") }),
      Instruction.make({ opcode: 0x95, source: source("/tmp/b.ts") })
    ])
    expect(lines).toEqual([
      { slot: 0, file: "/tmp/größe/日本.ts", text: "日本.ts:3: Asm.exit(...)", line: 3, column: 5 },
      { slot: 1, file: "/tmp/b.ts", text: "b.ts:3: Asm.exit(...)", line: 3, column: 5 }
    ])
  })

  it("cuts lines and columns to what the format holds", () => {
    const source = { builder: "Asm.exit", location: { file: "a.ts", line: 2 ** 30, column: 5000 } } as never
    expect(infoOf([Instruction.make({ opcode: 0x95, source })]).lines).toMatchObject([{ line: 0x3fffff, column: 1023 }])
  })
})
