// Every builder with every kind of wrong operand: an AsmError at the builder's line, or the number as it was given.
import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { Asm, Instruction, Layout, Snippets } from "../../../src/index.ts"

type Kind =
  | "dst"
  | "register"
  | "either"
  | "either32"
  | "value"
  | "value32"
  | "near"
  | "store8"
  | "store16"
  | "store32"
  | "store64"
  | "offset"
  | "int32"
  | "uint32"
  | "bits16"
  | "bits8"
  | "bits832"
  | "space"
  | "target"
  | "target32"
  | "name"
  | "helper"
  | "function"
  | "map"
  | "wide"
  | "core"

const arithmetic = ["mov", "add", "sub", "mul", "div", "mod", "sdiv", "smod", "or", "and", "xor", "lsh", "rsh", "arsh"]
const jumps = ["jeq", "jne", "jgt", "jge", "jlt", "jle", "jsgt", "jsge", "jslt", "jsle", "jset"]
const atomics = [
  "atomicAdd",
  "atomicOr",
  "atomicAnd",
  "atomicXor",
  "atomicFetchAdd",
  "atomicFetchOr",
  "atomicFetchAnd",
  "atomicFetchXor",
  "atomicXchg",
  "atomicCmpxchg"
]
const widths = ["8", "16", "32", "64"]

/** What each builder takes. */
const builders: Readonly<Record<string, ReadonlyArray<Kind>>> = {
  ...Object.fromEntries(arithmetic.flatMap((n) => [[n, ["dst", "either"]], [`${n}32`, ["dst", "either32"]]])),
  ...Object.fromEntries(
    jumps.flatMap((n) => [[n, ["register", "value", "target"]], [`${n}32`, ["register", "value32", "target"]]])
  ),
  ...Object.fromEntries(
    atomics.flatMap((n) => [n, `${n}32`]).map((n) => [
      n,
      ["register", "near", /Fetch|Xchg/.test(n) ? "dst" : "register"]
    ])
  ),
  ...Object.fromEntries(widths.map((w) => [`loadAcquire${w}`, ["dst", "register", "near"]])),
  ...Object.fromEntries(widths.map((w) => [`storeRelease${w}`, ["register", "near", "register"]])),
  ...Object.fromEntries(
    ["ldxb", "ldxh", "ldxw", "ldxdw", "ldxsb", "ldxsh", "ldxsw"].map((n) => [n, ["dst", "register", "offset"]])
  ),
  stb: ["register", "offset", "store8"],
  sth: ["register", "offset", "store16"],
  stw: ["register", "offset", "store32"],
  stdw: ["register", "offset", "store64"],
  neg: ["dst"],
  neg32: ["dst"],
  movsx: ["dst", "register", "bits832"],
  movsx32: ["dst", "register", "bits8"],
  le: ["dst", "bits16"],
  be: ["dst", "bits16"],
  bswap: ["dst", "bits16"],
  addrSpaceCast: ["dst", "register", "space", "space"],
  lddw: ["dst", "wide"],
  lddwCore: ["dst", "core"],
  coreLdx: ["dst", "register", "name", "name"],
  ldMapFd: ["dst", "map"],
  ldMapValue: ["dst", "map", "uint32"],
  ldKernelVariable: ["dst", "name"],
  ldabsb: ["int32"],
  ldabsh: ["int32"],
  ldabsw: ["int32"],
  ldindb: ["register", "int32"],
  ldindh: ["register", "int32"],
  ldindw: ["register", "int32"],
  ja: ["target"],
  gotol: ["target32"],
  gotox: ["register"],
  mayGoto: ["target"],
  call: ["helper"],
  callLocal: ["function"],
  callKfunc: ["name"],
  callx: ["register"],
  ldFunc: ["dst", "function"],
  label: ["name"],
  exit: []
}

const isInt = (u: unknown, minimum: number, maximum: number) =>
  Number.isInteger(u) && (u as number) >= minimum && (u as number) <= maximum
const INT32 = [-(2 ** 31), 2 ** 31 - 1] as const
const registers = new Set<unknown>(Array.from({ length: 11 }, (_, n) => `r${n}`))
const isRegister = (u: unknown) => registers.has(u)
const isName = (u: unknown) => typeof u === "string" && u !== ""
const core = Asm.coreFieldOffset("task_struct", "pid")

