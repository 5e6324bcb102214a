// BTF from anywhere: what cannot be is refused, and nothing takes longer than it is long.
import { describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { Btf, type BtfType } from "../../../src/index.ts"

const int: BtfType.Int = {
  _tag: "Int",
  name: "int",
  size: 4,
  bits: 32,
  offset: 0,
  signed: true,
  char: false,
  bool: false
}
const member = (name: string, type: number, bitOffset: number, bitfieldSize = 0): BtfType.Member => ({
  name,
  type,
  bitOffset,
  bitfieldSize
})
const encode = (...types: ReadonlyArray<BtfType.BtfType>): Uint8Array => Result.getOrThrow(Btf.encode(types))
const parse = (bytes: Uint8Array): Btf.Btf => Result.getOrThrow(Btf.parse(bytes))
const failure = (result: Result.Result<unknown, Btf.BtfError>): Btf.BtfError => Result.getOrThrow(Result.flip(result))

describe("encode refuses what the format has no room for", () => {
  const refused = (type: BtfType.BtfType): string => failure(Btf.encode([int, type])).message
  const values = Array.from({ length: 70_000 }, (_, i) => ({ name: "", value: i }))

  it("more entries than 16 bits count", () => {
    expect(refused({ _tag: "Enum", name: "e", size: 4, signed: false, values })).toBe(
      "BTF type 2 entries: expected at most 65535, got 70000"
    )
    const members = values.map(() => member("", 1, 0))
    expect(refused({ _tag: "Struct", name: "s", size: 4, members })).toContain("entries")
    const parameters = values.map(() => ({ name: "", type: 1 }))
    expect(refused({ _tag: "FuncProto", returns: 0, parameters })).toContain("entries")
  })

  it("a member beyond 2^24 bits beside a bit-field, and a bit-field of over 255 bits", () => {
    const far = [member("a", 1, 2 ** 24), member("b", 1, 0, 3)]
    expect(refused({ _tag: "Struct", name: "s", size: 4, members: far })).toContain("member 0 bitOffset")
    expect(Result.isSuccess(Btf.encode([{ _tag: "Struct", name: "s", size: 4, members: [far[0]!] }]))).toBe(true)
    expect(refused({ _tag: "Struct", name: "s", size: 4, members: [member("a", 1, 0, 256)] })).toContain("bitfieldSize")
  })

  it("NUL in a name, and half a character", () => {
    for (const name of ["a\0b", "\0", "\ud800"]) {
      expect(refused({ _tag: "Typedef", name, type: 1 })).toContain("type 2 name: expected text without NUL")
      expect(refused({ _tag: "Struct", name: "s", size: 4, members: [member(name, 1, 0)] })).toContain("member 0 name")
    }
  })

  it("numbers that do not fit", () => {
    const wrong: ReadonlyArray<BtfType.BtfType> = [
      { ...int, size: -1 },
      { ...int, bits: 256 },
      { ...int, offset: 1.5 },
      { _tag: "Pointer", type: 2 ** 32 },
      { _tag: "Array", type: 1, indexType: 1, length: Number.NaN },
      { _tag: "Enum", name: "", size: 4, signed: false, values: [{ name: "A", value: -1 }] },
      { _tag: "Enum", name: "", size: 4, signed: true, values: [{ name: "A", value: 2 ** 31 }] },
      { _tag: "Enum64", name: "", size: 8, signed: true, values: [{ name: "A", value: 2n ** 63n }] },
      { _tag: "Enum64", name: "", size: 8, signed: false, values: [{ name: "A", value: -1n }] },
      { _tag: "Func", name: "f", type: 1, linkage: 65536 },
      { _tag: "DeclTag", name: "t", type: 1, component: 2 ** 31 },
      { _tag: "Nonsense" } as never
    ]
    for (const type of wrong) expect(refused(type), JSON.stringify(type, (_, v) => String(v))).toMatch(/^BTF type 2 /)
  })
})

describe("a kind of a later format", () => {
  // As kernels of 2026 write it: a layout section says how long each kind's records are.
  const later: BtfType.Opaque = {
    _tag: "Opaque",
    kind: 22,
    name: "inline.text",
    flag: true,
    vlen: 2,
    word: 5,
    fixedSize: 4,
    entrySize: 12,
    data: Uint8Array.from({ length: 28 }, (_, i) => i)
  }

  it("is opaque where the layout describes it, and the rest works", () => {
    const btf = parse(encode(int, later, { _tag: "Typedef", name: "after", type: 1 }))
    expect(Btf.type(btf, 2)).toEqual(Option.some(later))
    expect(Btf.idsByName(btf, "after")).toEqual([3])
    expect(Btf.idsByName(btf, "inline.text", "Opaque")).toEqual([2])
    expect([...Btf.types(btf, "Opaque")]).toEqual([[2, later]])
    expect(failure(Btf.sizeOf(btf, 2)).actual).toBe("Opaque")
    expect(Result.getOrThrow(Btf.typeName(btf, 2))).toBe("kind 22 inline.text")
    expect(parse(encode(...[...Btf.types(btf)].map(([, type]) => type))).lastId).toBe(3)
  })

  it("is an error where it does not, and a layout beyond the bytes is one too", () => {
    const bytes = encode(int, later)
    const view = new DataView(bytes.buffer)
    const length = view.getUint32(28, true)
    view.setUint32(28, 8, true)
    expect(failure(Btf.parse(bytes))).toMatchObject({ field: "type 2 kind", actual: "22" })
    view.setUint32(28, 0x7fffffff, true)
    expect(failure(Btf.parse(bytes)).field).toBe("layout section")
    view.setUint32(28, length - 1, true)
    expect(failure(Btf.parse(bytes)).field).toBe("layout section")
  })

  it("is written with one layout only", () => {
    expect(failure(Btf.encode([later, { ...later, vlen: 0, fixedSize: 8, data: new Uint8Array(8) }])).field).toBe(
      "type 2 layout"
    )
    expect(failure(Btf.encode([{ ...later, kind: 4 }])).field).toBe("type 1 kind")
    expect(failure(Btf.encode([{ ...later, data: new Uint8Array(3) }])).field).toBe("type 1 data")
  })
})

describe("sizes", () => {
  it("of 4 GiB and more are typed errors", () => {
    const nested = parse(encode(
      int,
      { _tag: "Array", type: 1, indexType: 1, length: 2 ** 32 - 1 },
      { _tag: "Array", type: 2, indexType: 1, length: 2 ** 32 - 1 },
      { _tag: "Array", type: 1, indexType: 1, length: 2 ** 30 },
      { _tag: "Array", type: 1, indexType: 1, length: 2 ** 30 - 1 }
    ))
    for (const id of [2, 3, 4]) expect(failure(Btf.sizeOf(nested, id)).actual).toBe("a larger array")
    expect(Btf.sizeOf(nested, 5)).toEqual(Result.succeed(2 ** 32 - 4))
  })
})

/** The least time of some, in ms: what else runs on the machine only adds to it. */
const fastest = (f: () => void): number =>
  Math.min(...Array.from({ length: 3 }, () => {
    const before = process.cpuUsage()
    f()
    const { system, user } = process.cpuUsage(before)
    return (system + user) / 1000
  }))

describe("time grows with the size, and no faster", () => {
  /** Eight times the input must not take more than some ten times as long; in squares it would be 64. */
  const isLinear = (name: string, make: (scale: number) => () => void) =>
    it(name, () => {
      const [small, large] = [make(1), make(8)]
      small()
      expect(fastest(large)).toBeLessThan(24 * Math.max(2, fastest(small)))
    })

  isLinear("anonymous members", (scale) => {
    const count = 1000 * scale
    const anonymous = Array.from({ length: count }, () => member("", 2, 0))
    const btf = parse(encode(
      { _tag: "Struct", name: "root", size: 8, members: anonymous },
      { _tag: "Struct", name: "", size: 8, members: anonymous }
    ))
    return () => void failure(Btf.member(btf, "root", "missing"))
  })

  isLinear("anonymous members in a chain", (scale) => {
    const count = 1000 * scale
    const chain = Array.from({ length: count }, (_, i): BtfType.BtfType => ({
      _tag: "Struct",
      name: i === 0 ? "root" : "",
      size: 8,
      members: [member("", i + 2, 0), member("", 1, 0)]
    }))
    const btf = parse(encode(...chain))
    return () => void failure(Btf.member(btf, "root", "missing"))
  })

  for (const letter of ["n", "ñ", "\u{1f41d}"]) {
    isLinear(`types that are named with ever more of one long text, of ${letter}`, (scale) => {
      const count = 1000 * scale
      const length = new TextEncoder().encode(letter).length
      const bytes = encode(
        ...Array.from({ length: count }, (): BtfType.BtfType => ({ _tag: "Typedef", name: "", type: 0 })),
        { _tag: "Typedef", name: letter.repeat(8 * count), type: 0 }
      )
      const view = new DataView(bytes.buffer)
      for (let i = 0; i < count; i++) view.setUint32(24 + i * 12, 1 + length * i, true)
      return () => {
        const btf = parse(bytes)
        let letters = 0
        for (const [, type] of Btf.types(btf, "Typedef")) letters += type.name.length
        expect(letters).toBeGreaterThan(count)
        for (let i = 0; i < 5; i++) expect(Btf.idsByName(btf, "nothing", "Typedef")).toEqual([])
      }
    })
  }

  it("a name is read the same from a long text and a short one", () => {
    const text = `${"ab".repeat(400)}ñ🐝${"z".repeat(600)}`
    const bytes = encode({ _tag: "Typedef", name: text, type: 0 }, { _tag: "Typedef", name: "short", type: 0 })
    const view = new DataView(bytes.buffer)
    const names = (offset: number) => {
      view.setUint32(36, offset, true)
      return Option.getOrThrow(Btf.type(parse(bytes), 2))
    }
    const encoded = new TextEncoder().encode(text)
    for (const offset of [0, 1, 799, 800, 802, 806, 1000, 1400]) {
      const expected = new TextDecoder().decode(encoded.subarray(offset))
      expect(names(1 + offset), String(offset)).toEqual({ _tag: "Typedef", name: expected, type: 0 })
    }
  })
})

describe("20,000 mutations", () => {
  /** A generator of whole numbers below a bound, the same in every run. */
  const random = (seed: number) => {
    let state = seed
    return (bound: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * bound)
    }
  }

  const original = encode(
    int,
    {
      _tag: "Struct",
      name: "node",
      size: 16,
      members: [member("next", 3, 0), member("", 4, 64), member("f", 1, 96, 3)]
    },
    { _tag: "Pointer", type: 2 },
    { _tag: "Union", name: "", size: 4, members: [member("a", 1, 0), member("b", 5, 0)] },
    { _tag: "Array", type: 1, indexType: 1, length: 3 },
    { _tag: "Enum", name: "e", size: 4, signed: true, values: [{ name: "A", value: -1 }] },
    { _tag: "Enum64", name: "w", size: 8, signed: false, values: [{ name: "B", value: 5n }] },
    { _tag: "FuncProto", returns: 1, parameters: [{ name: "x", type: 3 }, { name: "", type: 0 }] },
    { _tag: "Func", name: "fn", type: 8, linkage: 1 },
    { _tag: "Typedef", name: "node_t", type: 2 },
    { _tag: "Const", type: 10 },
    { _tag: "Var", name: "v", type: 11, linkage: 0 },
    { _tag: "DataSection", name: ".bss", size: 16, variables: [{ type: 12, offset: 0, size: 16 }] },
    { _tag: "DeclTag", name: "tag", type: 2, component: 0 },
    { _tag: "TypeTag", name: "user", type: 2, attribute: true },
    {
      _tag: "Opaque",
      kind: 20,
      name: "k",
      flag: false,
      vlen: 1,
      word: 4,
      fixedSize: 4,
      entrySize: 4,
      data: new Uint8Array(8)
    }
  )

  const check = (result: Result.Result<unknown, Btf.BtfError>): void => {
    if (Result.isFailure(result) && !(result.failure instanceof Btf.BtfError)) throw new Error("no BtfError")
  }

  it("give typed errors or types, and each at once", () => {
    const next = random(20261125)
    let accepted = 0
    for (let run = 0; run < 20_000; run++) {
      const bytes = original.slice(0, next(10) === 0 ? next(original.length + 1) : original.length)
      for (let i = next(4); i >= 0 && bytes.length > 0; i--) {
        bytes[next(bytes.length)] = next(2) === 0 ? next(256) : [0, 1, 0x7f, 0x80, 0xff][next(5)]!
      }
      const before = process.cpuUsage().user
      const parsed = Btf.parse(bytes)
      check(parsed)
      if (Result.isFailure(parsed)) continue
      accepted++
      const btf = parsed.success
      for (const id of [next(btf.lastId + 2), next(btf.lastId + 2)]) {
        check(Btf.sizeOf(btf, id))
        check(Btf.resolve(btf, id))
        check(Btf.typeName(btf, id))
        check(Btf.signature(btf, id))
        check(Btf.member(btf, id, "next->a"))
        Btf.tagsOf(btf, id)
      }
      for (const [, type] of Btf.types(btf)) if (type._tag === "Struct") void type.members
      check(Btf.member(btf, "node", "next->next->b[2]"))
      check(Btf.enumerator(btf, "A"))
      Result.match(Btf.encode([...Btf.types(btf)].map(([, type]) => type)), {
        onFailure: (error) => check(Result.fail(error)),
        onSuccess: (again) => expect(parse(again).lastId).toBe(btf.lastId)
      })
      expect(process.cpuUsage().user - before, `run ${run}`).toBeLessThan(1_000_000)
    }
    expect(accepted).toBeGreaterThan(2000)
  })
})
