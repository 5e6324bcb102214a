// What is asked of BTF by name: Btf's functions beside parse and encode.
import { describe, it } from "@effect/vitest"
import { pipe } from "effect/Function"
import * as Result from "effect/Result"
import { expect } from "vitest"
import { Btf, type BtfType } from "../../../src/index.ts"

const int = (name: string, size = 4): BtfType.Int => ({
  _tag: "Int",
  name,
  size,
  bits: size * 8,
  offset: 0,
  signed: true,
  char: false,
  bool: false
})
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
const of = (...types: ReadonlyArray<BtfType.BtfType>): Btf.Btf =>
  Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode(types))))
const failure = (result: Result.Result<unknown, Btf.BtfError>): Btf.BtfError => Result.getOrThrow(Result.flip(result))

const btf = of(
  int("int"), // 1
  { ...int("char", 1), char: true }, // 2
  { _tag: "Const", type: 2 }, // 3
  { _tag: "Pointer", type: 3 }, // 4: const char *
  struct("point", 8, member("x", 1, 0), member("y", 1, 32)), // 5
  { _tag: "Array", type: 5, indexType: 1, length: 4 }, // 6: struct point[4]
  { _tag: "Pointer", type: 5 }, // 7
  struct("task", 64, member("name", 4, 0), member("", 9, 64), member("points", 6, 128), member("next", 21, 448)), // 8
  { _tag: "Union", name: "", size: 8, members: [member("here", 5, 0), member("there", 7, 0)] }, // 9
  {
    _tag: "FuncProto",
    returns: 1,
    parameters: [{ name: "task", type: 21 }, { name: "format", type: 4 }, { name: "", type: 0 }]
  }, // 10
  { _tag: "Func", name: "print_task", type: 10, linkage: 1 }, // 11
  { _tag: "FuncProto", returns: 0, parameters: [] }, // 12
  { _tag: "Pointer", type: 12 }, // 13: void (*)(void)
  { _tag: "Array", type: 13, indexType: 1, length: 2 }, // 14
  { _tag: "Typedef", name: "task_t", type: 8 }, // 15
  { _tag: "Var", name: "current", type: 15, linkage: 1 }, // 16
  { _tag: "Enum", name: "", size: 4, signed: false, values: [{ name: "SMALL", value: 1 }, { name: "BOTH", value: 7 }] }, // 17
  { _tag: "Enum64", name: "wide", size: 8, signed: true, values: [{ name: "LARGE", value: -(2n ** 40n) }] }, // 18
  {
    _tag: "Enum",
    name: "other",
    size: 4,
    signed: true,
    values: [{ name: "BOTH", value: -1 }, { name: "SMALL", value: 1 }]
  }, // 19
  { _tag: "DeclTag", name: "whole", type: 8, component: -1 }, // 20
  { _tag: "Pointer", type: 8 }, // 21
  { _tag: "DeclTag", name: "second", type: 8, component: 1, attribute: true }, // 22
  { _tag: "DeclTag", name: "first argument", type: 11, component: 0 }, // 23
  struct("task___old", 16, member("name", 4, 64)), // 24
  { _tag: "Const", type: 21 }, // 25: struct task *const
  { _tag: "Const", type: 6 }, // 26
  { _tag: "Pointer", type: 6 }, // 27
  { _tag: "Pointer", type: 10 }, // 28
  { _tag: "FuncProto", returns: 28, parameters: [{ name: "", type: 1 }] }, // 29: a function that returns a function pointer
  { _tag: "Typedef", name: "handler", type: 12 }, // 30
  { _tag: "Pointer", type: 30 } // 31
)

