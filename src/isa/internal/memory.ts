// Loads and stores, wide immediates, and packet loads.
import type { Instruction, MapHandle } from "../Instruction.ts"
import { classes, modes, pseudo, sizes, sources, WIDE_LOAD } from "../opcodes.ts"
import { INT32, type Range, UINT32, WORD32 } from "../immediates.ts"
import { at, type Immediate, Operands, type Register } from "./operand.ts"
import { named } from "./source.ts"

/** `dst = *(src + offset)`, zero-extended. */
export type Load = (dst: Register, src: Register, offset: Immediate) => Instruction

const load = (name: string, size: number, mode: number = modes.BPF_MEM): Load => {
  const opcode = classes.BPF_LDX | mode | size
  const builder: Load = named(name, (dst, src, offset) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode,
      dst: operands.register("dst", dst),
      src: operands.register("src", src),
      ...operands.offset(offset)
    })
  })
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

/** `*(dst + offset) = value`: the low bytes of a register, or a number that as many bytes hold, signed or unsigned. */
export type Store = (dst: Register, offset: Immediate, value: Register | number) => Instruction

const store = (name: string, size: number, range: Range): Store => {
  const builder: Store = named(name, (dst, offset, value) => {
    const operands = new Operands(builder)
    const { from, ...rest } = operands.operand(value, { range })
    const instructionClass = from === sources.BPF_X ? classes.BPF_STX : classes.BPF_ST
    return at(builder, operands, {
      opcode: instructionClass | modes.BPF_MEM | size,
      dst: operands.register("dst", dst),
      ...operands.offset(offset),
      ...rest
    })
  })
  return builder
}

/** Stores 1 byte. */
export const stb: Store = store("stb", sizes.BPF_B, [-0x80, 0xff])
/** Stores 2 bytes. */
export const sth: Store = store("sth", sizes.BPF_H, [-0x8000, 0xffff])
/** Stores 4 bytes. */
export const stw: Store = store("stw", sizes.BPF_W, WORD32)
/** Stores 8 bytes; an immediate is from -2^31 to 2^31 - 1. */
export const stdw: Store = store("stdw", sizes.BPF_DW, INT32)

/** `dst = value`, a 64-bit immediate, signed or unsigned. It takes two slots. */
export const lddw = (dst: Register, value: bigint): Instruction => {
  const operands = new Operands(lddw)
  const isFitting = typeof value === "bigint" && value >= -(2n ** 63n) && value < 2n ** 64n
  if (!isFitting) {
    const cure = Number.isInteger(value) ? `write ${value}n` : undefined
    operands.wrong("value", "a bigint from -2^63 to 2^64 - 1", value, cure)
  }
  return at(lddw, operands, {
    opcode: WIDE_LOAD,
    dst: operands.register("dst", dst),
    immediate: isFitting ? value : 0n
  })
}

/**
 * A map by the name under which it is given to `Program.load`, by a spec or what has a spec of that name, or by a handle,
 * which need not be given to `Program.load`.
 */
export type MapOperand =
  | string
  | { readonly name: string }
  | { readonly spec: { readonly name: string } }
  | MapHandle

/** The name of a map by what refers to it; `undefined` for what has none, or throws when it is read. */
const nameOf = (map: MapOperand): unknown => {
  if (typeof map === "string") return map
  try {
    const spec: unknown = typeof map === "object" && map !== null ? ("spec" in map ? map.spec : map) : undefined
    return (spec as { readonly name?: unknown } | null | undefined)?.name
  } catch {
    return undefined
  }
}

const mapReference = (operands: Operands, map: MapOperand): Instruction["reference"] => {
  const isObject = typeof map === "object" && map !== null
  const name = nameOf(map)
  if (typeof name !== "string" || name === "") {
    operands.wrong("map", "a map's name, its spec, or what has one", map)
    return undefined
  }
  return isObject && "spec" in map && "fd" in map ? { _tag: "Map", name, handle: map } : { _tag: "Map", name }
}

/** `dst` = a map, as helpers take it. */
export const ldMapFd = (dst: Register, map: MapOperand): Instruction => {
  const operands = new Operands(ldMapFd)
  return at(ldMapFd, operands, {
    opcode: WIDE_LOAD,
    dst: operands.register("dst", dst),
    src: pseudo.BPF_PSEUDO_MAP_FD,
    immediate: 0n,
    reference: mapReference(operands, map)
  })
}

/**
 * `dst` = the address of the byte at `offset` in the one value of an array map: how programs reach their global data,
 * without a look-up. Kernel 5.2.
 */
export const ldMapValue = (dst: Register, map: MapOperand, offset = 0): Instruction => {
  const operands = new Operands(ldMapValue)
  return at(ldMapValue, operands, {
    opcode: WIDE_LOAD,
    dst: operands.register("dst", dst),
    src: pseudo.BPF_PSEUDO_MAP_VALUE,
    reference: mapReference(operands, map),
    immediate: BigInt(operands.integer("offset", offset, UINT32)) << 32n // the upper half
  })
}

/** `dst` = the address of a variable of the kernel, by name (`bpf_prog_active`); per-CPU ones need a helper. Kernel 5.10. */
export const ldKernelVariable = (dst: Register, name: string): Instruction => {
  const operands = new Operands(ldKernelVariable)
  return at(ldKernelVariable, operands, {
    opcode: WIDE_LOAD,
    dst: operands.register("dst", dst),
    src: pseudo.BPF_PSEUDO_BTF_ID,
    immediate: 0n,
    reference: { _tag: "KernelVariable", name: operands.name("name", name) }
  })
}

/**
 * `r0` = the bytes at `offset` of the packet, from network byte order. Classic BPF's way to read packets: it needs the
 * context in `r6`, destroys `r1` to `r5`, and ends the program with 0 where the packet is too short.
 */
export type PacketLoad = (offset: number) => Instruction

const packetLoad = (name: string, size: number): PacketLoad => {
  const builder: PacketLoad = named(name, (offset) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode: classes.BPF_LD | modes.BPF_ABS | size,
      immediate: operands.integer("offset", offset, INT32)
    })
  })
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
  const builder: IndirectPacketLoad = named(name, (src, offset = 0) => {
    const operands = new Operands(builder)
    return at(builder, operands, {
      opcode: classes.BPF_LD | modes.BPF_IND | size,
      src: operands.register("src", src),
      immediate: operands.integer("offset", offset, INT32)
    })
  })
  return builder
}

/** Loads 1 byte of the packet, at a register plus an offset. */
export const ldindb: IndirectPacketLoad = indirectPacketLoad("ldindb", sizes.BPF_B)
/** Loads 2 bytes of the packet, at a register plus an offset. */
export const ldindh: IndirectPacketLoad = indirectPacketLoad("ldindh", sizes.BPF_H)
/** Loads 4 bytes of the packet, at a register plus an offset. */
export const ldindw: IndirectPacketLoad = indirectPacketLoad("ldindw", sizes.BPF_W)