/** What each kind of operand admits, said again here. */
const admits: Readonly<Record<Kind, (u: unknown) => boolean>> = {
  dst: (u) => isRegister(u) && u !== "r10",
  register: isRegister,
  either: (u) => isRegister(u) || isInt(u, ...INT32) || u === core,
  either32: (u) => isRegister(u) || isInt(u, -(2 ** 31), 2 ** 32 - 1) || u === core,
  value: (u) => isRegister(u) || isInt(u, ...INT32),
  value32: (u) => isRegister(u) || isInt(u, -(2 ** 31), 2 ** 32 - 1),
  near: (u) => isInt(u, -32768, 32767),
  store8: (u) => isRegister(u) || isInt(u, -128, 255),
  store16: (u) => isRegister(u) || isInt(u, -32768, 65535),
  store32: (u) => isRegister(u) || isInt(u, -(2 ** 31), 2 ** 32 - 1),
  store64: (u) => isRegister(u) || isInt(u, ...INT32),
  offset: (u) => isInt(u, -32768, 32767) || u === core,
  int32: (u) => isInt(u, ...INT32),
  uint32: (u) => isInt(u, 0, 2 ** 32 - 1),
  bits16: (u) => u === 16 || u === 32 || u === 64,
  bits8: (u) => u === 8 || u === 16,
  bits832: (u) => u === 8 || u === 16 || u === 32,
  space: (u) => u === 0 || u === 1,
  target: (u) => isName(u) || isInt(u, -32768, 32767),
  target32: (u) => isName(u) || isInt(u, ...INT32),
  name: isName,
  helper: (u) => isInt(u, 0, INT32[1]) || u === "map_lookup_elem",
  function: (u) => isName(u) || isInt(u, ...INT32),
  map: isName,
  wide: (u) => typeof u === "bigint" && u >= -(2n ** 63n) && u < 2n ** 64n,
  core: (u) => u === core
}

const good: Readonly<Record<Kind, unknown>> = {
  dst: "r3",
  register: "r4",
  either: 7,
  either32: 7,
  value: 7,
  value32: 7,
  near: 8,
  store8: 7,
  store16: 7,
  store32: 7,
  store64: 7,
  offset: 8,
  int32: 12,
  uint32: 16,
  bits16: 32,
  bits8: 8,
  bits832: 32,
  space: 0,
  target: "somewhere",
  target32: "somewhere",
  name: "name",
  helper: "map_lookup_elem",
  function: "inner",
  map: "map",
  wide: 5n,
  core
}

const hostile: ReadonlyArray<unknown> = [
  undefined,
  null,
  true,
  "",
  "r1",
  "r10",
  "r11",
  "R1",
  "5",
  "map_lookup_elem",
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  0.5,
  -0.5,
  -0,
  0,
  1,
  -1,
  8,
  12,
  16,
  ...[7, 8, 15, 16, 31, 32, 53].flatMap((b) => [2 ** b - 1, 2 ** b, -(2 ** b), -(2 ** b) - 1]),
  5n,
  -(2n ** 63n) - 1n,
  2n ** 64n,
  2n ** 64n - 1n,
  [],
  [1],
  {},
  { _tag: "Core" },
  { ...core, type: undefined },
  { spec: undefined },
  { spec: {} },
  { fd: 5, spec: { name: "" } },
  core,
  Symbol("s"),
  () => 1,
  new Date(0)
]

const make = (name: string, operands: ReadonlyArray<unknown>): Asm.Item =>
  ((Asm as unknown as Record<string, (...operands: ReadonlyArray<unknown>) => Asm.Item>)[name]!)(...operands)

/** The item in a program where its names are known. */
const assembled = (item: Asm.Item) =>
  Asm.assemble([
    (item as Asm.Label)._tag === "Label" ? item : [item, Asm.label("somewhere")],
    ["r1", "r10", "r11", "R1", "5", "map_lookup_elem"].map((name) => Asm.label(name)).filter(
      (l) => (item as Asm.Label)._tag !== "Label" || l.name !== (item as Asm.Label).name
    ),
    Asm.callLocal("inner"),
    Asm.exit(),
    Asm.func("inner", [Asm.exit()])
  ])

