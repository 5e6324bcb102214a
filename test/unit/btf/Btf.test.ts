import { describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { isDeepStrictEqual } from "node:util"
import { expect } from "vitest"
import { btf_kind } from "../../../src/abi/generated/enums.ts"
import { tags } from "../../../src/btf/BtfType.ts"
import { Btf, type BtfType, Layout } from "../../../src/index.ts"

const parse = (bytes: Uint8Array, base?: Btf.Btf): Btf.Btf =>
  Result.getOrThrow(Btf.parse(bytes, base === undefined ? {} : { base }))

const of = (...types: ReadonlyArray<BtfType.BtfType>): Btf.Btf => parse(Result.getOrThrow(Btf.encode(types)))

const typesOf = (btf: Btf.Btf): ReadonlyArray<BtfType.BtfType> => [...Btf.types(btf)].map(([, type]) => type)

let failures = 0

const failure = (result: Result.Result<unknown, Btf.BtfError>): Btf.BtfError => {
  if (Result.isSuccess(result)) throw new Error(`succeeded: ${JSON.stringify(result.success)}`)
  const error = result.failure
  // Asked without `expect` first, and seldom for its message, which looks for names alike: this runs a million times.
  if (error instanceof Btf.BtfError && failures++ % 64 !== 0) return error
  if (error instanceof Btf.BtfError && /^BTF .+: expected .+, got .*$/s.test(error.message)) return error
  expect(error).toBeInstanceOf(Btf.BtfError)
  throw error
}

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

const struct = (name: string, size: number, ...members: ReadonlyArray<BtfType.Member>): BtfType.Struct => ({
  _tag: "Struct",
  name,
  size,
  members
})

// ---------------------------------------------------------------- generators

const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
const u32 = integer(0, 2 ** 32 - 1)
const reference = integer(0, 40)
const name = Schema.Literals(["", "a", "b", "foo", "bar_2", "task_struct", "a name", "ключ", "__proto__", "🐝"])

const entries = <S extends Schema.Constraint>(entry: S) => Schema.Array(entry).check(Schema.isBetweenLength(0, 6))

const tagged = <const Tag extends BtfType.BtfType["_tag"], const F extends Schema.Struct.Fields>(tag: Tag, fields: F) =>
  Schema.Struct({ _tag: Schema.Literal(tag), ...fields })

/** Without any bit-field an offset has 32 bits, and with one 24. */
const members = Schema.Union([
  entries(Schema.Struct({ name, type: reference, bitOffset: u32, bitfieldSize: Schema.Literal(0) })),
  entries(Schema.Struct({
    name,
    type: reference,
    bitOffset: integer(0, 2 ** 24 - 1),
    bitfieldSize: integer(0, 255)
  }))
])

const parts = {
  Int: tagged("Int", {
    name,
    size: u32,
    bits: integer(0, 255),
    offset: integer(0, 255),
    signed: Schema.Boolean,
    char: Schema.Boolean,
    bool: Schema.Boolean
  }),
  Pointer: tagged("Pointer", { type: reference }),
  Array: tagged("Array", { type: reference, indexType: reference, length: u32 }),
  Struct: tagged("Struct", { name, size: u32, members }),
  Union: tagged("Union", { name, size: u32, members }),
  Enum: Schema.Union([
    tagged("Enum", {
      name,
      size: u32,
      signed: Schema.Literal(true),
      values: entries(Schema.Struct({ name, value: integer(-(2 ** 31), 2 ** 31 - 1) }))
    }),
    tagged("Enum", {
      name,
      size: u32,
      signed: Schema.Literal(false),
      values: entries(Schema.Struct({ name, value: u32 }))
    })
  ]),
  Forward: tagged("Forward", { name, of: Schema.Literals(["struct", "union"]) }),
  Typedef: tagged("Typedef", { name, type: reference }),
  Volatile: tagged("Volatile", { type: reference }),
  Const: tagged("Const", { type: reference }),
  Restrict: tagged("Restrict", { type: reference }),
  Func: tagged("Func", { name, type: reference, linkage: integer(0, 2) }),
  FuncProto: tagged("FuncProto", {
    returns: reference,
    parameters: entries(Schema.Struct({ name, type: reference }))
  }),
  Var: tagged("Var", { name, type: reference, linkage: integer(0, 2) }),
  DataSection: tagged("DataSection", {
    name,
    size: u32,
    variables: entries(Schema.Struct({ type: reference, offset: u32, size: u32 }))
  }),
  Float: tagged("Float", { name, size: u32 }),
  DeclTag: Schema.Union([
    tagged("DeclTag", { name, type: reference, component: integer(-1, 1000) }),
    tagged("DeclTag", { name, type: reference, component: integer(-1, 1000), attribute: Schema.Literal(true) })
  ]),
  TypeTag: Schema.Union([
    tagged("TypeTag", { name, type: reference }),
    tagged("TypeTag", { name, type: reference, attribute: Schema.Literal(true) })
  ]),
  Enum64: Schema.Union([
    tagged("Enum64", {
      name,
      size: u32,
      signed: Schema.Literal(true),
      values: entries(Schema.Struct({ name, value: Layout.i64.schema }))
    }),
    tagged("Enum64", {
      name,
      size: u32,
      signed: Schema.Literal(false),
      values: entries(Schema.Struct({ name, value: Layout.u64.schema }))
    })
  ])
} satisfies Record<Exclude<BtfType.BtfType["_tag"], "Opaque">, unknown>

const anyTypes = Arbitrary.array(
  Arbitrary.schema(Schema.Union(Object.values(parts)) as Schema.Codec<BtfType.BtfType>),
  { maxLength: 40 }
)

/** One type of each kind, which refer to each other: valid C in spirit. */
const oneOfEach: ReadonlyArray<BtfType.BtfType> = [
  int, // 1
  { _tag: "Pointer", type: 4 },
  { _tag: "Array", type: 1, indexType: 1, length: 3 },
  struct("node", 32, member("next", 2, 0), member("values", 3, 64), member("", 5, 160), member("flags", 1, 192, 3)),
  { _tag: "Union", name: "", size: 4, members: [member("number", 1, 0), member("real", 16, 0)] }, // 5
  { _tag: "Enum", name: "mode", size: 4, signed: true, values: [{ name: "OFF", value: -1 }, { name: "ON", value: 1 }] },
  { _tag: "Forward", name: "opaque", of: "union" },
  { _tag: "Typedef", name: "node_t", type: 4 },
  { _tag: "Volatile", type: 8 },
  { _tag: "Const", type: 9 }, // 10
  { _tag: "Restrict", type: 2 },
  { _tag: "Func", name: "visit", type: 13, linkage: 1 },
  { _tag: "FuncProto", returns: 0, parameters: [{ name: "node", type: 2 }, { name: "", type: 0 }] },
  { _tag: "Var", name: "root", type: 10, linkage: 1 },
  { _tag: "DataSection", name: ".bss", size: 32, variables: [{ type: 14, offset: 0, size: 32 }] }, // 15
  { _tag: "Float", name: "float", size: 4 },
  { _tag: "DeclTag", name: "tag", type: 4, component: -1 },
  { _tag: "TypeTag", name: "user", type: 4 },
  {
    _tag: "Enum64",
    name: "wide",
    size: 8,
    signed: false,
    values: [{ name: "ALL", value: 2n ** 64n - 1n }, { name: "LOW", value: 0xffffffffn }]
  }
]

/** Asks everything of a BTF that may be nonsense. Each answer must be a value; an exception fails the test. */
const exercise = (bytes: Uint8Array): Btf.Btf | undefined => {
  const result = Btf.parse(bytes)
  if (Result.isFailure(result)) {
    failure(result)
    return undefined
  }
  const btf = result.success
  const names = new Set(["node", "missing"])
  for (let id = 0; id <= btf.lastId + 1; id++) {
    const type = Option.getOrUndefined(Btf.type(btf, id))
    if ((type === undefined) !== (id === 0 || id > btf.lastId)) throw new Error(`type ${id} of ${btf.lastId}`)
    const answers: ReadonlyArray<Result.Result<unknown, Btf.BtfError>> = [Btf.sizeOf(btf, id), Btf.resolve(btf, id)]
    for (const answer of answers) if (Result.isFailure(answer)) failure(answer)
    if (type !== undefined && "name" in type) names.add(type.name)
  }
  for (const name of names) {
    for (const id of Btf.idsByName(btf, name)) {
      const type = Option.getOrThrow(Btf.type(btf, id))
      // A pointer, say, has no name, but a blob may give it one.
      if ("name" in type && type.name !== name) expect(type.name).toBe(name)
    }
    for (const path of ["next", "values", "number", "a.b.c", ""]) {
      const found = Btf.member(btf, name, path)
      if (Result.isFailure(found)) failure(found)
    }
  }
  return btf
}

// ---------------------------------------------------------------- tests

describe("the kinds", () => {
  it("stand in the order of BTF_KIND_* in the kernel's headers", () => {
    const prefixed: Partial<Record<NonNullable<(typeof tags)[number]>, keyof typeof btf_kind>> = {
      Pointer: "BTF_KIND_PTR",
      Forward: "BTF_KIND_FWD",
      FuncProto: "BTF_KIND_FUNC_PROTO",
      DataSection: "BTF_KIND_DATASEC",
      DeclTag: "BTF_KIND_DECL_TAG",
      TypeTag: "BTF_KIND_TYPE_TAG"
    }
    expect(tags.length).toBe(20)
    for (const [number, tag] of tags.entries()) {
      if (tag === undefined) continue
      const constant = prefixed[tag] ?? `BTF_KIND_${tag.toUpperCase()}` as keyof typeof btf_kind
      expect(btf_kind[constant], constant).toBe(number)
    }
  })

  it("are all in the blob that the tests below use", () => {
    expect(oneOfEach.map((type) => type._tag).toSorted()).toEqual(tags.slice(1).toSorted())
  })
})

describe("types come back from their bytes", () => {
  for (const [tag, schema] of Object.entries(parts)) {
    it.prop(tag, [Schema.Array(schema as Schema.Codec<BtfType.BtfType>)], ([types]) => {
      expect(typesOf(parse(Result.getOrThrow(Btf.encode(types))))).toEqual(types)
    })
  }

  it.prop("all kinds mixed, at their ids", [anyTypes], ([types]) => {
    const btf = parse(Result.getOrThrow(Btf.encode(types)))
    expect([btf.firstId, btf.lastId]).toEqual([1, types.length])
    expect(typesOf(btf)).toEqual(types)
    expect(Btf.type(btf, 0)).toEqual(Option.none())
    expect(Btf.type(btf, types.length + 1)).toEqual(Option.none())
    for (const id of [-1, 0.5, Number.NaN]) expect(Btf.type(btf, id)).toEqual(Option.none())
  })

  it("one of each", () => {
    expect(typesOf(of(...oneOfEach))).toEqual(oneOfEach)
  })

  it("none at all", () => {
    const btf = of()
    expect([btf.firstId, btf.lastId]).toEqual([1, 0])
    expect(Btf.idsByName(btf, "int")).toEqual([])
  })

  it("wherever in a larger buffer they lie", () => {
    const bytes = Result.getOrThrow(Btf.encode(oneOfEach))
    const memory = new Uint8Array(bytes.length + 64).fill(0xff)
    memory.set(bytes, 33)
    const btf = parse(memory.subarray(33, 33 + bytes.length))
    expect(typesOf(btf)).toEqual(oneOfEach)
    expect(Btf.idsByName(btf, "node")).toEqual([4])
  })

  it("with all that a wide BTF has: 70,000 types", () => {
    const count = 70_000
    const many = Array.from({ length: count }, (_, i): BtfType.BtfType => ({ _tag: "Typedef", name: `t${i}`, type: i }))
    const btf = of(...many)
    expect(btf.lastId).toBe(count)
    expect(Btf.idsByName(btf, `t${count - 1}`)).toEqual([count])
    expect(Btf.type(btf, count)).toEqual(Option.some(many[count - 1]))
  })

  it("a value is known as BTF", () => {
    expect(Btf.isBtf(of())).toBe(true)
    for (const other of [undefined, null, {}, "btf", new Uint8Array(24)]) expect(Btf.isBtf(other)).toBe(false)
  })
})

// struct inner { unsigned short port; }; struct s { int a; unsigned b:3; struct inner in; union { long l; char c[4]; }; };
// compiled with `clang -g -target bpf`: the .BTF section as it stands in the object file.
describe("BTF that clang wrote", () => {
  const clang = Uint8Array.from(
    Buffer.from(
      "n+sBABgAAAAAAAAAHAEAABwBAACQAAAAAAAAAAAAAAICAAAAAQAAAAQAAIQQAAAAAwAAAAMAAAAAAAAABQAAAAQAAAAgAAADBwAAAAUAAAAwAAAAAAAAAAcAAABAAAAACgAAAAAAAAEEAAAAIAAAAQ4AAAAAAAABBAAAACAAAAAbAAAAAQAABAIAAAAhAAAABgAAAAAAAAAmAAAAAAAAAQIAAAAQAAAAAAAAAAIAAAUIAAAANQAAAAgAAAAAAAAANwAAAAoAAAAAAAAAOQAAAAAAAAEIAAAAQAAAAT4AAAAAAAABAQAAAAgAAAEAAAAAAAAAAwAAAAAJAAAACwAAAAQAAABDAAAAAAAAAQQAAAAgAAAAAAAAAAEAAA0DAAAAVwAAAAEAAABZAAAAAQAADAwAAAAAcwBhAGIAaW4AaW50AHVuc2lnbmVkIGludABpbm5lcgBwb3J0AHVuc2lnbmVkIHNob3J0AGwAYwBsb25nAGNoYXIAX19BUlJBWV9TSVpFX1RZUEVfXwBwAGYALnRleHQAL3RtcC91L2IuYwBpbnQgZihzdHJ1Y3QgcyAqcCkgeyByZXR1cm4gcC0+YTsgfQA=",
      "base64"
    )
  )

  it("has the types of the C source", () => {
    const btf = parse(clang)
    expect(Btf.member(btf, "s", "a")).toMatchObject(Result.succeed({ name: "a", bitOffset: 0, bitfieldSize: 0 }))
    expect(Btf.member(btf, "s", "b")).toMatchObject(Result.succeed({ name: "b", bitOffset: 32, bitfieldSize: 3 }))
    expect(Btf.member(btf, "s", "in.port")).toMatchObject(Result.succeed({ name: "port", bitOffset: 48 }))
    expect(Btf.member(btf, "s", "l")).toMatchObject(Result.succeed({ name: "l", bitOffset: 64 }))
    expect(Btf.member(btf, "s", "c")).toMatchObject(Result.succeed({ name: "c", bitOffset: 64 }))
    expect(Btf.sizeOf(btf, Btf.idsByName(btf, "s", "Struct")[0]!)).toEqual(Result.succeed(16))
    expect(Btf.sizeOf(btf, Btf.idsByName(btf, "inner")[0]!)).toEqual(Result.succeed(2))
  })

  it("encodes again to the same types", () => {
    const types = typesOf(parse(clang))
    expect(types.length).toBeGreaterThan(8)
    expect(typesOf(parse(Result.getOrThrow(Btf.encode(types))))).toEqual(types)
  })
})

describe("malformed bytes", () => {
  const valid = Result.getOrThrow(Btf.encode(oneOfEach))
  const changed = (offset: number, ...bytes: ReadonlyArray<number>): Uint8Array => {
    const copy = valid.slice()
    copy.set(bytes, offset)
    return copy
  }
  const fieldOf = (bytes: Uint8Array) => failure(Btf.parse(bytes)).field

  it("a header that is wrong is named field by field", () => {
    expect(fieldOf(new Uint8Array(0))).toBe("header")
    expect(fieldOf(valid.subarray(0, 23))).toBe("header")
    expect(fieldOf(changed(0, 0))).toBe("magic")
    expect(failure(Btf.parse(changed(0, 0xeb, 0x9f))).actual).toBe("big-endian BTF")
    expect(fieldOf(changed(2, 2))).toBe("version")
    expect(fieldOf(changed(4, 23))).toBe("hdr_len")
    expect(fieldOf(changed(4, 0xff, 0xff, 0xff, 0xff))).toBe("hdr_len")
    expect(fieldOf(changed(8, 0xff, 0xff, 0xff, 0xff))).toBe("type section")
    expect(fieldOf(changed(12, 0xff, 0xff, 0xff, 0xff))).toBe("type section")
    expect(fieldOf(changed(20, 0xff, 0xff, 0xff, 0x7f))).toBe("string section")
  })

  it("a longer header of a newer format is skipped", () => {
    const longer = new Uint8Array(valid.length + 8)
    longer.set(valid.subarray(0, 24))
    longer.set(valid.subarray(24), 32)
    longer[4] = 32
    expect(typesOf(parse(longer))).toEqual(oneOfEach)
  })

  it("a kind that is not known is an error with the type's number", () => {
    const first = 24
    expect(failure(Btf.parse(changed(first + 7, 0)))).toMatchObject({ field: "type 1 kind", actual: "0" })
    expect(failure(Btf.parse(changed(first + 7, 20)))).toMatchObject({
      field: "type 1 kind",
      expected: "1 to 19, or one with a layout"
    })
    expect(failure(Btf.parse(changed(first + 16 + 7, 31)))).toMatchObject({ field: "type 2 kind", actual: "31" })
  })

  it("a type that does not fit its section is an error with the type's number", () => {
    const section = (size: number) => {
      const copy = valid.slice()
      new DataView(copy.buffer).setUint32(12, size, true)
      return failure(Btf.parse(copy))
    }
    expect(section(15)).toMatchObject({ field: "type 1", expected: "16 bytes", actual: "15 bytes" })
    expect(section(17)).toMatchObject({ field: "type 2", expected: "12 bytes", actual: "1 bytes" })
  })

  it("cut at any length they are an error, and never an exception", () => {
    for (let length = 0; length < valid.length; length++) {
      expect(exercise(valid.slice(0, length)), `${length} of ${valid.length} bytes`).toBeUndefined()
    }
    expect(exercise(valid)).toBeDefined()
  })

  const spots = Arbitrary.array(
    Arbitrary.all([Arbitrary.schema(integer(0, valid.length - 1)), Arbitrary.schema(Layout.u8.schema)]),
    { minLength: 1, maxLength: 12 }
  )
  it.prop("changed anywhere they are an error or other types, and never an exception", [spots], ([changes]) => {
    const copy = valid.slice()
    for (const [at, byte] of changes) copy[at] = byte
    exercise(copy)
  }, { arbitrary: { runs: 200 } })

  it("changed in any one byte they are an error or other types, and never an exception", () => {
    for (let at = 0; at < valid.length; at++) {
      exercise(changed(at, valid[at]! ^ (at % 3 === 0 ? 0xff : 1)))
    }
  })

  it.prop("that are noise behind a header are an error or types, and never an exception", [
    Arbitrary.array(Arbitrary.schema(Layout.u8.schema), { maxLength: 300 })
  ], ([noise]) => {
    const bytes = new Uint8Array(24 + noise.length)
    bytes.set(valid.subarray(0, 8))
    const view = new DataView(bytes.buffer)
    view.setUint32(12, noise.length, true)
    view.setUint32(20, noise.length, true)
    bytes.set(noise, 24)
    exercise(bytes)
  })

  it("a name beyond the string section is refused, of a type and of an entry", () => {
    const type = Btf.parse(changed(24, 0xff, 0xff, 0xff, 0x7f))
    expect(failure(type)).toMatchObject({ field: "type 1 name", actual: "2147483647" })
    for (const kind of ["Struct", "Union", "Enum", "Enum64", "FuncProto"] as const) {
      const one = Result.getOrThrow(Btf.encode([oneOfEach.find(({ _tag }) => _tag === kind)!]))
      new DataView(one.buffer).setUint32(36, one.length, true) // the first entry's name
      expect(failure(Btf.parse(one)).field, kind).toBe("type 1 entry 0 name")
    }
  })

  it("strings without a NUL at their start or their end are refused", () => {
    const bytes = Result.getOrThrow(Btf.encode([{ ...int, name: "word" }]))
    const section = bytes.length - 6
    for (const at of [section, bytes.length - 1]) {
      const copy = bytes.slice()
      copy[at] = 0x78
      expect(fieldOf(copy), String(at)).toBe("string section")
    }
    const none = bytes.slice()
    new DataView(none.buffer).setUint32(20, 0, true)
    expect(fieldOf(none)).toBe("string section")
  })

  it("split BTF without its base is refused: its names are the base's", () => {
    const bytes = Result.getOrThrow(Btf.encode([{ _tag: "Typedef", name: "mine", type: 1 }]))
    new DataView(bytes.buffer).setUint32(24, 1000, true)
    expect(fieldOf(bytes)).toBe("type 1 name")
  })
})

describe("circles", () => {
  it("a typedef of itself has no type and no size", () => {
    const btf = of({ _tag: "Typedef", name: "self", type: 1 })
    expect(failure(Btf.resolve(btf, 1))).toMatchObject({ field: "type 1", actual: "a longer chain, or a circle" })
    expect(failure(Btf.sizeOf(btf, 1)).field).toBe("type 1")
  })

  it("qualifiers that go round have no type and no size", () => {
    const btf = of(
      { _tag: "Const", type: 2 },
      { _tag: "Volatile", type: 3 },
      { _tag: "Restrict", type: 4 },
      { _tag: "TypeTag", name: "t", type: 1 }
    )
    for (const id of [1, 2, 3, 4]) {
      failure(Btf.resolve(btf, id))
      failure(Btf.sizeOf(btf, id))
    }
  })

  it("an array of itself has no size", () => {
    const btf = of({ _tag: "Array", type: 1, indexType: 1, length: 2 })
    expect(failure(Btf.sizeOf(btf, 1)).actual).toBe("more, or a circle")
  })

  it("anonymous structs that hold themselves, or each other, end a search", () => {
    const btf = of(
      struct("root", 8, member("", 2, 0), member("", 3, 0)),
      struct("", 8, member("", 2, 0), member("", 1, 0)),
      { _tag: "Union", name: "", size: 8, members: [member("", 2, 0), member("", 3, 0), member("found", 3, 16)] }
    )
    expect(failure(Btf.member(btf, "root", "missing"))).toMatchObject({
      field: "lookup",
      expected: "a member missing in root",
      actual: "no member missing"
    })
    expect(Btf.member(btf, "root", "found")).toMatchObject(Result.succeed({ bitOffset: 16 }))
    failure(Btf.member(btf, "root", "found.missing"))
  })

  it("anonymous structs nested 50,000 deep end in an error, and not in a stack overflow", () => {
    const depth = 50_000
    const btf = of(
      ...Array.from({ length: depth }, (_, i) => struct(i === 0 ? "root" : "", 8, member("", i + 2, 0))),
      struct("", 8)
    )
    failure(Btf.member(btf, "root", "missing"))
  })

  it("anonymous structs that fan out are each searched once", () => {
    const wide = Array.from(
      { length: 40 },
      (_, i) => struct(i === 0 ? "root" : "", 8, ...Array.from({ length: 4 }, () => member("", Math.min(i + 2, 40), 0)))
    )
    failure(Btf.member(of(...wide), "root", "missing"))
  })
})

describe("resolve and sizeOf", () => {
  const btf = of(...oneOfEach)

  it("see through typedefs, qualifiers and tags", () => {
    for (const id of [8, 9, 10, 18]) {
      expect(Btf.resolve(btf, id)).toEqual(Result.succeed([4, oneOfEach[3]]))
      expect(Btf.sizeOf(btf, id)).toEqual(Result.succeed(32))
    }
    expect(Btf.resolve(btf, 11)).toEqual(Result.succeed([2, oneOfEach[1]]))
    expect(Btf.resolve(btf, 1)).toEqual(Result.succeed([1, int]))
  })

  it("give the size in bytes of what has one", () => {
    const sizes = [1, 2, 3, 4, 5, 6, 11, 15, 16, 19].map((id) => Result.getOrThrow(Btf.sizeOf(btf, id)))
    expect(sizes).toEqual([4, 8, 12, 32, 4, 4, 8, 32, 4, 8])
  })

  it("multiply nested arrays", () => {
    const nested = of(
      int,
      { _tag: "Array", type: 1, indexType: 1, length: 3 },
      { _tag: "Typedef", name: "row", type: 2 },
      { _tag: "Array", type: 3, indexType: 1, length: 5 },
      { _tag: "Array", type: 3, indexType: 1, length: 0 }
    )
    expect(Btf.sizeOf(nested, 4)).toEqual(Result.succeed(60))
    expect(Btf.sizeOf(nested, 5)).toEqual(Result.succeed(0))
  })

  it("fail for void, for ids that are not there, and for types without a size", () => {
    expect(failure(Btf.resolve(btf, 0))).toMatchObject({ field: "type 0", actual: "void" })
    expect(failure(Btf.resolve(btf, 99))).toMatchObject({ field: "type 99", actual: "id 99" })
    expect(failure(Btf.sizeOf(btf, 0)).actual).toBe("void")
    expect(failure(Btf.sizeOf(of({ _tag: "Const", type: 0 }), 1))).toMatchObject({ field: "type 1", actual: "void" })
    for (const [id, tag] of [[7, "Forward"], [12, "Func"], [13, "FuncProto"]] as const) {
      expect(failure(Btf.sizeOf(btf, id)).actual).toBe(tag)
    }
  })

  it("follow 32 references, as many as the kernel, and no more", () => {
    const chain = (length: number) =>
      of(
        int,
        ...Array.from({ length }, (_, i): BtfType.BtfType => ({ _tag: "Typedef", name: `t${i}`, type: i + 1 }))
      )
    expect(Btf.resolve(chain(32), 33)).toEqual(Result.succeed([1, int]))
    failure(Btf.resolve(chain(33), 34))
  })
})

describe("names", () => {
  const btf = of(
    int,
    struct("a", 4, member("x", 1, 0)),
    { _tag: "Typedef", name: "a", type: 2 },
    struct("ab", 4),
    { _tag: "Forward", name: "a", of: "struct" },
    struct("", 0),
    { _tag: "Union", name: "a", size: 4, members: [member("y", 1, 0)] }
  )

  it("give ids in ascending order, of one kind where that is asked", () => {
    expect(Btf.idsByName(btf, "a")).toEqual([2, 3, 5, 7])
    expect(Btf.idsByName(btf, "a", "Typedef")).toEqual([3])
    expect(Btf.idsByName(btf, "a", "Struct")).toEqual([2])
    expect(Btf.idsByName(btf, "a", "Enum")).toEqual([])
    expect(Btf.idsByName(btf, "ab")).toEqual([4])
    expect(Btf.idsByName(btf, "int", "Int")).toEqual([1])
  })

  it("that are not there, or empty, or only the beginning of one, give none", () => {
    for (const name of ["", "b", "abc", "x", "a\0", "toString", "__proto__"]) {
      expect(Btf.idsByName(btf, name)).toEqual([])
    }
  })

  it.prop("find exactly the types that have them", [anyTypes], ([types]) => {
    const btf = parse(Result.getOrThrow(Btf.encode(types)))
    for (const wanted of name.literals) {
      const expected = types.flatMap((type, i) =>
        wanted !== "" && "name" in type && type.name === wanted ? [i + 1] : []
      )
      expect(Btf.idsByName(btf, wanted)).toEqual(expected)
    }
  })
})

describe("members", () => {
  const btf = of(
    int,
    struct("inner", 8, member("first", 1, 0), member("second", 1, 32)),
    { _tag: "Union", name: "", size: 8, members: [member("number", 1, 0), member("nested", 4, 0)] },
    { _tag: "Typedef", name: "inner_t", type: 2 },
    struct(
      "outer",
      32,
      member("head", 1, 0),
      member("in", 4, 64),
      member("", 3, 128),
      member("bits", 1, 192, 5),
      member("pointer", 6, 200)
    ),
    { _tag: "Pointer", type: 2 },
    { _tag: "Union", name: "only_union", size: 4, members: [member("u", 1, 0)] },
    { _tag: "Union", name: "outer", size: 4, members: [member("other", 1, 0)] }
  )
  const find = (path: string) => Result.getOrThrow(Btf.member(btf, "outer", path))

  it("lie at the sum of the offsets along the path", () => {
    expect(find("head")).toEqual(member("head", 1, 0))
    expect(find("in")).toEqual(member("in", 4, 64))
    expect(find("in.second")).toEqual(member("second", 1, 96))
    expect(find("bits")).toEqual(member("bits", 1, 192, 5))
  })

  it("of anonymous structs and unions are found as in C", () => {
    expect(find("number")).toEqual(member("number", 1, 128))
    expect(find("nested.second")).toEqual(member("second", 1, 160))
  })

  it("of a union that shares its name with a struct are not mixed with it, and a lone union is found", () => {
    expect(failure(Btf.member(btf, "outer", "other")).actual).toBe("no member other")
    expect(Btf.member(btf, "only_union", "u")).toEqual(Result.succeed(member("u", 1, 0)))
  })

  it("that are not there are an error that names the type, the path and the step", () => {
    expect(failure(Btf.member(btf, "nothing", "a"))).toMatchObject({ expected: "a struct or union named nothing" })
    expect(failure(Btf.member(btf, "int", "a"))).toMatchObject({ expected: "a struct or union named int" })
    expect(failure(Btf.member(btf, "outer", "in.third"))).toMatchObject({
      field: "lookup",
      expected: "a member in.third in outer",
      actual: "no member third"
    })
    expect(failure(Btf.member(btf, "outer", "head.first")).actual).toBe("no member first")
    expect(failure(Btf.member(btf, "outer", "in..first"))).toMatchObject({ expected: "a path such as a.b[0]->c" })
  })

  it("behind a pointer are not followed", () => {
    expect(failure(Btf.member(btf, "outer", "pointer.first")).actual).toBe("no member first")
  })
})

describe("split BTF", () => {
  /** A split blob: its ids and string offsets go on where the base's end. */
  const split = (base: Btf.Btf, types: ReadonlyArray<BtfType.BtfType>): Uint8Array => {
    const bytes = Result.getOrThrow(Btf.encode(types))
    const view = new DataView(bytes.buffer)
    const typeEnd = 24 + view.getUint32(12, true)
    // The names of types that have no entries: the words at offset 0 of each record.
    for (let at = 24; at < typeEnd;) {
      const nameOffset = view.getUint32(at, true)
      if (nameOffset !== 0) view.setUint32(at, nameOffset + base.stringsEnd, true)
      const kind = view.getUint8(at + 7)
      at += 12 + (kind === 1 ? 4 : 0)
    }
    return bytes
  }
  const base = of(int, struct("shared", 4, member("x", 1, 0)))
  const module = parse(
    split(base, [
      { _tag: "Typedef", name: "mine", type: 2 },
      { _tag: "Typedef", name: "shared", type: 3 },
      { _tag: "Pointer", type: 4 }
    ]),
    base
  )

  it("numbers its types after the base's", () => {
    expect([module.firstId, module.lastId]).toEqual([3, 5])
    expect([...Btf.types(module)].map(([id]) => id)).toEqual([3, 4, 5])
  })

  it("gives the base's types and its own", () => {
    expect(Btf.type(module, 1)).toEqual(Option.some(int))
    expect(Btf.type(module, 3)).toEqual(Option.some({ _tag: "Typedef", name: "mine", type: 2 }))
    expect(Btf.type(module, 5)).toEqual(Option.some({ _tag: "Pointer", type: 4 }))
    expect(Btf.type(module, 6)).toEqual(Option.none())
    expect(Btf.type(base, 3)).toEqual(Option.none())
  })

  it("looks names up in both, the base's first", () => {
    expect(Btf.idsByName(module, "shared")).toEqual([2, 4])
    expect(Btf.idsByName(module, "shared", "Typedef")).toEqual([4])
    expect(Btf.idsByName(module, "mine")).toEqual([3])
    expect(Btf.idsByName(module, "int")).toEqual([1])
    expect(Btf.idsByName(module, "")).toEqual([])
    expect(Btf.idsByName(base, "shared")).toEqual([2])
  })

  it("resolves through both", () => {
    expect(Btf.resolve(module, 4)).toEqual(Result.succeed([2, Option.getOrThrow(Btf.type(base, 2))]))
    expect(Btf.sizeOf(module, 4)).toEqual(Result.succeed(4))
    expect(Btf.member(module, "shared", "x")).toEqual(Result.succeed(member("x", 1, 0)))
  })

  it("may name its types with the base's strings", () => {
    const bytes = Result.getOrThrow(Btf.encode([{ _tag: "Typedef", name: "", type: 2 }]))
    const first = parse(Result.getOrThrow(Btf.encode([{ ...int, name: "borrowed" }])))
    new DataView(bytes.buffer).setUint32(24, 1, true) // the first string of the base
    const borrowing = parse(bytes, first)
    expect(Btf.type(borrowing, 2)).toEqual(Option.some({ _tag: "Typedef", name: "borrowed", type: 2 }))
    expect(Btf.idsByName(borrowing, "borrowed")).toEqual([1, 2])
    expect(Btf.idsByName(borrowing, "borrowed", "Typedef")).toEqual([2])
  })

  it("can be the base of another", () => {
    const third = parse(split(module, [{ _tag: "Typedef", name: "top", type: 4 }]), module)
    expect([third.firstId, third.lastId]).toEqual([6, 6])
    expect(Btf.type(third, 6)).toEqual(Option.some({ _tag: "Typedef", name: "top", type: 4 }))
    expect(Btf.idsByName(third, "mine")).toEqual([3])
    expect(Btf.idsByName(third, "top")).toEqual([6])
    expect(Btf.resolve(third, 6)).toEqual(Result.succeed([2, Option.getOrThrow(Btf.type(base, 2))]))
  })
})

describe("this machine's kernel", () => {
  const path = "/sys/kernel/btf/vmlinux"
  const read = () => new Uint8Array(readFileSync(path))

  it("has BTF whose types come back from their bytes", (context) => {
    context.skip(!existsSync(path), `no ${path}`)
    const btf = parse(read())
    expect(btf.lastId).toBeGreaterThan(10_000)
    // Every third, which is of all kinds: references are numbers here, and need not lead anywhere.
    const ids = Array.from({ length: Math.floor(btf.lastId / 3) }, (_, i) => 1 + i * 3)
    const types = ids.map((id) => Option.getOrThrow(Btf.type(btf, id)))
    const again = parse(Result.getOrThrow(Btf.encode(types)))
    expect(again.lastId).toBe(types.length)
    let different = 0
    for (const [id, type] of Btf.types(again)) {
      if (isDeepStrictEqual(type, types[id - 1])) continue // 10 times as fast as toEqual
      if (different++ === 0) expect(type).toEqual(types[id - 1])
    }
    expect(different).toBe(0)
  })

  it("lays out task_struct as bpftool says", (context) => {
    context.skip(!existsSync(path), `no ${path}`)
    const dumped = bpftool(path)
    context.skip(dumped === undefined, "no bpftool")
    const btf = parse(read())
    const { members, size } = dumped!
    expect(members.length).toBeGreaterThan(50)
    expect(Btf.sizeOf(btf, Btf.idsByName(btf, "task_struct", "Struct")[0]!)).toEqual(Result.succeed(size))
    const named = members.filter(({ name }) => name !== "(anon)")
    for (const { bitfield, name, offset, type } of named) {
      expect(Btf.member(btf, "task_struct", name)).toEqual(Result.succeed(member(name, type, offset, bitfield)))
    }
  })
})

interface Dumped {
  readonly size: number
  readonly members: ReadonlyArray<{
    readonly name: string
    readonly type: number
    readonly offset: number
    readonly bitfield: number
  }>
}

/** `task_struct` as bpftool prints it, or `undefined` where there is no bpftool. */
const bpftool = (path: string): Dumped | undefined => {
  let dump: string
  try {
    dump = execFileSync("bpftool", ["btf", "dump", "file", path, "format", "raw"], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` },
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "ignore"]
    })
  } catch {
    return undefined
  }
  const start = dump.indexOf("] STRUCT 'task_struct' ")
  const lines = dump.slice(start, start + 100_000).split("\n")
  const members: Array<Dumped["members"][number]> = []
  for (const line of lines.slice(1)) {
    const match = /^\t'(.*)' type_id=(\d+) bits_offset=(\d+)(?: bitfield_size=(\d+))?$/.exec(line)
    if (match === null) break
    members.push({
      name: match[1]!,
      type: Number(match[2]),
      offset: Number(match[3]),
      bitfield: Number(match[4] ?? 0)
    })
  }
  return { size: Number(/size=(\d+)/.exec(lines[0]!)![1]), members }
}