describe("find", () => {
  it("gives the type of a name and a kind, narrowed, with its id", () => {
    const [id, type] = Result.getOrThrow(Btf.find(btf, "point", "Struct"))
    expect([id, type.members.map(({ name }) => name)]).toEqual([5, ["x", "y"]])
    const [, wide] = Result.getOrThrow(pipe(btf, Btf.find("wide", "Enum64")))
    expect(wide.values[0]!.value).toBe(-(2n ** 40n))
    expect(Result.getOrThrow(Btf.find(btf, "current"))[1]._tag).toBe("Var")
  })

  it("fails with what is near, of that kind", () => {
    const error = failure(Btf.find(btf, "poimt", "Struct"))
    expect(error.near).toEqual(["point"])
    expect(error.message).toBe("BTF lookup: expected a Struct named poimt, got none; did you mean point?")
    expect(failure(Btf.find(btf, "print_tsk", "Func")).near).toEqual(["print_task"])
    expect(failure(Btf.find(btf, "print_tsk", "Struct")).near).toEqual([])
  })

  it("leaves a flavour out where no type has it", () => {
    expect(Result.getOrThrow(Btf.find(btf, "point___v2", "Struct"))[0]).toBe(5)
    expect(Result.getOrThrow(Btf.find(btf, "task___old", "Struct"))[0]).toBe(24)
    failure(Btf.find(btf, "point___v2", "Union"))
  })

  it("has all of a name, and all of a kind", () => {
    const two = of(struct("same", 4), struct("other", 0), struct("same", 8), { _tag: "Typedef", name: "same", type: 1 })
    expect(Btf.findAll(two, "same", "Struct").map(([id, type]) => [id, type.size])).toEqual([[1, 4], [3, 8]])
    expect(Btf.findAll(two, "same").map(([id]) => id)).toEqual([1, 3, 4])
    expect([...Btf.types(btf, "DeclTag")].map(([id, tag]) => [id, tag.component])).toEqual([[20, -1], [22, 1], [23, 0]])
    expect([...pipe(btf, Btf.types("Union"))].length).toBe(1)
  })
})

describe("member", () => {
  const at = (root: string | number, path: string): number => Result.getOrThrow(Btf.member(btf, root, path)).bitOffset

  it("takes the paths of relocations: in arrays, through pointers, out of anonymous unions", () => {
    expect(at("task", "points[2].y")).toBe(128 + 2 * 64 + 32)
    expect(at("task", "there->y")).toBe(32)
    expect(at("task", "here.y")).toBe(96)
    expect(at("task", "next->next->points[0]")).toBe(128)
    expect(at("task", "name")).toBe(0)
    expect(at("task", "name")).toBe(0) // and again, as it is kept
  })

  it("begins at a typedef, a keyword, an id, or a flavour", () => {
    for (const root of ["task_t", "struct task", "typedef task_t", 8, 15, 16, "task___v3"]) {
      expect(at(root, "points"), String(root)).toBe(128)
    }
    expect(at("task___old", "name")).toBe(64)
    expect(pipe(btf, Btf.member("point", "y"))).toEqual(Result.succeed(member("y", 1, 32)))
  })

  it("fails with the step at fault, and what is near", () => {
    expect(failure(Btf.member(btf, "task", "poinst[1]"))).toMatchObject({
      actual: "no member poinst",
      near: ["points"]
    })
    expect(failure(Btf.member(btf, "task", "points[4]")).actual).toContain("one of 4")
    expect(failure(Btf.member(btf, "task", "here->x")).actual).toContain("Struct")
    expect(failure(Btf.member(btf, "tsk", "x")).near).toEqual(["task"])
    expect(failure(Btf.member(btf, 99, "x")).actual).toContain("id 99")
  })

  it("that two types of a name have at different places is no guess", () => {
    const two = of(
      int("int"),
      struct("same", 4, member("x", 1, 0)),
      struct("same", 8, member("y", 1, 0), member("x", 1, 32))
    )
    expect(failure(Btf.member(two, "same", "x")).actual).toBe("bit 0 in one and bit 32 in another of types 2, 3")
    expect(Result.getOrThrow(Btf.member(two, "same", "y")).bitOffset).toBe(0)
  })

  it("of a few bits in BTF of before 5.0 has whole numbers, or is refused", () => {
    const old = of(
      { ...int("unsigned int"), bits: 3, offset: 0 },
      int("int"),
      struct("s", 4, member("bits", 1, 3), member("crooked", 2, 3))
    )
    expect(Btf.member(old, "s", "bits")).toEqual(Result.succeed(member("bits", 1, 3, 3)))
    expect(failure(Btf.member(old, "s", "crooked")).actual).toContain("bit 3")
  })
})