const check = (name: string, kinds: ReadonlyArray<Kind>, operands: ReadonlyArray<unknown>) => {
  const item = make(name, operands)
  const said = `${name}(${operands.map((o) => typeof o === "bigint" ? `${o}n` : String(o)).join(", ")})`
  const wrong = kinds.findIndex((kind, i) => !admits[kind](operands[i]))
  const result = assembled(item)
  if (wrong >= 0) {
    if (Result.isSuccess(result)) throw new Error(`${said} was assembled`)
    expect(result.failure, said).toBeInstanceOf(Asm.AsmError)
    expect(result.failure.location, said).toMatch(/operands\.test\.ts:\d+$/)
    expect(result.failure.index, said).toBe(0)
    expect(result.failure.message.length, said).toBeLessThan(400)
    return
  }
  if (Result.isFailure(result)) {
    // Names that nothing has, though they are names.
    expect(kinds.some((kind) => kind === "function"), `${said}: ${result.failure.message}`).toBe(true)
    return
  }
  // What was given stands in the bytes: the immediate, extended as the kernel does it, is the number.
  const [first] = Result.getOrThrow(Instruction.decode(result.success.bytes))
  for (const [i, kind] of kinds.entries()) {
    const operand = operands[i]
    if (typeof operand !== "number") continue
    const exact = /^(either|value|store64|store32|int32|helper|bits16)/.test(kind)
    if (exact) expect(Number(BigInt.asIntN(32, BigInt(first!.immediate))), said).toBe(operand | 0)
    if (kind === "either" || kind === "value" || kind === "store64") expect(first!.immediate, said).toBe(operand + 0)
    if (kind === "offset" || kind === "near" || kind === "target") expect(first!.offset, said).toBe(operand + 0)
  }
}

describe("every builder", () => {
  it("is named here", () => {
    const others = new Set(["assemble", "func", "scope", "coreRead", "AsmError"])
    const names = Object.keys(Asm).filter((name) => !others.has(name) && !/^core(Field|Type|Enum)/.test(name))
    expect(names.toSorted()).toEqual(Object.keys(builders).toSorted())
  })

  for (const [name, kinds] of Object.entries(builders)) {
    it(`checks each operand of ${name}`, () => {
      for (let at = 0; at < kinds.length; at++) {
        for (const value of hostile) {
          if (value === undefined && /^(ldind|ldMapValue)/.test(name) && at === kinds.length - 1) continue
          check(name, kinds, kinds.map((kind, i) => i === at ? value : good[kind]))
        }
      }
      // Missing ones too, but for those that have a default.
      for (let given = 0; given < kinds.length; given++) {
        if (/^(ldind|ldMapValue)/.test(name) && given === kinds.length - 1) continue
        check(name, kinds, kinds.slice(0, given).map((kind) => good[kind]))
      }
    })
  }

  const value = Arbitrary.schema(Schema.Union([Schema.Number, Layout.i32.schema, Layout.u32.schema, Layout.i16.schema]))
  for (const [name, kinds] of Object.entries(builders)) {
    it.prop(`keeps any number or refuses it, in ${name}`, [Arbitrary.array(value, { minLength: 4 })], ([numbers]) => {
      check(
        name,
        kinds,
        kinds.map((kind, i) => /either|value|store|offset|near|int|target/.test(kind) ? numbers[i] : good[kind])
      )
    })
  }
})

describe("masks of 32 bits", () => {
  const failure = (item: Asm.Item) => Result.getOrThrow(Result.flip(Asm.assemble([item, Asm.exit()])))

  it("are no immediates of 64-bit operations, and the error says what to write", () => {
    expect(failure(Asm.and("r0", 0xffffffff))).toMatchObject({
      operand: "value of and",
      actual: "4294967295",
      cure: "and32 takes it, for the low 32 bits; lddw loads 64 bits into a register"
    })
    expect(failure(Asm.jne("r1", 0xffffffff, 0)).cure).toMatch(/^jne32 takes it/)
    expect(failure(Asm.add("r1", 0x80000000)).cure).toMatch(/^add32 takes it/)
    expect(failure(Asm.mov("r1", 2 ** 40)).cure).toBe("lddw loads 64 bits into a register")
    expect(failure(Asm.lddw("r1", 5 as never)).cure).toBe("write 5n")
  })
})

describe("a helper that is none", () => {
  it("is answered with the nearest names", () => {
    const cure = (name: string) =>
      Result.getOrThrow(Result.flip(Asm.assemble([Asm.call(name as never), Asm.exit()]))).cure
    expect(cure("map_lookup")).toBe("did you mean map_lookup_elem or map_lookup_percpu_elem?")
    expect(cure("bpf_map_lookup_elem")).toMatch(/^did you mean map_lookup_elem/)
    expect(cure("ktime_get_n")).toMatch(/ktime_get_ns/)
    expect(cure("make_coffee")).toBeUndefined()
    for (const name of ["toString", "__proto__", "constructor", "x".repeat(100_000)]) {
      expect(() => cure(name)).not.toThrow()
    }
  })

  it("may be given by its id", () => {
    const { bytes } = Result.getOrThrow(Asm.assemble([Asm.call(1), Asm.call("map_lookup_elem"), Asm.exit()]))
    expect(bytes.slice(0, 8)).toEqual(bytes.slice(8, 16))
  })
})

