// The operations of one system call on one element. Each is written once, to be called at once; its effect is that call
// suspended, with what it throws as a failure.
import * as Option from "effect/Option"
import { bpf_map_update_flags } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import type { Delete, Lookup, LookupOptions, Update, UpdateOptions } from "../MapOperations.ts"
import { type Access, assertLive, flagsOf, refused } from "./access.ts"
import { inline } from "./inline.ts"

const none: Option.Option<never> = Option.none()

const lockFlag = (options: LookupOptions | undefined): number =>
  options?.lock === true ? bpf_map_update_flags.BPF_F_LOCK : 0

export const lookups = <K, V>(access: Access<K, V>): Lookup<K, V> => {
  const { elements, key, value } = access
  const { bytes: keyBytes, view: keyView } = elements.key
  const { bytes: valueBytes, view: valueView } = elements.value
  const lookup = (k: K, flags: number): V | undefined => {
    if (!elements.isLive()) assertLive(access)
    key.write(keyView, keyBytes, 0, k)
    const result = elements.lookup(flags)
    if (result >= 0) return value.read(valueView, valueBytes, 0)
    if (result === -errno.ENOENT) return undefined
    throw refused(access, "BPF_MAP_LOOKUP_ELEM", result)
  }
  return {
    lookup: (k, options) =>
      inline(() => {
        const found = lookup(k, options === undefined ? 0 : lockFlag(options))
        return found === undefined ? none : Option.some(found)
      }),
    lookupUnsafe: (k, options) => lookup(k, options === undefined ? 0 : lockFlag(options))
  }
}

export const updates = <K, V>(access: Access<K, V>): Update<K, V> => {
  const { elements, key, value } = access
  const { bytes: keyBytes, view: keyView } = elements.key
  const { bytes: valueBytes, view: valueView } = elements.value
  const update = (k: K, v: V, flags: number): void => {
    if (!elements.isLive()) assertLive(access)
    key.write(keyView, keyBytes, 0, k)
    value.write(valueView, valueBytes, 0, v)
    const result = elements.update(flags)
    if (result < 0) throw refused(access, "BPF_MAP_UPDATE_ELEM", result, { flags })
  }
  return {
    update: (k: K, v: V, options?: UpdateOptions) => inline(() => update(k, v, flagsOf(options))),
    updateUnsafe: (k: K, v: V, options?: UpdateOptions) => update(k, v, flagsOf(options))
  }
}

export const deletes = <K, V>(access: Access<K, V>): Delete<K, V> => {
  const { elements, key, value } = access
  const remove = (k: K): boolean => {
    if (!elements.isLive()) assertLive(access)
    key.write(elements.key.view, elements.key.bytes, 0, k)
    const result = elements.delete()
    if (result >= 0) return true
    if (result === -errno.ENOENT) return false
    throw refused(access, "BPF_MAP_DELETE_ELEM", result)
  }
  return {
    delete: (k) => inline(() => remove(k)),
    deleteUnsafe: remove,
    lookupAndDelete: (k, options) =>
      inline(() => {
        assertLive(access)
        key.write(elements.key.view, elements.key.bytes, 0, k)
        const result = elements.lookupAndDelete(lockFlag(options))
        if (result >= 0) return Option.some(value.read(elements.value.view, elements.value.bytes, 0))
        if (result === -errno.ENOENT) return none
        throw refused(access, "BPF_MAP_LOOKUP_AND_DELETE_ELEM", result, { features: ["hashLookupAndDelete"] })
      })
  }
}
