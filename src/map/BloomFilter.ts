/**
 * A bloom filter (`BPF_MAP_TYPE_BLOOM_FILTER`, kernel 5.16): a set that can say for sure that a value was never added,
 * and mostly that one was. Values cannot be removed or listed.
 *
 * @example
 * ```ts
 * import { BloomFilter, Layout } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const seen = yield* BloomFilter.make({ name: "seen", value: Layout.u32, maxEntries: 10_000, hashes: 4 })
 *   yield* seen.add(7)
 *   return yield* seen.mayHave(7) // true
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { anInteger } from "../kernel/options.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import type { Layout, LayoutError } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { acquireAccess, assertLive, refused, withValue } from "./internal/access.ts"
import { exactBytes } from "./internal/codec.ts"
import { extend } from "./internal/handle.ts"
import { inline } from "./internal/inline.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"

/**
 * A bloom filter of this process. After the scope that it was made in has closed, its operations fail with a
 * `SystemCallError` of EBADF.
 */
export interface BloomFilter<V> extends BpfMap<"bloom_filter"> {
  readonly value: Layout<V>
  /** Adds a value. */
  readonly add: (value: V) => Effect.Effect<void, LayoutError | SystemCallError>
  /** False if the value was never added; true if it was, or, with a small chance, though it was not. */
  readonly mayHave: (value: V) => Effect.Effect<boolean, LayoutError | SystemCallError>
}

/** What a bloom filter is made of. `maxEntries` is for how many values its memory is laid out. */
export interface Options<V> extends DefineOptions {
  readonly value: Layout<V>
  /** The number of hash functions, from 1 to 15; 5 unless given. */
  readonly hashes?: number
}

/** A bloom filter as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <V>(options: Options<V>): Definition<BloomFilter<V>> => {
  const { common, options: { hashes = 5, value } } = readDefinition("bloom_filter", options, {
    value: layout,
    hashes: anInteger(1, 15)
  })
  const spec = { ...common, keySize: 0, valueSize: value.size, mapExtra: hashes }
  return defineMap(spec, (opened) =>
    Effect.map(acquireAccess(opened, exactBytes(0, "key"), value), (access) => {
      const { elements } = access
      const call = <A>(v: V, f: () => A) =>
        inline<A, LayoutError | SystemCallError>(() => {
          assertLive(access)
          return withValue(access, () => {
            value.write(elements.value.view, elements.value.bytes, 0, v)
            return f()
          })
        })
      return extend(opened.map, {
        value,
        add: (v: V) =>
          call(v, () => {
            const result = elements.update(0)
            if (result < 0) throw refused(access, "BPF_MAP_UPDATE_ELEM", result)
          }),
        mayHave: (v: V) =>
          call(v, () => {
            const result = elements.lookup(0)
            if (result >= 0) return true
            if (result === -errno.ENOENT) return false
            throw refused(access, "BPF_MAP_LOOKUP_ELEM", result)
          })
      })
    }))
}

/**
 * Creates a bloom filter, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name, number of entries or of hashes, and with `SystemCallError` if the kernel
 * refuses.
 */
export const make = <V>(
  options: Options<V>
): Effect.Effect<BloomFilter<V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
