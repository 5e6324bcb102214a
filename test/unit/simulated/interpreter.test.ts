import { describe, expect, it } from "@effect/vitest"
import { atomics, classes, modes, sizes } from "../../../src/isa/opcodes.ts"
import { decode } from "../../../src/simulated/internal/interpreter/code.ts"
import type { Helper } from "../../../src/simulated/internal/interpreter/helper.ts"
import { Processor } from "../../../src/simulated/internal/interpreter/processor.ts"
import { addressOf, AddressSpace } from "../../../src/simulated/internal/memory.ts"
import { ProgramTrap } from "../../../src/simulated/ProgramTrap.ts"

/** An instruction by its fields, as eight bytes in hexadecimal. */
const slot = (opcode: number, dst = 0, src = 0, offset = 0, immediate = 0): string => {
  const bytes = Buffer.alloc(8)
  bytes[0] = opcode
  bytes[1] = dst | (src << 4)
  bytes.writeInt16LE(offset, 2)
  bytes.writeInt32LE(immediate | 0, 4)
  return bytes.toString("hex")
}

const exit = slot(0x95)
const mov = (dst: number, value: number) => slot(0xb7, dst, 0, 0, value)
const copy = (dst: number, src: number) => slot(0xbf, dst, src)
const call = (id: number) => slot(0x85, 0, 0, 0, id)

const machine = (helpers: ReadonlyMap<number, Helper> = new Map()) => {
  const memory = new AddressSpace()
  const programs: Array<ReturnType<typeof program>> = []
  const processor = new Processor({
    memory,
    helpers,
    programAt: (_, index) => programs[index],
    packetOf: () => Uint8Array.of(1, 2, 3, 4, 5)
  })
  return { memory, programs, processor }
}

const program = (...slots: ReadonlyArray<string>) => ({
  name: "p",
  code: decode("p", Uint8Array.from(Buffer.from(slots.join(""), "hex")), (_, value) => value)
})

const run = (...slots: ReadonlyArray<string>): bigint => machine().processor.run(program(...slots), 0n)

const trapOf = (f: () => unknown): ProgramTrap => {
  try {
    f()
  } catch (error) {
    if (error instanceof ProgramTrap) return error
    throw error
  }
  throw new Error("did not trap")
}

