// What compiled programs work with: the registers that pass between functions and helpers, the stacks, and the checks of
// memory accesses. One for each simulated kernel.
import { atomics } from "../../../isa/opcodes.ts"
import { ProgramTrap } from "../../ProgramTrap.ts"
import { AccessFault, addressOf, type AddressSpace, type Region } from "../memory.ts"
import { type Code, FUNCTION_HIGH } from "./code.ts"
import { compile, type Compiled } from "./compile.ts"
import { helperNameOf } from "../../../isa/print.ts"
import type { Helper } from "./helper.ts"

/** The stack of one function, MAX_BPF_STACK in include/linux/filter.h. */
const STACK_SIZE = 512
/** MAX_CALL_FRAMES in include/linux/bpf_verifier.h */
const MOST_FRAMES = 8
/** MAX_TAIL_CALL_CNT in include/linux/bpf.h */
const MOST_TAIL_CALLS = 33
/** The instructions that one run may take in loops and calls. A real kernel has no such limit, but loops are bounded. */
const BUDGET = 200_000_000

/** What can be run: a loaded program. */
export interface Executable {
  readonly name: string
  readonly code: Code
}

/** The stack of a function, with the views that compiled code uses. `high` is that of r10. */
class Frame {
  readonly region: Region
  readonly high: number
  readonly view: DataView
  readonly uint8: Uint8Array
  readonly int8: Int8Array
  readonly uint16: Uint16Array
  readonly int16: Int16Array
  readonly int32: Int32Array
  constructor(memory: AddressSpace) {
    this.uint8 = new Uint8Array(STACK_SIZE)
    this.region = memory.map(this.uint8)
    this.high = this.region.high | 0
    this.view = this.region.view
    const { buffer } = this.uint8
    this.int8 = new Int8Array(buffer)
    this.uint16 = new Uint16Array(buffer)
    this.int16 = new Int16Array(buffer)
    this.int32 = new Int32Array(buffer)
  }
}

/** More than there will be: the kernel gets no more helpers. */
const MOST_HELPERS = 256

export class Processor {
  /** r0 to r5 as they are passed, and at 11 what an operation gives. */
  readonly registers = new BigUint64Array(12)
  /** The same by halves. */
  readonly halves = new Int32Array(this.registers.buffer)
  /** Helpers by number. */
  readonly helpers: ReadonlyArray<Helper | undefined>
  budget = 0
  depth = 0
  /** The program that runs. */
  current: Executable | undefined
  private tailCalls = 0
  private readonly frames: Array<Frame> = []
  private readonly memory: AddressSpace
  private readonly compiled = new WeakMap<Executable, ReadonlyMap<number, Compiled>>()
  /** The program of an index of a program array, for tail calls. */
  private readonly programAt: (map: bigint, index: number) => Executable | undefined
  /** The packet that a context belongs to. */
  private readonly packetOf: (context: bigint) => Uint8Array | undefined

  constructor(options: {
    readonly memory: AddressSpace
    readonly helpers: ReadonlyMap<number, Helper>
    readonly programAt: (map: bigint, index: number) => Executable | undefined
    readonly packetOf: (context: bigint) => Uint8Array | undefined
  }) {
    this.memory = options.memory
    const helpers: Array<Helper | undefined> = Array.from({ length: MOST_HELPERS }, (_, id) => () => {
      throw new RangeError(`the simulated kernel has no helper ${helperNameOf(id) ?? "unknown"}#${id}`)
    })
    for (const [id, helper] of options.helpers) helpers[id] = helper
    this.helpers = helpers
    this.programAt = options.programAt
    this.packetOf = options.packetOf
  }

  /** Runs a program with `context` in r1 and gives r0. Throws `ProgramTrap` for what a verifier would have rejected. */
  run(program: Executable, context: bigint): bigint {
    const { budget, current, depth, tailCalls } = this
    this.budget = BUDGET
    this.depth = 0
    this.tailCalls = 0
    this.current = program
    try {
      return this.apply(this.functions(program).get(0)!, [context])
    } finally {
      this.current = current
      this.budget = budget
      this.depth = depth
      this.tailCalls = tailCalls
    }
  }

  /** Calls a function of a program by its address, as helpers do with callbacks. */
  callback(program: Executable, address: bigint, ...values: ReadonlyArray<bigint>): bigint {
    const callee = Number(address >> 32n) === FUNCTION_HIGH
      ? this.functions(program).get(Number(address & 0xffffffffn))
      : undefined
    if (callee === undefined) throw new RangeError("the callback is no function of this program")
    return this.apply(callee, values)
  }

  /** As `run`, for a callback outside of any run: a timer's. */
  runCallback(program: Executable, address: bigint, ...values: ReadonlyArray<bigint>): bigint {
    this.budget = BUDGET
    this.depth = 0
    this.tailCalls = 0
    this.current = program
    try {
      return this.callback(program, address, ...values)
    } finally {
      this.current = undefined
    }
  }

