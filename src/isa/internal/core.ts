// CO-RE, "compile once, run everywhere": numbers that the target kernel's types tell when the program is loaded.
import type { CoreKind, CoreReference, CoreShape, Instruction } from "../Instruction.ts"
import { classes, modes, sizes, WIDE_LOAD } from "../opcodes.ts"
import { add, arsh, lsh, mov, rsh } from "./arithmetic.ts"
import { call, ja, jne, label, scope } from "./control.ts"
import type { Item } from "./item.ts"
import { ldxdw, stdw } from "./memory.ts"
import { at, type Immediate, Operands, type Register } from "./operand.ts"
import { sequence } from "./source.ts"

const reference = (kind: CoreKind, type: string, member?: string, shape?: CoreShape): CoreReference => ({
  _tag: "Core",
  kind,
  type,
  member,
  shape
})

/**
 * The offset in bytes of a member of a struct or union of the kernel, for the offset of a load or the immediate of an
 * addition: `Asm.ldxw("r1", "r2", Asm.coreFieldOffset("task_struct", "pid"))`.
 *
 * `member` is a path: `"mm.owner"` in nested structs, `"comm[3]"` in arrays; members of anonymous structs are named as if
 * they were the outer one's. Through pointers, `"mm->owner"`, it is the offset in what the last one points to. For a
 * bit-field it is that of the bytes that hold it.
 */
export const coreFieldOffset = (type: string, member: string): CoreReference =>
  reference("field_byte_offset", type, member)

/** The size in bytes of a member. */
export const coreFieldSize = (type: string, member: string): CoreReference => reference("field_byte_size", type, member)

/** 1 if the kernel's type has the member, and 0 if not, or if there is no such type. */
export const coreFieldExists = (type: string, member: string): CoreReference => reference("field_exists", type, member)

/** 1 if the member is a signed integer or enum, and 0 if not. */
export const coreFieldSigned = (type: string, member: string): CoreReference => reference("field_signed", type, member)

/** How far to shift the member's bytes left in a register of 64 bits to cut off what is above it. */
export const coreFieldLshift = (type: string, member: string): CoreReference =>
  reference("field_lshift_u64", type, member)

/** How far to shift right after `coreFieldLshift`; `arsh` for signed members. */
export const coreFieldRshift = (type: string, member: string): CoreReference =>
  reference("field_rshift_u64", type, member)

/** 1 if the kernel has a type of that name, and 0 if not. `"struct name"`, `"union name"` and `"enum name"` are of a kind. */
export const coreTypeExists = (type: string): CoreReference => reference("type_exists", type)

/** The size in bytes of a type. */
export const coreTypeSize = (type: string): CoreReference => reference("type_size", type)

/** The id of a type in the kernel's BTF, as some helpers take it. */
export const coreTypeId = (type: string): CoreReference => reference("type_id_target", type)

/** 1 if the kernel has a type of that name with the kind, members or values of `shape`, and 0 if not. */
export const coreTypeMatches = (type: string, shape: CoreShape): CoreReference =>
  reference("type_matches", type, undefined, shape)

/** The value of an enumerator, `coreEnumValue("bpf_map_type", "BPF_MAP_TYPE_HASH")`; `lddwCore` takes those of 64 bits. */
export const coreEnumValue = (type: string, name: string): CoreReference => reference("enumval_value", type, name)

/** 1 if the enum has the enumerator, and 0 if not. */
export const coreEnumExists = (type: string, name: string): CoreReference => reference("enumval_exists", type, name)

/** `dst` = a number of the kernel's types, in 64 bits. It takes two slots. */
export const lddwCore = (dst: Register, value: CoreReference): Instruction => {
  const operands = new Operands(lddwCore)
  const reference = operands.core("value", value)
  return at(lddwCore, operands, { opcode: WIDE_LOAD, dst: operands.register("dst", dst), immediate: 0n, reference })
}

/**
 * `dst` = a member of 1, 2, 4 or 8 bytes, zero-extended, of the struct that `src` points to, which the verifier must
 * know: an argument of a `tracing` or `lsm` program, for one. Offset and size are the target kernel's. For other pointers
 * see `coreRead`.
 */
export const coreLdx = (dst: Register, src: Register, type: string, member: string): Instruction => {
  const operands = new Operands(coreLdx)
  const field = coreFieldOffset(operands.name("type", type), operands.name("member", member))
  return at(coreLdx, operands, {
    opcode: classes.BPF_LDX | modes.BPF_MEM | sizes.BPF_DW,
    dst: operands.register("dst", dst),
    src: operands.register("src", src),
    reference: { ...field, access: true }
  })
}

/** The prefixes of a path at its arrows: `a->b.c->d` gives `a`, `a->b.c`, `a->b.c->d`. */
const hops = (path: string): ReadonlyArray<string> => {
  const parts = path.split("->")
  return parts.map((_, i) => parts.slice(0, i + 1).join("->"))
}

/**
 * `dst` = a member of up to 8 bytes, or a bit-field, of the struct at the address in `src`, in 64 bits with its sign. The
 * path may lead through pointers, `"mm->owner->pid"`. Memory is read by `probe_read_kernel`, and what cannot be read is 0.
 *
 * `scratch` is the offset from `r10` of 8 bytes of stack for the time of the read, such as -8. It destroys `r0` to `r5`.
 */
export const coreRead = (
  dst: Register,
  src: Register,
  type: string,
  path: string,
  scratch: number
): ReadonlyArray<Item> =>
  sequence(coreRead, () => {
    const paths = hops(path)
    const last = paths.length - 1
    const read = (member: string, size: Immediate): ReadonlyArray<Item> => [
      add("r3", coreFieldOffset(type, member)),
      stdw("r10", scratch, 0), // a smaller member leaves the rest as it is
      mov("r1", "r10"),
      add("r1", scratch),
      mov("r2", size),
      call("probe_read_kernel")
    ]
    return [
      mov("r3", src),
      paths.slice(0, last).map((member) => [read(member, 8), ldxdw("r3", "r10", scratch)]),
      read(paths[last]!, coreFieldSize(type, path)),
      ldxdw(dst, "r10", scratch),
      extract(dst, type, path)
    ]
  })

/** Cuts the member out of the bytes that hold it. The verifier drops the branch that is not taken. */
const extract = (dst: Register, type: string, path: string): Item => {
  const other: Register = dst === "r1" ? "r2" : "r1"
  return scope([
    lsh(dst, coreFieldLshift(type, path)),
    mov(other, coreFieldSigned(type, path)),
    jne(other, 0, "signed"),
    rsh(dst, coreFieldRshift(type, path)),
    ja("done"),
    label("signed"),
    arsh(dst, coreFieldRshift(type, path)),
    label("done")
  ])
}
