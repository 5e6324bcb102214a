/**
 * The 19 kinds of BTF type as values, and `Opaque` for those of later formats. Type references are ids: 0 is `void`, and the first type of a BTF blob is 1.
 * Offsets of struct members are in bits, as in the format; sizes are in bytes.
 *
 * Source: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.
 */

/** An integer, or a `char` or `_Bool` by its encoding. `bits` may be less than `size * 8`, starting at bit `offset`. */
export interface Int {
  readonly _tag: "Int"
  readonly name: string
  readonly size: number
  readonly bits: number
  readonly offset: number
  readonly signed: boolean
  readonly char: boolean
  readonly bool: boolean
}

export interface Pointer {
  readonly _tag: "Pointer"
  readonly type: number
}

export interface Array {
  readonly _tag: "Array"
  readonly type: number
  readonly indexType: number
  readonly length: number
}

/** `bitOffset` counts from the start of the struct; `bitfieldSize` is 0 for a member that is no bit-field. */
export interface Member {
  readonly name: string
  readonly type: number
  readonly bitOffset: number
  readonly bitfieldSize: number
}

export interface Struct {
  readonly _tag: "Struct"
  readonly name: string
  readonly size: number
  readonly members: ReadonlyArray<Member>
}

export interface Union {
  readonly _tag: "Union"
  readonly name: string
  readonly size: number
  readonly members: ReadonlyArray<Member>
}

export interface Enum {
  readonly _tag: "Enum"
  readonly name: string
  readonly size: number
  readonly signed: boolean
  readonly values: ReadonlyArray<{ readonly name: string; readonly value: number }>
}

/** A forward declaration: `struct name;` or `union name;`. */
export interface Forward {
  readonly _tag: "Forward"
  readonly name: string
  readonly of: "struct" | "union"
}

export interface Typedef {
  readonly _tag: "Typedef"
  readonly name: string
  readonly type: number
}

export interface Volatile {
  readonly _tag: "Volatile"
  readonly type: number
}

export interface Const {
  readonly _tag: "Const"
  readonly type: number
}

export interface Restrict {
  readonly _tag: "Restrict"
  readonly type: number
}

/** Linkage as in the format: 0 static, 1 global, 2 extern. */
export interface Func {
  readonly _tag: "Func"
  readonly name: string
  readonly type: number
  readonly linkage: number
}

/** A last parameter with no name and type 0 stands for `...`. */
export interface FuncProto {
  readonly _tag: "FuncProto"
  readonly returns: number
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly type: number }>
}

export interface Var {
  readonly _tag: "Var"
  readonly name: string
  readonly type: number
  readonly linkage: number
}

/** A section of variables such as `.bss`; since kernel 5.2. */
export interface DataSection {
  readonly _tag: "DataSection"
  readonly name: string
  readonly size: number
  readonly variables: ReadonlyArray<{ readonly type: number; readonly offset: number; readonly size: number }>
}

/** Since kernel 5.13. */
export interface Float {
  readonly _tag: "Float"
  readonly name: string
  readonly size: number
}

/** `component` is the index of the member or parameter that is tagged, or -1 for the type itself; since kernel 5.16. */
export interface DeclTag {
  readonly _tag: "DeclTag"
  readonly name: string
  readonly type: number
  readonly component: number
  /** True for the text of any `__attribute__`, and not of `btf_decl_tag`; since kernel 6.15. */
  readonly attribute?: boolean
}

/** Since kernel 5.17. */
export interface TypeTag {
  readonly _tag: "TypeTag"
  readonly name: string
  readonly type: number
  /** True for the text of any `__attribute__`, and not of `btf_type_tag`; since kernel 6.15. */
  readonly attribute?: boolean
}

/** Since kernel 6.0. */
export interface Enum64 {
  readonly _tag: "Enum64"
  readonly name: string
  readonly size: number
  readonly signed: boolean
  readonly values: ReadonlyArray<{ readonly name: string; readonly value: bigint }>
}

/**
 * A type of a kind that this package does not know, of a BTF that says how large such types are (its layout section; since
 * kernel 7.1). Its parts are those of `struct btf_type`; `data` is what follows.
 */
export interface Opaque {
  readonly _tag: "Opaque"
  readonly kind: number
  readonly name: string
  readonly flag: boolean
  readonly vlen: number
  /** The size, or the id of a type: which of them it is, the kind says. */
  readonly word: number
  /** Bytes of what stands once, and of each of `vlen` entries. */
  readonly fixedSize: number
  readonly entrySize: number
  readonly data: Uint8Array
}

/** Any BTF type but `void`. */
export type BtfType =
  | Int
  | Pointer
  | Array
  | Struct
  | Union
  | Enum
  | Forward
  | Typedef
  | Volatile
  | Const
  | Restrict
  | Func
  | FuncProto
  | Var
  | DataSection
  | Float
  | DeclTag
  | TypeTag
  | Enum64
  | Opaque

/** The tags by `BTF_KIND_*` number; index 0 (`BTF_KIND_UNKN`) is no type, and `Opaque` has no number of its own. */
export const tags = [
  undefined,
  "Int",
  "Pointer",
  "Array",
  "Struct",
  "Union",
  "Enum",
  "Forward",
  "Typedef",
  "Volatile",
  "Const",
  "Restrict",
  "Func",
  "FuncProto",
  "Var",
  "DataSection",
  "Float",
  "DeclTag",
  "TypeTag",
  "Enum64"
] as const satisfies ReadonlyArray<BtfType["_tag"] | undefined>
