import type * as Schema from "effect/Schema"
import { schemaModule } from "../../effect/onDemand.ts"
import { type IntNode, type Node, range } from "./node.ts"

const encoder = new TextEncoder()

const int = (node: IntNode, width: number): Schema.Codec<any> => {
  const Schema = schemaModule()
  const [minimum, maximum] = range(node, width)
  if (node.bigint) return Schema.BigInt.check(Schema.isBetweenBigInt({ minimum, maximum }))
  const limit = BigInt(Number.MAX_SAFE_INTEGER)
  return Schema.Int.check(Schema.isBetween({
    minimum: Number(minimum < -limit ? -limit : minimum),
    maximum: Number(maximum > limit ? limit : maximum)
  }))
}

/** The Effect Schema of a layout's values: its checks are the limits that the encoder enforces. */
export const schemaOf = (node: Node): Schema.Codec<any> => {
  const Schema = schemaModule()
  switch (node._tag) {
    case "Int":
      return int(node, node.size * 8)
    case "Bool":
      return Schema.Boolean
    case "CString":
      return Schema.String.check(
        Schema.isBetweenLength(0, node.size - 1),
        Schema.makeFilter((text: string) => encoder.encode(text).length < node.size && !text.includes("\0"), {
          expected: `a string without NUL of at most ${node.size - 1} bytes in UTF-8`
        }),
        Schema.makeFilter((text: string) => text.isWellFormed(), { expected: "well-formed Unicode" })
      )
    case "Bytes":
      return Schema.Uint8Array.check(Schema.isBetweenLength(node.size, node.size))
    case "Enum":
      return Schema.Union([Schema.Literals([...node.values.keys()]), int(node.base, node.size * 8)])
    case "Array": {
      const element = schemaOf(node.element)
      return Schema.Array(element).check(Schema.isBetweenLength(node.length, node.length)) as Schema.Codec<any>
    }
    case "Mapped":
      return node.schema() as Schema.Codec<any>
    case "Union":
      return Schema.Union(
        node.members.map((m) => Schema.Struct({ [m.name]: schemaOf(m.node) }))
      ) as unknown as Schema.Codec<any>
    case "Struct":
      return Schema.Struct(Object.fromEntries(node.fields.map((field) => [
        field.name,
        field.bits === undefined ? schemaOf(field.node) : int(field.node as IntNode, field.bits.width)
      ]))) as unknown as Schema.Codec<any>
  }
}
