import { describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import { type Block, setPointer } from "../../../src/kernel/memory.ts"
import { allocated, blockOf, slabs } from "./memory.ts"

const MIB = 1 << 20

describe("a block", () => {
  it("is as large as asked, rounded up to 8 bytes, with views that reach no further", () => {
    const { arena } = slabs()
    for (const [asked, size] of [[0, 8], [1, 8], [8, 8], [9, 16], [64, 64], [65, 72], [4095, 4096]] as const) {
      const block = allocated(arena, asked)
      expect(block.size).toBe(size)
      expect([block.bytes.length, block.view.byteLength, block.u32.byteLength]).toEqual([size, size, size])
    }
  })

  it("has its three views over the same memory", () => {
    const block = blockOf(16)
    block.u32[1] = 0x01020304
    expect([...block.bytes.subarray(4, 8)]).toEqual([4, 3, 2, 1])
    expect(block.view.getUint32(4, true)).toBe(0x01020304)
  })

  it("is zeroed in fresh memory and in used memory", () => {
    const { arena } = slabs({ dirt: 0xaa })
    const first = allocated(arena, 100)
    expect(first.bytes.every((byte) => byte === 0)).toBe(true)
    first.bytes.fill(0xff)
    arena.free(first)
    const second = allocated(arena, 100)
    expect(second.address).toBe(first.address)
    expect(second.bytes.every((byte) => byte === 0)).toBe(true)
  })

  it("lies at its address in the slab", () => {
    const { arena, live } = slabs()
    allocated(arena, 64)
    const block = allocated(arena, 64)
    const [slab] = [...live]
    block.bytes[0] = 0x77
    expect(new Uint8Array(slab!.buffer)[block.address - slab!.address]).toBe(0x77)
  })

  it("shares no cache line with another", () => {
    const { arena } = slabs()
    const lines = Array.from({ length: 100 }, () => allocated(arena, 8).address)
    expect(new Set(lines.map((address) => Math.floor(address / 64))).size).toBe(100)
    expect(lines.every((address) => address % 64 === 0)).toBe(true)
  })

  it("that is freed is not live, and is the next of its size", () => {
    const { arena, mapped } = slabs()
    const block = allocated(arena, 256)
    expect([block.live, arena.liveBlocks]).toEqual([true, 1])
    arena.free(block)
    expect([block.live, arena.liveBlocks]).toEqual([false, 0])
    const smaller = allocated(arena, 200) // of the same power of two
    expect([smaller.address, smaller.size, smaller.live]).toEqual([block.address, 200, true])
    expect(block.live).toBe(false)
    for (let i = 0; i < 100_000; i++) arena.free(allocated(arena, 256))
    expect(mapped.length).toBe(1)
  })

  it("freed twice is freed once", () => {
    const { arena } = slabs()
    const block = allocated(arena, 64)
    arena.free(block)
    arena.free(block)
    expect(allocated(arena, 64).address).not.toBe(allocated(arena, 64).address)
    expect(arena.liveBlocks).toBe(2)
  })

  it("freed again after its place was taken does no harm to the next owner", () => {
    const { arena } = slabs()
    const stale = allocated(arena, 64)
    arena.free(stale)
    const owner = allocated(arena, 64)
    arena.free(stale)
    expect([owner.live, arena.liveBlocks]).toEqual([true, 1])
    expect(allocated(arena, 64).address).not.toBe(owner.address)
  })

  it("of another arena is not freed here", () => {
    const [ours, theirs] = [slabs().arena, slabs().arena]
    const block = allocated(theirs, 64)
    ours.free(block)
    expect([block.live, theirs.liveBlocks]).toEqual([true, 1])
  })
})

describe("a large block", () => {
  it("has a slab of its own, which goes with it", () => {
    const { arena, live, mapped } = slabs({ dirt: 0xaa })
    const block = allocated(arena, MIB * 3 + 1)
    expect(mapped).toEqual([MIB * 3 + 8])
    expect(block.bytes.every((byte) => byte === 0)).toBe(true)
    arena.free(block)
    expect([live.size, block.live]).toEqual([0, false])
    arena.free(block)
    expect(live.size).toBe(0)
  })

  it("begins above a quarter of a slab", () => {
    const { arena, live, mapped } = slabs()
    const small = allocated(arena, MIB / 4)
    const large = allocated(arena, MIB / 4 + 8)
    expect(mapped).toEqual([MIB, MIB / 4 + 8])
    arena.free(small)
    arena.free(large)
    expect(live.size).toBe(1)
  })
})

describe("an arena", () => {
  it("maps nothing until a block is asked for, and another slab when one is full", () => {
    const { arena, mapped } = slabs()
    expect(mapped).toEqual([])
    for (let i = 0; i < MIB / 4096; i++) allocated(arena, 4096)
    expect(mapped).toEqual([MIB])
    allocated(arena, 64)
    expect(mapped).toEqual([MIB, MIB])
  })

  it("gives the error number where no memory is, and goes on when there is", () => {
    const source = slabs()
    source.failWith = -12
    expect(source.arena.allocate(64)).toBe(-12)
    expect(source.arena.allocate(MIB)).toBe(-12)
    expect(source.arena.liveBlocks).toBe(0)
    source.failWith = undefined
    expect(allocated(source.arena, 64).live).toBe(true)
  })

  it("that is closed gives all memory back, and ends every block", () => {
    const { arena, live } = slabs()
    const blocks = [64, 4096, MIB, MIB * 2].map((size) => allocated(arena, size))
    const freed = allocated(arena, MIB)
    arena.free(freed)
    arena.close()
    expect([live.size, arena.liveBlocks]).toEqual([0, 0])
    expect(blocks.map((block) => block.live)).toEqual([false, false, false, false])
    for (const block of blocks) arena.free(block)
    arena.close()
    expect(live.size).toBe(0)
  })

  const steps = Schema.Array(Schema.Struct({
    size: Schema.Union([
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: MIB / 2 }))
    ]),
    free: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 }))
  })).check(Schema.isMaxLength(60))

  it.prop("never gives the same memory to two live blocks, and always zeroes it", [steps], ([steps]) => {
    const { arena, live } = slabs({ dirt: 0xaa })
    const held: Array<Block> = []
    for (const { free, size } of steps) {
      const block = allocated(arena, size)
      expect(block.size).toBeGreaterThanOrEqual(size)
      if (block.bytes.some((byte) => byte !== 0)) throw new Error(`a block of ${size} bytes is not zeroed`)
      const end = block.address + block.size
      for (const other of held) {
        if (block.address < other.address + other.size && other.address < end) {
          throw new Error(`${block.address}..${end} overlaps ${other.address}..${other.address + other.size}`)
        }
      }
      const inside = [...live].some((slab) =>
        block.address >= slab.address && end <= slab.address + slab.buffer.byteLength
      )
      expect(inside).toBe(true)
      block.bytes.fill(0xff)
      held.push(block)
      if (free < held.length) arena.free(held.splice(free, 1)[0]!)
    }
    expect(arena.liveBlocks).toBe(held.length)
    arena.close()
    expect(live.size).toBe(0)
  }, { arbitrary: { runs: 60 } })
})

describe("a pointer", () => {
  it("is the address in 64 bits, plus an offset inside the block", () => {
    const block = blockOf(24)
    const target = blockOf(64)
    setPointer(block, 8, target)
    expect(block.view.getBigUint64(8, true)).toBe(BigInt(target.address))
    setPointer(block, 16, target, 40)
    expect(block.view.getBigUint64(16, true)).toBe(BigInt(target.address + 40))
    setPointer(block, 16, target, 64)
    expect(block.view.getBigUint64(16, true)).toBe(BigInt(target.address + 64))
    expect(block.view.getBigUint64(0, true)).toBe(0n)
  })

  it("never leads out of the block", () => {
    const block = blockOf(8)
    for (const offset of [-1, 65, Number.NaN]) {
      expect(() => setPointer(block, 0, blockOf(64), offset)).toThrow(RangeError)
    }
  })
})
