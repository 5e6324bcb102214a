// Names of functions, variables and enumerators are indexed little by little, as questions come: what is found must not depend
// on how far the index has come, nor on where the name's bytes stand besides.
import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { Btf, type BtfType } from "../../../src/index.ts"
import { parseInParts } from "../../../src/btf/internal/parse.ts"

const encode = (types: ReadonlyArray<BtfType.BtfType>): Uint8Array => Result.getOrThrow(Btf.encode(types))
const parse = (types: ReadonlyArray<BtfType.BtfType>): Btf.Btf => Result.getOrThrow(Btf.parse(encode(types)))

const PROTO: BtfType.BtfType = { _tag: "FuncProto", returns: 0, parameters: [{ name: "file", type: 0 }] }
const func = (name: string): BtfType.BtfType => ({ _tag: "Func", name, type: 1, linkage: 0 })
const variable = (name: string): BtfType.BtfType => ({ _tag: "Var", name, type: 1, linkage: 0 })

/** 40,000 types: functions, some names of which a variable or a second function has too, and structs between them. */
const COUNT = 40_000
const all: ReadonlyArray<BtfType.BtfType> = [
  PROTO,
  ...Array.from({ length: COUNT - 1 }, (_, i): BtfType.BtfType => {
    if (i % 7 === 3) return { _tag: "Struct", name: `f${i - 1}`, size: 4, members: [] }
    if (i % 11 === 5) return variable(`f${i - 5}`)
    return func(i % 13 === 6 ? `f${COUNT - i}` : `f${i}`)
  })
]

const idsOf = (name: string, tag?: BtfType.BtfType["_tag"]): ReadonlyArray<number> =>
  all.flatMap((type, i) =>
    "name" in type && type.name === name && (tag === undefined || type._tag === tag) ? [i + 1] : []
  )

describe("names that are indexed as they are asked for", () => {
  it("are found wherever the index has come", () => {
    for (const first of [0, 17, 8_000, 8_191, 8_192, 20_000, COUNT - 2]) {
      const btf = parse(all)
      for (let question = 0; question < 8; question++) {
        const name = `f${(first + question * 4_999) % COUNT}`
        for (const tag of ["Func", "Var", undefined] as const) {
          expect(Btf.idsByName(btf, name, tag), `${name} ${tag}, question ${question}`).toEqual(idsOf(name, tag))
        }
      }
    }
  })

  it("are none where there is none, at the first question and the last", () => {
    const btf = parse(all)
    for (let question = 0; question < 12; question++) expect(Btf.idsByName(btf, "absent", "Func")).toEqual([])
  })

  it("are found where a hundred others end like them", () => {
    const ends = Array.from({ length: 100 }, (_, i) => func(`x${i}_read`))
    const btf = parse([PROTO, ...Array.from({ length: 10_000 }, (_, i) => func(`f${i}`)), ...ends, func("read")])
    expect(Btf.idsByName(btf, "read", "Func")).toEqual([10_102])
  })

  it("are found where their offset is also many a type's id, size or number", () => {
    const bytes = encode([
      PROTO,
      ...Array.from({ length: 9_000 }, (_, i) => func(`f${i}`)),
      ...Array.from({ length: 100 }, (): BtfType.BtfType => ({ _tag: "Array", type: 6, indexType: 6, length: 6 })),
      func("last")
    ])
    // "file" is at 1, so that the first function's name is at 6
    const btf = Result.getOrThrow(Btf.parse(bytes))
    expect(Btf.idsByName(btf, "f0", "Func")).toEqual([2])
    expect(Btf.idsByName(parse([PROTO, ...Array.from({ length: 9_000 }, () => func("file"))]), "file", "Func").length)
      .toBe(9_000)
  })

  it("that stand in the base's strings are found in a split BTF", () => {
    // "file" is at 1 in the base's strings, and "shared" at 6.
    const base = parse([PROTO, func("shared"), ...Array.from({ length: 9_000 }, (_, i) => func(`f${i}`))])
    const bytes = encode([...Array.from({ length: 9_000 }, (_, i) => func(`m${i}`)), func("m9000")])
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    for (let i = 0; i <= 9_000; i++) {
      const at = 24 + i * 12
      view.setUint32(at, i === 9_000 ? 6 : view.getUint32(at, true) + base.stringsEnd, true)
    }
    const split = Result.getOrThrow(Btf.parse(bytes, { base }))
    expect(Btf.idsByName(split, "shared", "Func")).toEqual([2, base.lastId + 9_001])
    expect(Btf.idsByName(split, "m8999", "Func")).toEqual([base.lastId + 9_000])
    expect(Btf.idsByName(split, "m9000", "Func")).toEqual([])
  })
})

