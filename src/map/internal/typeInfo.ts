// BTF for a map's key and value, made from their layouts: what local storage and spin locks need, and bpftool prints by.
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import type { Layout } from "../../layout/Layout.ts"

type Node = Layout<any>["node"]
type IntNode = Extract<Node, { readonly _tag: "Int" }>

/** Types under construction: equal ones are one. */
class Types {
  readonly list: Array<BtfType> = []
  private readonly known = new Map<string, number>()
  add(type: BtfType): number {
    const text = JSON.stringify(type)
    const found = this.known.get(text)
    if (found !== undefined) return found
    const id = this.list.push(type)
    this.known.set(text, id)
    return id
  }
}

const int = (types: Types, name: string, size: number, flags?: { signed?: boolean; bool?: boolean }) =>
  types.add({
    _tag: "Int",
    name,
    size,
    bits: size * 8,
    offset: 0,
    signed: flags?.signed ?? false,
    char: false,
    bool: flags?.bool ?? false
  })

const array = (types: Types, type: number, length: number): number =>
  types.add({ _tag: "Array", type, indexType: int(types, "unsigned int", 4), length })

/** The verifier finds a lock by the name of its type. */
const spinLock = (types: Types): number =>
  types.add({
    _tag: "Struct",
    name: "bpf_spin_lock",
    size: 4,
    members: [{ name: "val", type: int(types, "unsigned int", 4), bitOffset: 0, bitfieldSize: 0 }]
  })

const integer = (types: Types, node: IntNode): number =>
  node.label === "bpf_spin_lock"
    ? spinLock(types)
    : int(types, `__${node.signed ? "s" : "u"}${node.size * 8}`, node.size, { signed: node.signed })

/** BTF takes C identifiers only; layouts take any name. */
const identifier = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d)/, "_")

/** BTF strings are at most KSYM_NAME_LEN long; names of structs do not matter here. */
const add = (types: Types, node: Node, name: string): number => {
  switch (node._tag) {
    case "Int":
      return integer(types, node)
    case "Bool":
      return int(types, "_Bool", 1, { bool: true })
    case "CString":
      // As compilers have it: the kernel takes one encoding, and bpftool knows texts by this name.
      return array(types, int(types, "char", 1, { signed: true }), node.size)
    case "Bytes":
      return array(types, int(types, "__u8", 1), node.size)
    case "Enum":
      return integer(types, node.base)
    case "Array":
      return array(types, add(types, node.element, name), node.length)
    case "Mapped":
      return add(types, node.base, name)
    case "Union":
    case "Struct": {
      const fields = node._tag === "Struct"
        ? node.fields
        : node.members.map((member) => ({ ...member, offset: 0, bits: undefined }))
      const members = fields.map((field) => ({
        name: identifier(field.name),
        type: add(types, field.node, `${name}_${identifier(field.name)}`),
        bitOffset: field.offset * 8 + (field.bits?.shift ?? 0),
        bitfieldSize: field.bits?.width ?? 0
      }))
      return types.add({ _tag: node._tag, name: name.slice(0, 100), size: node.size, members })
    }
  }
}

/** A BTF blob, and the ids in it of the key's and the value's type. */
export interface TypeInfo {
  readonly bytes: Uint8Array
  readonly key: number
  readonly value: number
}

/** Fails for layouts that BTF has no room for, such as a struct of over 65,535 fields. */
export const typeInfo = (
  name: string,
  layouts: { readonly key: Layout<any>; readonly value: Layout<any> }
): Result.Result<TypeInfo, Btf.BtfError> => {
  const types = new Types()
  const prefix = identifier(name)
  const key = add(types, layouts.key.node, `${prefix}_key`)
  const value = add(types, layouts.value.node, `${prefix}_value`)
  return Result.map(Btf.encode(types.list), (bytes) => ({ bytes, key, value }))
}
