// The BTF wire format, from Documentation/bpf/btf.rst: a header, a type section of variable-length records, a section
// of NUL-terminated strings.

export const BTF_MAGIC = 0xeb9f
export const BTF_VERSION = 1
/** sizeof(struct btf_header) */
export const HEADER_SIZE = 24
/** sizeof(struct btf_type): name_off, info, size or type */
export const TYPE_SIZE = 12
/** The largest `btf_type` id (BTF_MAX_TYPE) and string offset (BTF_MAX_NAME_OFFSET) that the kernel takes. */
export const BTF_MAX_TYPE = 0xfffff
export const BTF_MAX_NAME_OFFSET = 0xffffff

export const infoKind = (info: number): number => (info >>> 24) & 0x1f
export const infoVlen = (info: number): number => info & 0xffff
export const infoFlag = (info: number): boolean => info >>> 31 === 1

/** What follows `struct btf_type` for each kind: a fixed part, and a part for each of `vlen` entries, in bytes. */
export const trailer: ReadonlyArray<{ readonly fixed: number; readonly each: number } | undefined> = [
  undefined,
  { fixed: 4, each: 0 }, // Int
  { fixed: 0, each: 0 }, // Pointer
  { fixed: 12, each: 0 }, // Array
  { fixed: 0, each: 12 }, // Struct
  { fixed: 0, each: 12 }, // Union
  { fixed: 0, each: 8 }, // Enum
  { fixed: 0, each: 0 }, // Forward
  { fixed: 0, each: 0 }, // Typedef
  { fixed: 0, each: 0 }, // Volatile
  { fixed: 0, each: 0 }, // Const
  { fixed: 0, each: 0 }, // Restrict
  { fixed: 0, each: 0 }, // Func
  { fixed: 0, each: 8 }, // FuncProto
  { fixed: 4, each: 0 }, // Var
  { fixed: 0, each: 12 }, // DataSection
  { fixed: 0, each: 0 }, // Float
  { fixed: 4, each: 0 }, // DeclTag
  { fixed: 0, each: 0 }, // TypeTag
  { fixed: 0, each: 12 } // Enum64
]

/** FNV-1a over bytes up to a NUL. */
export const hashName = (bytes: Uint8Array, start: number): number => {
  let hash = 0x811c9dc5
  for (let i = start; bytes[i] !== 0 && i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
  return hash >>> 0
}