describe("enumerators by name", () => {
  const values = (...names: ReadonlyArray<string>) => names.map((name, value) => ({ name, value }))

  it("are those of enums, and not members or parameters of the name", () => {
    const btf = parse([
      { _tag: "FuncProto", returns: 0, parameters: [{ name: "SAME", type: 0 }] },
      { _tag: "Struct", name: "s", size: 4, members: [{ name: "SAME", type: 3, bitOffset: 0, bitfieldSize: 0 }] },
      { _tag: "Enum", name: "SAME", size: 4, signed: false, values: values("A", "SAME") },
      {
        _tag: "Enum64",
        name: "",
        size: 8,
        signed: false,
        values: [{ name: "SAME", value: 9n }, { name: "B", value: 3n }]
      }
    ])
    expect(Btf.enumerators(btf, "SAME")).toEqual([
      { enum: 3, name: "SAME", value: 1 },
      { enum: 4, name: "SAME", value: 9n }
    ])
  })

  it("are not mistaken for a value that equals their name's offset", () => {
    // "A" is at 1, "BB" at 3
    const btf = parse([{
      _tag: "Enum",
      name: "",
      size: 4,
      signed: false,
      values: [{ name: "A", value: 3 }, { name: "BB", value: 1 }]
    }])
    expect(Btf.enumerators(btf, "BB")).toEqual([{ enum: 1, name: "BB", value: 1 }])
    expect(Btf.enumerators(btf, "A")).toEqual([{ enum: 1, name: "A", value: 3 }])
  })

  it("are all found where hundreds of enums have the name", () => {
    const btf = parse(
      Array.from({ length: 300 }, (): BtfType.BtfType => ({
        _tag: "Enum",
        name: "",
        size: 4,
        signed: false,
        values: values("OFF", "ON")
      }))
    )
    expect(Btf.enumerators(btf, "ON").map((one) => one.enum)).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
  })
})

describe("members of a struct that is asked more than once", () => {
  const int: BtfType.BtfType = {
    _tag: "Int",
    name: "int",
    size: 4,
    bits: 32,
    offset: 0,
    signed: true,
    char: false,
    bool: false
  }
  const member = (name: string, type: number, bitOffset: number): BtfType.Member => ({
    name,
    type,
    bitOffset,
    bitfieldSize: 0
  })
  const types: ReadonlyArray<BtfType.BtfType> = [
    int,
    {
      _tag: "Struct",
      name: "outer",
      size: 400,
      members: [
        ...Array.from({ length: 50 }, (_, i) => member(`a${i}`, 1, i * 32)),
        member("", 3, 1600),
        member("twice", 1, 1632),
        member("last", 1, 1664)
      ]
    },
    { _tag: "Union", name: "", size: 4, members: [member("inner", 1, 0), member("twice", 1, 0), member("", 3, 0)] }
  ]

  it("lie where they lay at the first question, in anonymous ones too", () => {
    const names = ["last", "inner", "twice", "a0", "a49", "a7", "last"]
    const offset = (btf: Btf.Btf, name: string) => Result.getOrThrow(Btf.member(btf, "outer", name)).bitOffset
    const btf = parse(types)
    expect(names.map((name) => offset(btf, name))).toEqual(names.map((name) => offset(parse(types), name)))
    expect(offset(btf, "twice")).toBe(1600)
    expect(Result.isFailure(Btf.member(btf, "outer", "absent"))).toBe(true)
  })
})

describe("parsing in parts", () => {
  it("leaves between them at most some thousand records", () => {
    const bytes = encode(all)
    const parts = parseInParts(bytes, undefined, true)
    let count = 1
    let part = parts.next()
    for (; part.done !== true; count++) part = parts.next()
    expect(count).toBeGreaterThan(COUNT / 5_000)
    const parsed = Result.getOrThrow(part.value)
    expect(parsed.lastId).toBe(COUNT)
    expect(Btf.idsByName(parsed, "f2", "Struct")).toEqual(idsOf("f2", "Struct"))
  })
})
