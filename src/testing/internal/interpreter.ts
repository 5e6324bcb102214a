// Executes BPF programs with the kernel's semantics (RFC 9669): 64-bit registers, 32-bit operations that zero the upper
// half, masked shifts, division by zero that gives 0. Every memory access is checked against the address space.
import { alu, classes, jumps, modes, sizes, WIDE_LOAD } from "../../isa/opcodes.ts"
import { ProgramTrap } from "../ProgramTrap.ts"
import { AccessFault, addressOf, type AddressSpace, viewOf } from "./memory.ts"

/** The stack of a program, MAX_BPF_STACK in include/linux/filter.h. */
const STACK_SIZE = 512

/** The instructions that one run may take: what the verifier would analyse at most (BPF_COMPLEXITY_LIMIT_INSNS). */
const BUDGET = 1_000_000

/** A helper that is called with the five argument registers and gives `r0`. */
export type Helper = (a1: bigint, a2: bigint, a3: bigint, a4: bigint, a5: bigint) => bigint

/** A program whose slots are decoded, and whose wide loads hold the addresses of its maps. */
export interface Code {
  readonly name: string
  readonly length: number
  readonly opcodes: Uint8Array
  readonly dst: Uint8Array
  readonly src: Uint8Array
  readonly offsets: Int16Array
  readonly immediates: Int32Array
  /** The values of wide loads, by slot. */
  readonly wide: ReadonlyMap<number, bigint>
}

/** Decodes instruction bytes. `wideValue` gives what a wide load with a pseudo source register loads. */
export const decode = (
  name: string,
  bytes: Uint8Array,
  wideValue: (src: number, immediate: bigint) => bigint
): Code => {
  const length = bytes.length / 8
  const view = viewOf(bytes)
  const slots = Array.from({ length }, (_, i) => i)
  const opcodes = Uint8Array.from(slots, (i) => bytes[i * 8]!)
  const wide = new Map<number, bigint>()
  for (let i = 0; i < length; i++) {
    if (opcodes[i] !== WIDE_LOAD || i + 1 >= length) continue
    const immediate = (BigInt(view.getUint32(i * 8 + 12, true)) << 32n) | BigInt(view.getUint32(i * 8 + 4, true))
    wide.set(i, wideValue(bytes[i * 8 + 1]! >> 4, immediate))
    i++
  }
  return {
    name,
    length,
    opcodes,
    dst: Uint8Array.from(slots, (i) => bytes[i * 8 + 1]! & 15),
    src: Uint8Array.from(slots, (i) => bytes[i * 8 + 1]! >> 4),
    offsets: Int16Array.from(slots, (i) => view.getInt16(i * 8 + 2, true)),
    immediates: Int32Array.from(slots, (i) => view.getInt32(i * 8 + 4, true)),
    wide
  }
}

const signed64 = (value: bigint): bigint => BigInt.asIntN(64, value)

const alu64 = (operation: number, a: bigint, b: bigint): bigint => {
  switch (operation) {
    case alu.BPF_ADD:
      return a + b
    case alu.BPF_SUB:
      return a - b
    case alu.BPF_MUL:
      return a * b
    case alu.BPF_DIV:
      return b === 0n ? 0n : a / b
    case alu.BPF_MOD:
      return b === 0n ? a : a % b
    case alu.BPF_OR:
      return a | b
    case alu.BPF_AND:
      return a & b
    case alu.BPF_XOR:
      return a ^ b
    case alu.BPF_LSH:
      return a << (b & 63n)
    case alu.BPF_RSH:
      return a >> (b & 63n)
    case alu.BPF_ARSH:
      return signed64(a) >> (b & 63n)
    case alu.BPF_NEG:
      return -a
    case alu.BPF_MOV:
      return b
    default:
      throw new RangeError(`unknown operation 0x${operation.toString(16)}`)
  }
}

const alu32 = (operation: number, a: number, b: number): number => {
  switch (operation) {
    case alu.BPF_ADD:
      return a + b
    case alu.BPF_SUB:
      return a - b
    case alu.BPF_MUL:
      return Math.imul(a, b)
    case alu.BPF_DIV:
      return b === 0 ? 0 : Math.floor(a / b)
    case alu.BPF_MOD:
      return b === 0 ? a : a % b
    case alu.BPF_OR:
      return a | b
    case alu.BPF_AND:
      return a & b
    case alu.BPF_XOR:
      return a ^ b
    case alu.BPF_LSH:
      return a << (b & 31)
    case alu.BPF_RSH:
      return a >>> (b & 31)
    case alu.BPF_ARSH:
      return a >> (b & 31)
    case alu.BPF_NEG:
      return -a
    case alu.BPF_MOV:
      return b
    default:
      throw new RangeError(`unknown operation 0x${operation.toString(16)}`)
  }
}

/** A comparison of two unsigned values, with their signed readings for the signed ones. */
const compare = <N extends number | bigint>(operation: number, a: N, b: N, sa: N, sb: N, common: boolean): boolean => {
  switch (operation) {
    case jumps.BPF_JEQ:
      return a === b
    case jumps.BPF_JNE:
      return a !== b
    case jumps.BPF_JGT:
      return a > b
    case jumps.BPF_JGE:
      return a >= b
    case jumps.BPF_JLT:
      return a < b
    case jumps.BPF_JLE:
      return a <= b
    case jumps.BPF_JSGT:
      return sa > sb
    case jumps.BPF_JSGE:
      return sa >= sb
    case jumps.BPF_JSLT:
      return sa < sb
    case jumps.BPF_JSLE:
      return sa <= sb
    case jumps.BPF_JSET:
      return common
    default:
      throw new RangeError(`unknown jump 0x${operation.toString(16)}`)
  }
}