describe("a variable", () => {
  it("is followed by resolve and sizeOf", () => {
    expect(Result.getOrThrow(Btf.resolve(btf, 16))[0]).toBe(8)
    expect(Btf.sizeOf(btf, 16)).toEqual(Result.succeed(64))
  })
})

describe("C", () => {
  it("names types", () => {
    const names: { readonly [id: number]: string } = {
      0: "void",
      1: "int",
      4: "const char *",
      6: "struct point[4]",
      9: "union {…}",
      13: "void (*)(void)",
      14: "void (*[2])(void)",
      15: "task_t",
      17: "enum {…}",
      25: "struct task *const",
      26: "const struct point[4]",
      27: "struct point (*)[4]",
      28: "int (*)(struct task *task, const char *format, ...)",
      31: "handler *"
    }
    for (const [id, name] of Object.entries(names)) {
      expect(Result.getOrThrow(Btf.typeName(btf, Number(id))), id).toBe(name)
    }
    expect(Btf.declaration(btf, 14, "table")).toEqual(Result.succeed("void (*table[2])(void)"))
    expect(Btf.declaration(btf, 29, "choose")).toEqual(
      Result.succeed("int (*choose(int))(struct task *task, const char *format, ...)")
    )
    expect(pipe(btf, Btf.declaration(4, "name"))).toEqual(Result.succeed("const char *name"))
    expect(Btf.typeName(btf, 16)).toEqual(Result.succeed("task_t current"))
  })

  it("has no text for circles and for what is not there", () => {
    const circles = of(
      { _tag: "Pointer", type: 1 },
      {
        _tag: "FuncProto",
        returns: 0,
        parameters: [{ name: "", type: 2 }, { name: "", type: 2 }, { name: "x", type: 2 }]
      },
      { _tag: "Pointer", type: 77 },
      { _tag: "Const", type: 4 },
      struct("n".repeat(20_000), 1)
    )
    for (const id of [1, 2, 3, 4, 5, 99]) expect(failure(Btf.typeName(circles, id)).field).toMatch(/^type /)
  })
})

describe("a function's signature", () => {
  it("has parameters with types, and its declaration", () => {
    expect(Result.getOrThrow(Btf.signature(btf, "print_task"))).toEqual({
      id: 11,
      name: "print_task",
      returns: 1,
      parameters: [{ name: "task", type: 21 }, { name: "format", type: 4 }],
      variadic: true,
      text: "int print_task(struct task *task, const char *format, ...)"
    })
    expect(Result.getOrThrow(Btf.signature(btf, 12))).toMatchObject({ name: "", variadic: false, text: "void (void)" })
    expect(failure(Btf.signature(btf, "print")).near).toEqual(["print_task"])
    expect(failure(Btf.signature(btf, 5)).actual).toBe("Struct")
  })
})

describe("enumerators", () => {
  it("are found by name in any enum, anonymous ones too", () => {
    expect(Btf.enumerator(btf, "SMALL")).toEqual(Result.succeed({ enum: 17, name: "SMALL", value: 1 }))
    expect(Btf.enumerator(btf, "LARGE")).toEqual(Result.succeed({ enum: 18, name: "LARGE", value: -(2n ** 40n) }))
    expect(Btf.enumerators(btf, "BOTH").map((one) => [one.enum, one.value])).toEqual([[17, 7], [19, -1]])
    expect(failure(Btf.enumerator(btf, "BOTH")).actual).toBe("7 in type 17 and -1 in type 19")
    expect(failure(Btf.enumerator(btf, "SMAL")).near).toEqual(["SMALL"])
    expect(Btf.enumerators(btf, "")).toEqual([])
  })
})

describe("declaration tags", () => {
  it("are found by target and component", () => {
    expect(Btf.tagsOf(btf, 8).map(({ name }) => name)).toEqual(["whole", "second"])
    expect(Btf.tagsOf(btf, 8, -1).map(({ name }) => name)).toEqual(["whole"])
    expect(pipe(btf, Btf.tagsOf(8, 1))).toEqual([
      { _tag: "DeclTag", name: "second", type: 8, component: 1, attribute: true }
    ])
    expect(Btf.tagsOf(btf, 11, 0).map(({ name }) => name)).toEqual(["first argument"])
    expect(Btf.tagsOf(btf, 1)).toEqual([])
  })
})