describe("distances in place of names", () => {
  const hex = (item: Asm.Item) => Buffer.from(Instruction.encode([item as Instruction.Instruction])).toString("hex")

  it("are slots beyond the next instruction", () => {
    expect(hex(Asm.ja(5))).toBe("0500050000000000")
    expect(hex(Asm.jeq("r1", 2, -3))).toBe("1501fdff02000000")
    expect(hex(Asm.mayGoto(1))).toBe("e500010000000000")
    expect(hex(Asm.gotol(-70_000))).toBe("0600000090eefeff")
    expect(hex(Asm.callLocal(-2))).toBe("85100000feffffff")
    expect(hex(Asm.ldFunc("r2", 3))).toBe("18420000030000000000000000000000")
    expect(hex(Asm.callx("r3"))).toBe("8d03000000000000")
  })

  it("use the function that begins there", () => {
    const program = [Asm.callLocal(1), Asm.exit(), Asm.func("inner", [Asm.exit()])]
    expect(Result.isSuccess(Asm.assemble(program))).toBe(true)
  })
})

describe("every snippet", () => {
  const Record = Layout.struct({ id: Layout.u32, port: Layout.u16be })
  const { slot } = Snippets.stack({ slot: Record })
  const { key } = Snippets.stack({ key: Layout.u32 })
  const packet = { context: "xdp", from: "r1", data: "r2", end: "r3", length: 14, otherwise: "out" } as const
  const snippets: Readonly<Record<string, ReadonlyArray<unknown>>> = {
    addressOf: ["r1", slot],
    zero: [slot],
    storeStruct: [slot, { id: 1 }],
    store: [key, 1],
    load: ["r1", key],
    readField: ["r1", "r2", Record, "id"],
    writeField: ["r1", Record, "id", 5],
    packet: [packet],
    mapLookup: ["m", slot, "out"],
    mapUpdate: ["m", slot, slot, 0],
    mapDelete: ["m", slot],
    tailCall: ["r1", "m", 1],
    ringbufReserve: ["m", Record, "out"],
    ringbufSubmit: ["r1", 0],
    ringbufDiscard: ["r1", 0],
    ringbufOutput: ["m", slot, 0],
    countLost: ["m", 0],
    perfOutput: ["r1", "m", slot],
    probeReadKernel: [slot, "r1"],
    probeReadUser: [slot, "r1"],
    probeReadKernelString: [slot, "r1"],
    probeReadUserString: [slot, "r1"]
  }
  const all = Snippets as unknown as Record<string, (...operands: ReadonlyArray<unknown>) => Asm.Item>
  const assemble = (item: Asm.Item) => Asm.assemble([item, Asm.label("out"), Asm.label("r1"), Asm.exit()])

  it("is named here", () => {
    expect(Object.keys(Snippets).filter((name) => name !== "stack").toSorted()).toEqual(
      Object.keys(snippets).toSorted()
    )
  })

  const isHostileFor = (good: unknown, value: unknown): boolean =>
    typeof good === "number"
      ? typeof value !== "bigint" && !isInt(value, -1, 2 ** 32)
      : typeof good === "string"
      ? typeof value !== "string"
      : true

  for (const [name, operands] of Object.entries(snippets)) {
    it(`takes ${name} as it should be, and refuses what it should not`, () => {
      expect(Result.isSuccess(assemble(all[name]!(...operands)))).toBe(true)
      for (let at = 0; at < operands.length; at++) {
        for (const value of hostile) {
          if (value === undefined && operands[at] === 0) continue // flags may be left out
          const item = all[name]!(...operands.map((operand, i) => i === at ? value : operand))
          const result = assemble(item) // never throws
          if (!isHostileFor(operands[at], value) || typeof value === "string") continue
          if (name === "storeStruct" && at === 1 && typeof value === "object" && value !== null) continue
          if (Result.isSuccess(result)) throw new Error(`${name} took ${String(value)} as operand ${at}`)
          expect(result.failure.location).toMatch(/operands\.test\.ts:\d+$/)
        }
      }
    })
  }

  it("refuses what packet() is given wrong", () => {
    for (const key of Object.keys(packet)) {
      const result = assemble(Snippets.packet({ ...packet, [key]: undefined }))
      expect(Result.isFailure(result) && result.failure.operand).toBe(`${key} of packet`)
    }
  })
})