const widths: { readonly [size: number]: 1 | 2 | 4 | 8 } = {
  [sizes.BPF_B]: 1,
  [sizes.BPF_H]: 2,
  [sizes.BPF_W]: 4,
  [sizes.BPF_DW]: 8
}

/**
 * Runs a program with `context` in r1 and gives r0. Throws `ProgramTrap` for what a verifier would have rejected.
 */
export const run = (
  code: Code,
  memory: AddressSpace,
  helpers: ReadonlyMap<number, Helper>,
  context: bigint
): bigint => {
  const stack = memory.map(new Uint8Array(STACK_SIZE))
  const registers = new BigUint64Array(11)
  // The same registers by halves: 32-bit operations and address arithmetic need no BigInt.
  const halves = new Uint32Array(registers.buffer)
  const signedHalves = new Int32Array(registers.buffer)
  registers[1] = context
  registers[10] = addressOf(stack, STACK_SIZE)
  let pc = 0

  const locate = (register: number, offset: number, width: number) => {
    const low = halves[register * 2]! + offset
    const carry = low < 0 ? -1 : low > 0xffffffff ? 1 : 0
    return memory.at(halves[register * 2 + 1]! + carry, low - carry * 0x1_0000_0000, width)
  }

  const load = (dst: number, src: number, offset: number, width: 1 | 2 | 4 | 8): void => {
    const place = locate(src, offset, width)
    const pointer = place.region.pointers?.get(place.offset)
    const { view } = place.region
    if (pointer !== undefined) registers[dst] = pointer
    else if (width === 8) registers[dst] = view.getBigUint64(place.offset, true)
    else {
      halves[dst * 2] = width === 4
        ? view.getUint32(place.offset, true)
        : width === 2
        ? view.getUint16(place.offset, true)
        : view.getUint8(place.offset)
      halves[dst * 2 + 1] = 0
    }
  }

  const store = (dst: number, offset: number, width: 1 | 2 | 4 | 8, value: bigint): void => {
    const { offset: at, region } = locate(dst, offset, width)
    if (!region.writable) throw new AccessFault(addressOf(region, at), "write to read-only memory")
    if (width === 8) region.view.setBigUint64(at, value, true)
    else if (width === 4) region.view.setUint32(at, Number(value & 0xffffffffn), true)
    else if (width === 2) region.view.setUint16(at, Number(value & 0xffffn), true)
    else region.view.setUint8(at, Number(value & 0xffn))
  }

  const call = (id: number): void => {
    const helper = helpers.get(id)
    if (helper === undefined) throw new RangeError(`helper ${id} is not simulated`)
    registers[0] = helper(registers[1]!, registers[2]!, registers[3]!, registers[4]!, registers[5]!)
    registers.fill(0n, 1, 6) // destroyed by the call; the load-time check has rejected programs that read them
  }

  try {
    for (let budget = BUDGET; budget > 0; budget--) {
      if (pc < 0 || pc >= code.length) throw new RangeError("left the program")
      const opcode = code.opcodes[pc]!
      const dst = code.dst[pc]!
      const src = code.src[pc]!
      const offset = code.offsets[pc]!
      const immediate = code.immediates[pc]!
      const isRegister = (opcode & 8) !== 0
      const operation = opcode & 0xf0
      switch (opcode & 7) {
        case classes.BPF_ALU64:
          registers[dst] = alu64(
            operation,
            registers[dst]!,
            isRegister ? registers[src]! : BigInt.asUintN(64, BigInt(immediate))
          )
          break
        case classes.BPF_ALU: {
          const a = operation === alu.BPF_ARSH ? signedHalves[dst * 2]! : halves[dst * 2]!
          halves[dst * 2] = alu32(operation, a, isRegister ? halves[src * 2]! : immediate >>> 0)
          halves[dst * 2 + 1] = 0
          break
        }
        case classes.BPF_LDX:
          load(dst, src, offset, widths[opcode & 0x18]!)
          break
        case classes.BPF_STX:
          if ((opcode & 0xe0) !== modes.BPF_MEM) throw new RangeError("atomics are not simulated")
          store(dst, offset, widths[opcode & 0x18]!, registers[src]!)
          break
        case classes.BPF_ST:
          store(dst, offset, widths[opcode & 0x18]!, BigInt.asUintN(64, BigInt(immediate)))
          break
        case classes.BPF_LD:
          registers[dst] = code.wide.get(pc)!
          pc++
          break
        case classes.BPF_JMP32: {
          const b = isRegister ? halves[src * 2]! : immediate >>> 0
          const a = halves[dst * 2]!
          if (compare(operation, a, b, a | 0, b | 0, (a & b) !== 0)) pc += offset
          break
        }
        case classes.BPF_JMP: {
          if (operation === jumps.BPF_EXIT) return registers[0]!
          if (operation === jumps.BPF_CALL) call(immediate)
          else if (operation === jumps.BPF_JA) pc += offset
          else {
            const a = registers[dst]!
            const b = isRegister ? registers[src]! : BigInt.asUintN(64, BigInt(immediate))
            if (compare(operation, a, b, signed64(a), signed64(b), (a & b) !== 0n)) pc += offset
          }
          break
        }
      }
      pc++
    }
    throw new RangeError(`still running after ${BUDGET} instructions`)
  } catch (error) {
    if (!(error instanceof AccessFault || error instanceof RangeError)) throw error
    throw new ProgramTrap({ program: code.name, instruction: pc, reason: error.message })
  } finally {
    memory.unmap(stack)
  }
}
