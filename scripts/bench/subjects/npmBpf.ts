// The npm package `bpf`, with Buffers as keys and values, from a folder that has it: npmBpf.ts FOLDER OPERATION VALUE_SIZE.
import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import { join } from "node:path"
import { answer } from "../answer.ts"
import { ENTRIES, expectSum, OPERATIONS, SUM_OF_ALL_KEYS, TIMES } from "./entries.ts"

/** What is used of it. */
interface RawMap {
  readonly get: (key: Buffer) => Buffer | undefined
  readonly set: (key: Buffer, value: Buffer) => void
  readonly delete: (key: Buffer) => boolean
  readonly keys: () => Iterable<Buffer>
}

interface Bpf {
  readonly MapType: { readonly HASH: number }
  readonly createMap: (
    options: {
      readonly type: number
      readonly keySize: number
      readonly valueSize: number
      readonly maxEntries: number
    }
  ) => object
  readonly RawMap: new(map: object) => RawMap
}

const [, , folder, operation, size] = process.argv
const bpf: Bpf = createRequire(join(folder!, "peer.cjs"))("bpf")
const valueSize = Number(size)
const map = new bpf.RawMap(
  bpf.createMap({ type: bpf.MapType.HASH, keySize: 8, valueSize, maxEntries: ENTRIES })
)
const key = Buffer.alloc(8)
const value = Buffer.alloc(valueSize)

const set = (k: number, v: number): void => {
  key.writeUInt32LE(k, 0)
  value.writeUInt32LE(v, valueSize - 8)
  map.set(key, value)
}

const fill = (): void => {
  for (let k = 0; k < ENTRIES; k++) set(k, k * 3)
}

/** Each gives the nanoseconds of all operations, and a number that must be what `expected` says. */
const rounds: { readonly [name: string]: () => readonly [took: number, sum: number] } = {
  lookup: () => {
    let sum = 0
    const start = performance.now()
    for (let i = 0; i < OPERATIONS; i++) {
      key.writeUInt32LE(i % ENTRIES, 0)
      sum += map.get(key)!.readUInt32LE(valueSize - 8)
    }
    return [performance.now() - start, sum]
  },
  update: () => {
    const start = performance.now()
    for (let i = 0; i < OPERATIONS; i++) set(i % ENTRIES, i)
    return [performance.now() - start, map.get(key)!.readUInt32LE(valueSize - 8)]
  },
  delete: () => {
    let took = 0
    let count = 0
    for (let i = 0; i < TIMES; i++) {
      fill()
      const start = performance.now()
      for (let k = 0; k < ENTRIES; k++) {
        key.writeUInt32LE(k, 0)
        if (map.delete(key)) count++
      }
      took += performance.now() - start
    }
    return [took, count]
  },
  next: () => {
    let sum = 0
    const start = performance.now()
    for (let i = 0; i < TIMES; i++) for (const found of map.keys()) sum += found.readUInt32LE(0)
    return [performance.now() - start, sum]
  }
}

const expected: { readonly [name: string]: number } = {
  lookup: 3 * SUM_OF_ALL_KEYS,
  update: OPERATIONS - 1,
  delete: OPERATIONS,
  next: SUM_OF_ALL_KEYS
}

fill()
answer(Effect.succeed(Effect.suspend(() => {
  const [took, sum] = rounds[operation!]!()
  return Effect.as(expectSum(sum, expected[operation!]!), took * 1e6 / OPERATIONS)
})))
