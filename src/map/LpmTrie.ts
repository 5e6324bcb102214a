/**
 * A trie of prefixes (`BPF_MAP_TYPE_LPM_TRIE`, kernel 4.11): a lookup finds the longest prefix that a key begins with, as
 * routing tables do. Keys are networks, `"10.0.0.0/8"`, by `Address.ipv4Prefix` and `Address.ipv6Prefix`, or any layout
 * made by `prefix`.
 *
 * It is walked key by key, and entries come in no useful order. Kernels before 6.13 do not heed the mode of an update, and a
 * full trie refuses there to replace a value, too.
 *
 * @example
 * ```ts
 * import { Address, Layout, LpmTrie } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const routes = yield* LpmTrie.make({
 *     name: "routes",
 *     key: Address.ipv4Prefix,
 *     value: Layout.u32,
 *     maxEntries: 1024
 *   })
 *   yield* routes.update("10.0.0.0/8", 1)
 *   yield* routes.update("10.1.0.0/16", 2)
 *   return yield* routes.lookup("10.1.2.3") // Option.some(2)
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Struct from "effect/Struct"
import { schemaModule } from "../effect/onDemand.ts"
import { bpf_map_create_flags } from "../abi/generated/enums.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { bytes, type Layout, LayoutError, packed, transform } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { acquireKeyed } from "./internal/keyed.ts"
import { createFrom, layout, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import type { Keyed } from "./MapOperations.ts"

/**
 * An LPM trie of this process. `lookup` finds the longest prefix that covers the key; `update` and `delete` mean exactly
 * the prefix given. After the scope that it was made in has closed, its operations fail with a `SystemCallError` of EBADF.
 */
export interface LpmTrie<K, V> extends BpfMap<"lpm_trie">, Omit<Keyed<K, V>, "lookupAndDelete"> {
  readonly key: Layout<K>
  readonly value: Layout<V>
}

/** What a trie is made of. `key` is a layout of 32 bits of prefix length, and the data. */
export interface Options<K, V> extends DefineOptions {
  readonly key: Layout<K>
  readonly value: Layout<V>
}

/** A prefix of any data: its first `length` bits count. */
export interface Prefix<A> {
  readonly length: number
  readonly data: A
}

/**
 * The layout of prefixes of some data, at most 256 bytes of it. The data must be in network byte order: the trie compares
 * from the first byte's highest bit on.
 */
export const prefix = <A>(data: Layout<A>): Layout<Prefix<A>> => {
  const bits = data.size * 8
  return transform(packed({ length: bytes(4), data }), {
    decode: ({ data: value, length }) => ({
      length: new DataView(length.buffer, length.byteOffset).getUint32(0, true),
      data: value
    }),
    encode: ({ data: value, length }: Prefix<A>) => {
      if (!Number.isInteger(length) || length < 0 || length > bits) {
        throw new LayoutError({ path: "length", expected: `a prefix length from 0 to ${bits}`, actual: String(length) })
      }
      const encoded = new Uint8Array(4)
      new DataView(encoded.buffer).setUint32(0, length, true)
      return { length: encoded, data: value }
    },
    schema: () => {
      const { Int, isBetween, Struct: struct } = schemaModule()
      const length = Int.check(isBetween({ minimum: 0, maximum: bits }))
      return struct({ length, data: data.schema }) as unknown as Schema.Codec<Prefix<A>>
    }
  })
}

/** A trie as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <K, V>(options: Options<K, V>): Definition<LpmTrie<K, V>> => {
  const { common, options: { key, value } } = readDefinition("lpm_trie", options, { key: layout, value: layout })
  return defineMap(
    // The kernel takes no other kind of trie.
    {
      ...common,
      flags: common.flags | bpf_map_create_flags.BPF_F_NO_PREALLOC,
      keySize: key.size,
      valueSize: value.size
    },
    (opened) =>
      Effect.map(
        acquireKeyed(opened, key, value),
        (operations) => extend(opened.map, { key, value, ...Struct.omit(operations, ["lookupAndDelete"]) })
      )
  )
}

/**
 * Creates a trie, closed with the scope. Its memory is allocated entry by entry.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <K, V>(
  options: Options<K, V>
): Effect.Effect<LpmTrie<K, V>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
