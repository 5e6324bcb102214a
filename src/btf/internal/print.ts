// Types as C writes them.
import * as Result from "effect/Result"
import { blobOf, type Btf } from "./blob.ts"
import { decode } from "./decode.ts"
import { type BtfError, problem } from "./error.ts"
import { KIND } from "./format.ts"
import { follow } from "./resolve.ts"

/** The most types that one text is made of: beyond it the BTF is circular, or meant to waste time. */
const MOST = 500
/** The longest text: names of many kilobytes are none that C has. */
const LONGEST = 10_000

const join = (base: string, declarator: string): string =>
  declarator === "" || declarator.startsWith("[") ? base + declarator : `${base} ${declarator}`

/** Writes declarations from the inside out, as C's grammar has it: `int (*name)[3]`. */
class Printer {
  private readonly btf: Btf
  private visited = 0

  constructor(btf: Btf) {
    this.btf = btf
  }

  private isSuffixed(id: number): boolean {
    const found = follow(this.btf, id)
    const owner = found < 0 ? undefined : blobOf(this.btf).owner(found)
    if (owner === undefined) return false
    // A typedef of an array or a function is a name, and needs no parentheses.
    for (let current = id, depth = 0; current !== found && depth < 32; depth++) {
      const between = blobOf(this.btf).owner(current)!
      if (between.kind(current) === KIND.Typedef) return false
      current = between.unsigned(between.at(current) + 2)
    }
    const kind = owner.kind(found)
    return kind === KIND.Array || kind === KIND.FuncProto
  }

  private parameters(parameters: ReadonlyArray<{ readonly name: string; readonly type: number }>): string {
    if (parameters.length === 0) return "void"
    return parameters.map(({ name, type }, i) =>
      type === 0 && name === "" && i === parameters.length - 1 ? "..." : this.declare(type, name)
    ).join(", ")
  }

  declare(id: number, name: string): string {
    let declarator = name
    let qualifiers: Array<string> = []
    const based = (base: string): string => join([...qualifiers, base].join(" "), declarator)
    for (let current = id;;) {
      if (++this.visited > MOST) throw problem(`type ${id}`, `at most ${MOST} types in a text`, "more, or a circle")
      if (declarator.length > LONGEST) {
        throw problem(`type ${id}`, `a text of at most ${LONGEST} characters`, "a longer one")
      }
      if (current === 0) return based("void")
      const type = decode(this.btf, current)
      if (type === undefined) throw problem(`type ${id}`, "a type", `id ${current}`)
      switch (type._tag) {
        case "Const":
        case "Volatile":
        case "Restrict":
          qualifiers.unshift(type._tag.toLowerCase())
          current = type.type
          continue
        case "TypeTag":
          current = type.type
          continue
        case "Pointer": {
          const inner = [...qualifiers, ...(declarator === "" ? [] : [declarator])].join(" ")
          declarator = this.isSuffixed(type.type) ? `(*${inner})` : `*${inner}`
          qualifiers = []
          current = type.type
          continue
        }
        case "Array":
          declarator += `[${type.length === 0 ? "" : type.length}]`
          current = type.type
          continue
        case "FuncProto":
          declarator += `(${this.parameters(type.parameters)})`
          qualifiers = []
          current = type.returns
          continue
        case "Func":
        case "Var":
          if (declarator === "") declarator = type.name
          current = type.type
          continue
        case "DeclTag":
          current = type.type
          continue
        case "Struct":
        case "Union": {
          const keyword = type._tag.toLowerCase()
          return based(`${keyword} ${type.name === "" ? "{…}" : type.name}`)
        }
        case "Enum":
        case "Enum64":
          return based(`enum ${type.name === "" ? "{…}" : type.name}`)
        case "Forward":
          return based(`${type.of} ${type.name}`)
        case "DataSection":
          return based(`section ${type.name}`)
        case "Opaque":
          return based(`kind ${type.kind}${type.name === "" ? "" : ` ${type.name}`}`)
        default:
          return based(type.name)
      }
    }
  }
}

/** A declaration of something of this type: `int (*name)(struct file *file)`. */
export const declare = (btf: Btf, id: number, name: string): Result.Result<string, BtfError> =>
  Result.try({
    try: () => {
      const text = new Printer(btf).declare(id, name)
      if (text.length > LONGEST) throw problem(`type ${id}`, `a text of at most ${LONGEST} characters`, "a longer one")
      return text
    },
    catch: (error) => error as BtfError
  })
