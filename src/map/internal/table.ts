// Hash tables with one value for each key: HASH and LRU_HASH differ in what happens when they are full.
import * as Effect from "effect/Effect"
import { aBoolean } from "../../kernel/options.ts"
import type { Layout } from "../../layout/Layout.ts"
import { type BpfMap, extend } from "./handle.ts"
import { acquireKeyed } from "./keyed.ts"
import { layout, readDefinition } from "./definition.ts"
import { define } from "./open.ts"
import type { Keyed } from "../MapOperations.ts"
import type { DefineOptions, Definition } from "../MapDefinition.ts"

/** The handle of such a table. */
export interface Table<K, V, T extends "hash" | "lru_hash"> extends BpfMap<T>, Keyed<K, V> {
  readonly key: Layout<K>
  readonly value: Layout<V>
}

/** What such a table is made of. */
export interface TableOptions<K, V> extends DefineOptions {
  readonly key: Layout<K>
  readonly value: Layout<V>
  /** Whether the map carries BTF of its layouts: bpftool prints entries by it, and spin locks need it. */
  readonly btf?: boolean
}

export const defineTable = <K, V, const T extends "hash" | "lru_hash">(
  type: T,
  options: TableOptions<K, V>
): Definition<Table<K, V, T>> => {
  const { common, options: { btf, key, value } } = readDefinition(type, options, {
    key: layout,
    value: layout,
    btf: aBoolean
  })
  const spec = {
    ...common,
    keySize: key.size,
    valueSize: value.size,
    ...(btf === true ? { types: { key, value } } : {})
  }
  return define<T, Table<K, V, T>>(
    spec,
    (opened) =>
      Effect.map(acquireKeyed(opened, key, value), (operations) => extend(opened.map, { key, value, ...operations }))
  )
}