  private apply(callee: Compiled, values: ReadonlyArray<bigint>): bigint {
    const halves = [0, 1, 2, 3, 4].flatMap((index) => {
      const value = values[index] ?? 0n
      return [Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n))]
    })
    callee(...halves)
    return this.registers[0]!
  }

  private functions(program: Executable): ReadonlyMap<number, Compiled> {
    let functions = this.compiled.get(program)
    if (functions === undefined) {
      functions = compile(program.code, this)
      this.compiled.set(program, functions)
    }
    return functions
  }

  // ---------------------------------------------------------------- what compiled code calls

  /** A zeroed stack for a function that begins. It gives it back by counting `depth` down. */
  enter(_slot: number): Frame {
    if (this.depth >= MOST_FRAMES) throw new RangeError(`a call stack of more than ${MOST_FRAMES} frames`)
    const frame = this.frames[this.depth] ??= new Frame(this.memory)
    this.depth++
    frame.uint8.fill(0)
    return frame
  }

  over(): never {
    throw new RangeError(`still running after ${BUDGET} instructions`)
  }

  /** Where an instruction is none: the load-time check found no path to it. */
  wrong(why: string): never {
    throw new RangeError(why)
  }

  trap(error: unknown, instruction: number): unknown {
    if (!(error instanceof AccessFault || error instanceof RangeError)) return error
    return new ProgramTrap({ program: this.current?.name ?? "", instruction, reason: error.message })
  }

  /** The region of an address by its halves. */
  seek(high: number, low: number): Region {
    return this.memory.regionAt(high, low)
  }

  beyond(region: Region, high: number, low: number, width: number): never {
    this.memory.at(high >>> 0, low, width)
    throw new RangeError(`${width} bytes beyond the ${region.bytes.length} of this memory`)
  }

  /** A load from memory that is not only bytes: fields that widen to pointers, and elements with gaps between. */
  load(region: Region, offset: number, width: number, signed: boolean): void {
    this.memory.at(region.high, offset, width)
    const pointer = region.pointers?.get(offset)
    const { registers, halves } = this
    const { view } = region
    if (pointer !== undefined) registers[11] = pointer
    else if (width === 8) registers[11] = view.getBigUint64(offset, true)
    else {
      const value = width === 4
        ? view.getInt32(offset, true)
        : width === 2
        ? signed ? view.getInt16(offset, true) : view.getUint16(offset, true)
        : signed
        ? view.getInt8(offset)
        : view.getUint8(offset)
      halves[22] = value
      halves[23] = signed ? value >> 31 : 0
    }
  }

  store(region: Region, offset: number, width: number, low: number, high: number): void {
    this.memory.at(region.high, offset, width)
    if (!region.writable) throw new AccessFault(addressOf(region, offset), "write to read-only memory")
    if (region.pointers?.has(offset) === true) throw new AccessFault(addressOf(region, offset), "write to a pointer")
    const { view } = region
    if (width === 8) {
      view.setInt32(offset, low, true)
      view.setInt32(offset + 4, high, true)
    } else if (width === 4) view.setInt32(offset, low, true)
    else if (width === 2) view.setInt16(offset, low, true)
    else view.setInt8(offset, low)
  }

  /** A read-modify-write; gives the old value. Programs run to their end before anything else does: all are atomic. */
  atomic(
    region: Region,
    offset: number,
    width: number,
    operation: number,
    low: number,
    high: number,
    low0: number,
    high0: number
  ): void {
    if (offset % width !== 0) throw new AccessFault(addressOf(region, offset), "misaligned atomic access")
    this.load(region, offset, width, false)
    const { halves, registers } = this
    const old = registers[11]!
    const oldLow = halves[22]!
    const oldHigh = halves[23]!
    switch (operation & ~atomics.BPF_FETCH) {
      case atomics.BPF_ADD: {
        const sum = old + (BigInt(high) << 32n) + BigInt(low >>> 0)
        this.store(region, offset, width, Number(BigInt.asIntN(32, sum)), Number(BigInt.asIntN(32, sum >> 32n)))
        break
      }
      case atomics.BPF_OR:
        this.store(region, offset, width, oldLow | low, oldHigh | high)
        break
      case atomics.BPF_AND:
        this.store(region, offset, width, oldLow & low, oldHigh & high)
        break
      case atomics.BPF_XOR:
        this.store(region, offset, width, oldLow ^ low, oldHigh ^ high)
        break
      case atomics.BPF_XCHG & ~atomics.BPF_FETCH:
        this.store(region, offset, width, low, high)
        break
      default:
        if (oldLow === low0 && (width === 4 || oldHigh === high0)) this.store(region, offset, width, low, high)
    }
    registers[11] = old
  }

  /** A big-endian load from the packet of a context; false beyond its end. */
  packet(contextLow: number, contextHigh: number, index: number, offset: number, width: number): boolean {
    const packet = this.packetOf((BigInt(contextHigh >>> 0) << 32n) | BigInt(contextLow >>> 0))
    if (packet === undefined) throw new RangeError("r6 is not the context")
    const at = (index + offset) | 0
    if (at < 0 || at + width > packet.length) return false
    let value = 0
    for (let i = 0; i < width; i++) value = (value << 8) | packet[at + i]!
    this.halves[22] = value
    this.halves[23] = 0
    return true
  }

  /** The function to go on with after a tail call, or `undefined` where it falls through (bpf_tail_call). */
  tail(mapLow: number, mapHigh: number, index: number): Compiled | undefined {
    const map = (BigInt(mapHigh >>> 0) << 32n) | BigInt(mapLow >>> 0)
    const program = this.programAt(map, index >>> 0)
    if (program === undefined || this.tailCalls >= MOST_TAIL_CALLS) return undefined
    this.tailCalls++
    this.current = program
    return this.functions(program).get(0)
  }
}
