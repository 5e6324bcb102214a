// Loads and stores, wide immediates, and packet loads.
import type { Instruction, MapHandle } from "../Instruction.ts"
import { classes, modes, pseudo, sizes, WIDE_LOAD } from "../opcodes.ts"
import { at, type Immediate, number, offsetOf, operand, type Register } from "./operand.ts"
import { named } from "./source.ts"

/** `dst = *(src + offset)`, zero-extended. */
export type Load = (dst: Register, src: Register, offset: Immediate) => Instruction

const load = (name: string, size: number, mode: number = modes.BPF_MEM): Load => {
  const opcode = classes.BPF_LDX | mode | size
  const builder: Load = named(
    name,
    (dst, src, offset) => at(builder, { opcode, dst: number(dst), src: number(src), ...offsetOf(offset) })
  )
  return builder
}

/** Loads 1 byte. */
export const ldxb: Load = load("ldxb", sizes.BPF_B)
/** Loads 2 bytes. */
export const ldxh: Load = load("ldxh", sizes.BPF_H)
/** Loads 4 bytes. */
export const ldxw: Load = load("ldxw", sizes.BPF_W)
/** Loads 8 bytes. */
export const ldxdw: Load = load("ldxdw", sizes.BPF_DW)

/** Loads 1 byte, sign-extended to 64 bits. Kernel 6.6. */
export const ldxsb: Load = load("ldxsb", sizes.BPF_B, modes.BPF_MEMSX)
/** Loads 2 bytes, sign-extended to 64 bits. Kernel 6.6. */
export const ldxsh: Load = load("ldxsh", sizes.BPF_H, modes.BPF_MEMSX)
/** Loads 4 bytes, sign-extended to 64 bits. Kernel 6.6. */
export const ldxsw: Load = load("ldxsw", sizes.BPF_W, modes.BPF_MEMSX)

/** `*(dst + offset) = value`: the low bytes of a register, or an immediate. */
export type Store = (dst: Register, offset: Immediate, value: Register | number) => Instruction

const store = (name: string, size: number): Store => {
  const builder: Store = named(name, (dst, offset, value) => {
    const { immediate, src } = operand(value)
    const instructionClass = typeof value === "string" ? classes.BPF_STX : classes.BPF_ST
    return at(builder, {
      opcode: instructionClass | modes.BPF_MEM | size,
      dst: number(dst),
      src: src ?? 0,
      immediate: immediate ?? 0,
      ...offsetOf(offset)
    })
  })
  return builder
}

/** Stores 1 byte. */
export const stb: Store = store("stb", sizes.BPF_B)
/** Stores 2 bytes. */
export const sth: Store = store("sth", sizes.BPF_H)
/** Stores 4 bytes. */
export const stw: Store = store("stw", sizes.BPF_W)
/** Stores 8 bytes; an immediate is sign-extended. */
export const stdw: Store = store("stdw", sizes.BPF_DW)

/** `dst = value`, a 64-bit immediate. It takes two slots. */
export const lddw = (dst: Register, value: bigint): Instruction =>
  at(lddw, { opcode: WIDE_LOAD, dst: number(dst), immediate: value })

/**
 * A map by the name under which it is given to `Program.load`, by a spec or what has a spec of that name, or by a handle,
 * which need not be given to `Program.load`.
 */
export type MapOperand =
  | string
  | { readonly name: string }
  | { readonly spec: { readonly name: string } }
  | MapHandle

const mapReference = (map: MapOperand): Instruction["reference"] => {
  if (typeof map === "string") return { _tag: "Map", name: map }
  if (!("spec" in map)) return { _tag: "Map", name: map.name }
  return "fd" in map ? { _tag: "Map", name: map.spec.name, handle: map } : { _tag: "Map", name: map.spec.name }
}

/** `dst` = a map, as helpers take it. */
export const ldMapFd = (dst: Register, map: MapOperand): Instruction =>
  at(ldMapFd, {
    opcode: WIDE_LOAD,
    dst: number(dst),
    src: pseudo.BPF_PSEUDO_MAP_FD,
    immediate: 0n,
    reference: mapReference(map)
  })

/**
 * `dst` = the address of the byte at `offset` in the one value of an array map: how programs reach their global data,
 * without a look-up. Kernel 5.2.
 */
export const ldMapValue = (dst: Register, map: MapOperand, offset = 0): Instruction =>
  at(ldMapValue, {
    opcode: WIDE_LOAD,
    dst: number(dst),
    src: pseudo.BPF_PSEUDO_MAP_VALUE,
    // The upper half is the offset. A broken one becomes a value that `assemble` reports.
    immediate: Number.isInteger(offset) && offset >= 0 && offset <= 0xffffffff ? BigInt(offset) << 32n : 2n ** 64n,
    reference: mapReference(map)
  })

/** `dst` = the address of a variable of the kernel, by name (`bpf_prog_active`); per-CPU ones need a helper. Kernel 5.10. */
export const ldKernelVariable = (dst: Register, name: string): Instruction =>
  at(ldKernelVariable, {
    opcode: WIDE_LOAD,
    dst: number(dst),
    src: pseudo.BPF_PSEUDO_BTF_ID,
    immediate: 0n,
    reference: { _tag: "KernelVariable", name }
  })

/**
 * `r0` = the bytes at `offset` of the packet, from network byte order. Classic BPF's way to read packets: it needs the
 * context in `r6`, destroys `r1` to `r5`, and ends the program with 0 where the packet is too short.
 */
export type PacketLoad = (offset: number) => Instruction

const packetLoad = (name: string, size: number): PacketLoad => {
  const builder: PacketLoad = named(
    name,
    (offset) => at(builder, { opcode: classes.BPF_LD | modes.BPF_ABS | size, immediate: offset })
  )
  return builder
}

/** Loads 1 byte of the packet. */
export const ldabsb: PacketLoad = packetLoad("ldabsb", sizes.BPF_B)
/** Loads 2 bytes of the packet. */
export const ldabsh: PacketLoad = packetLoad("ldabsh", sizes.BPF_H)
/** Loads 4 bytes of the packet. */
export const ldabsw: PacketLoad = packetLoad("ldabsw", sizes.BPF_W)

/** As `PacketLoad`, at the offset in a register plus `offset`. */
export type IndirectPacketLoad = (src: Register, offset?: number) => Instruction

const indirectPacketLoad = (name: string, size: number): IndirectPacketLoad => {
  const builder: IndirectPacketLoad = named(
    name,
    (src, offset = 0) =>
      at(builder, { opcode: classes.BPF_LD | modes.BPF_IND | size, src: number(src), immediate: offset })
  )
  return builder
}

/** Loads 1 byte of the packet, at a register plus an offset. */
export const ldindb: IndirectPacketLoad = indirectPacketLoad("ldindb", sizes.BPF_B)
/** Loads 2 bytes of the packet, at a register plus an offset. */
export const ldindh: IndirectPacketLoad = indirectPacketLoad("ldindh", sizes.BPF_H)
/** Loads 4 bytes of the packet, at a register plus an offset. */
export const ldindw: IndirectPacketLoad = indirectPacketLoad("ldindw", sizes.BPF_W)