describe("the interpreter", () => {
  it("divides by zero to zero, and leaves the dividend of a modulo", () => {
    expect(run(mov(0, 7), mov(1, 0), slot(0x3f, 0, 1), exit)).toBe(0n)
    expect(run(mov(0, -7), mov(1, 0), slot(0x9f, 0, 1), exit)).toBe(2n ** 64n - 7n)
    expect(run(mov(0, -7), mov(1, 0), slot(0x9c, 0, 1), exit)).toBe(2n ** 32n - 7n)
  })

  it("divides the lowest number by -1 to itself, with sign", () => {
    const lowest = slot(0x18, 0, 0, 0, 0) + slot(0, 0, 0, 0, -0x80000000)
    expect(run(lowest, mov(1, -1), slot(0x3f, 0, 1, 1), exit)).toBe(2n ** 63n)
    expect(run(lowest, mov(1, -1), slot(0x9f, 0, 1, 1), exit)).toBe(0n)
    expect(run(mov(0, -0x80000000), mov(1, -1), slot(0x3c, 0, 1, 1), exit)).toBe(2n ** 31n)
  })

  it("extends signs, and swaps bytes", () => {
    expect(run(mov(1, 0x80), slot(0xbf, 0, 1, 8), exit)).toBe(2n ** 64n - 128n)
    expect(run(mov(1, 0x8000), slot(0xbc, 0, 1, 16), exit)).toBe(0xffff8000n)
    expect(run(mov(0, 0x11223344), slot(0xdc, 0, 0, 0, 32), exit)).toBe(0x44332211n)
    expect(run(mov(0, 0x11223344), slot(0xd7, 0, 0, 0, 64), exit)).toBe(0x4433221100000000n)
    expect(run(mov(0, 0x11223344), slot(0xd4, 0, 0, 0, 16), exit)).toBe(0x3344n)
  })

  it("adds, exchanges and compares atomically, and gives the old value", () => {
    const opcode = classes.BPF_STX | modes.BPF_ATOMIC | sizes.BPF_DW
    const store = (value: number) => slot(0x7a, 10, 0, -8, value)
    expect(run(store(5), mov(0, 3), slot(opcode, 10, 0, -8, atomics.BPF_ADD | atomics.BPF_FETCH), exit)).toBe(5n)
    expect(run(store(5), mov(1, 3), slot(opcode, 10, 1, -8, atomics.BPF_ADD), slot(0x79, 0, 10, -8), exit)).toBe(8n)
    expect(run(store(5), mov(0, 9), slot(opcode, 10, 0, -8, atomics.BPF_XCHG), exit)).toBe(5n)
    const exchange = [store(5), mov(0, 5), mov(1, 7), slot(opcode, 10, 1, -8, atomics.BPF_CMPXCHG)]
    expect(run(...exchange, exit)).toBe(5n)
    expect(run(...exchange, slot(0x79, 0, 10, -8), exit)).toBe(7n)
  })

  it("traps at an atomic access that is not aligned", () => {
    const opcode = classes.BPF_STX | modes.BPF_ATOMIC | sizes.BPF_DW
    const trap = trapOf(() => run(mov(1, 3), slot(opcode, 10, 1, -12, atomics.BPF_ADD), exit))
    expect(trap).toMatchObject({ instruction: 1, reason: expect.stringContaining("misaligned") })
  })

  it("loads from packets in network order, and ends the program beyond their end", () => {
    expect(run(mov(6, 0), slot(0x28, 0, 0, 0, 1), exit)).toBe(0x0203n)
    expect(run(mov(6, 0), mov(2, 3), slot(0x50, 0, 2, 0, 1), exit)).toBe(5n)
    expect(run(mov(6, 0), mov(0, 9), slot(0x20, 0, 0, 0, 2), mov(0, 9), exit)).toBe(0n)
  })

  it("calls functions of the program, each with a stack of its own, up to 8 deep", () => {
    // r0 = f(20) + the caller's stack, which f does not touch
    expect(
      run(
        slot(0x7a, 10, 0, -8, 100),
        mov(1, 20),
        slot(0x85, 0, 1, 0, 3),
        slot(0x79, 1, 10, -8),
        slot(0x0f, 0, 1),
        exit,
        slot(0x7a, 10, 0, -8, 7),
        copy(0, 1),
        exit
      )
    ).toBe(120n)
    const trap = trapOf(() => run(slot(0x85, 0, 1, 0, 1), exit, slot(0x85, 0, 1, 0, -1), exit))
    expect(trap.reason).toMatch(/more than 8 frames/)
  })

  it("makes at most 33 tail calls, and goes on where one fails", () => {
    const { programs, processor } = machine(new Map<number, Helper>([[12, () => 0n]]))
    let calls = 0n
    const counting = machine(new Map<number, Helper>([[12, () => 0n], [7, () => ++calls]]))
    const self = program(copy(6, 1), call(7), copy(1, 6), mov(2, 0), mov(3, 0), call(12), mov(0, 1), exit)
    counting.programs.push(self)
    expect(counting.processor.run(self, 0n)).toBe(1n)
    expect(calls).toBe(34n)
    expect(programs).toEqual([])
    expect(processor.run(program(mov(1, 0), mov(2, 0), mov(3, 5), call(12), mov(0, 3), exit), 0n)).toBe(3n)
  })

  it("calls back functions of the program by their address", () => {
    const { processor } = machine(
      new Map<number, Helper>([[181, (count, callback, context) => {
        for (let i = 0n; i < count; i++) processor.callback(processor.current!, callback, i, context)
        return count
      }]])
    )
    // The callback adds its index to what its context points to.
    const result = processor.run(
      program(
        slot(0x7a, 10, 0, -8, 0),
        mov(1, 5),
        slot(0x18, 2, 4, 0, 6),
        slot(0),
        copy(3, 10),
        slot(0x07, 3, 0, 0, -8),
        call(181),
        slot(0x79, 0, 10, -8),
        exit,
        slot(0x79, 3, 2, 0),
        slot(0x0f, 3, 1),
        slot(0x7b, 2, 3, 0),
        mov(0, 0),
        exit
      ),
      0n
    )
    expect(result).toBe(10n)
  })

  it("leaves a may_goto loop in the end", () => {
    expect(run(mov(0, 0), slot(0xe5, 0, 0, 2), slot(0x07, 0, 0, 0, 1), slot(0x05, 0, 0, -3), exit)).toBe(8388608n)
  })

  it("stops what never ends", () => {
    expect(trapOf(() => run(mov(0, 0), slot(0x15, 0, 0, -1, 0), exit)).reason).toMatch(/still running/)
  })

  it("stops loops within loops, in helpers that call back, as soon as one run is over its budget", () => {
    const { processor } = (function make(): ReturnType<typeof machine> {
      const loop: Helper = (count, callback) => {
        for (let i = 0n; i < count; i++) made.processor.callback(nested, callback, i)
        return count
      }
      const made = machine(new Map([[181, loop]]))
      return made
    })()
    // The outer callback runs a loop of the inner one, which spins in a may_goto loop.
    const nested = program(
      mov(1, 8_000_000),
      slot(0x18, 2, 4, 0, 3),
      slot(0),
      call(181),
      exit,
      mov(1, 8_000_000),
      slot(0x18, 2, 4, 0, 3),
      slot(0),
      call(181),
      exit,
      slot(0xe5, 0, 0, 1),
      slot(0x05, 0, 0, -2),
      mov(0, 0),
      exit
    )
    expect(trapOf(() => processor.run(nested, 0n)).reason).toMatch(/still running after 200000000 instructions/)
  })

  it("runs programs with nonsense that no path leads to, and traps where one does", () => {
    const nonsense = slot(0xb7, 10, 0, 0, 1) // r10 = 1
    expect(run(mov(0, 1), slot(0x55, 0, 0, 1, 0), nonsense, exit)).toBe(1n)
    expect(trapOf(() => run(mov(0, 0), slot(0x55, 0, 0, 1, 0), nonsense, exit)).instruction).toBe(2)
  })

  it("never takes memory that was given back for what is there now", () => {
    const { memory, processor } = machine()
    const old = memory.map(new Uint8Array(8))
    const context = addressOf(old)
    memory.unmap(old)
    const trap = trapOf(() => processor.run(program(slot(0x79, 0, 1, 0), exit), context))
    expect(trap).toMatchObject({ program: "p", instruction: 0, reason: expect.stringContaining("no memory") })
  })

  it.each([
    ["an atomic fetch into r10", [slot(0xdb, 1, 10, 0, atomics.BPF_ADD | atomics.BPF_FETCH), exit]],
    ["a compare-and-exchange into a register that is none", [slot(0xdb, 1, 12, 0, atomics.BPF_CMPXCHG), exit]],
    ["a jump out of the program", [slot(0x05, 0, 0, 100), exit]],
    ["a jump into a wide load", [slot(0x05, 0, 0, 1), slot(0x18, 1), slot(0), exit]],
    ["no end", [mov(0, 1)]],
    ["half a wide load", [slot(0x18, 1)]],
    ["a call of no function", [slot(0x85, 0, 1, 0, 77), exit]],
    ["a call of no helper", [call(9999), exit]],
    ["a call of a kernel function", [slot(0x85, 0, 2, 0, 5), exit]],
    ["an opcode that is none", [slot(0xff, 3, 4, 5, 6), exit]]
  ])("traps at %s, in a program that was not checked", (_, slots) => {
    expect(trapOf(() => run(...slots))).toBeInstanceOf(ProgramTrap)
  })

  it("gives a number or a trap for any bytes at all", () => {
    let seed = 1
    const next = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) >>> 8
    for (let i = 0; i < 800; i++) {
      const slots = Array.from(
        { length: 1 + next() % 8 },
        () => slot(next(), next() % 16, next() % 16, next() % 4, next())
      )
      try {
        expect(run(...slots, exit)).toBeTypeOf("bigint")
      } catch (error) {
        expect(error, slots.join(" ")).toBeInstanceOf(ProgramTrap)
      }
    }
  })
})
