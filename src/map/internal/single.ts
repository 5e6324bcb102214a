// The operations of one system call on one element. Each is written once, to be called at once; its effect is that call
// suspended, with what it throws as a failure.
//
// Codecs and getters of values are the user's code, and may use this very map: each operation marks the map's memory as
// busy from the first byte of its key to the last of what it read, and steps aside where it finds it so.
import * as Option from "effect/Option"
import { errno } from "../../abi/errno.ts"
import type { Delete, Lookup, LookupOptions, Update, UpdateOptions } from "../MapOperations.ts"
import { type Access, assertLive, lookupFlags, named, refused, updateFlags } from "./access.ts"
import { finish, insideAnother } from "./elements.ts"
import { inline } from "./inline.ts"

const none: Option.Option<never> = Option.none()

/** What `lookup` of an absent key gives: a value may be anything, `undefined` too. */
export const absent: unique symbol = Symbol("absent")
export type Found<V> = V | typeof absent

export const optionOf = <V>(found: Found<V>): Option.Option<V> => found === absent ? none : Option.some(found)

/** Reading an element: the value, or `absent`. */
export const finds = <K, V>(access: Access<K, V>): (key: K, flags: number) => Found<V> => {
  const { elements, key, value } = access
  const { bytes: keyBytes, view: keyView } = elements.key
  const { bytes: valueBytes, view: valueView } = elements.value
  const nested = (k: K, flags: number) => insideAnother(elements, () => find(k, flags))
  const find = (k: K, flags: number): Found<V> => {
    if (!elements.isLive()) assertLive(access)
    if (elements.busy) return nested(k, flags)
    let part: "key" | "value" = "key"
    elements.busy = true
    try {
      key.write(keyView, keyBytes, 0, k)
      part = "value"
      const result = elements.lookup(flags)
      if (result >= 0) return value.read(valueView, valueBytes, 0)
      if (result === -errno.ENOENT) return absent
      throw refused(access, "BPF_MAP_LOOKUP_ELEM", result, { flags })
    } catch (error) {
      throw named(part, access, error)
    } finally {
      finish(elements)
    }
  }
  return find
}

export const lookups = <K, V>(access: Access<K, V>): Lookup<K, V> => {
  const find = finds(access)
  return {
    lookup: (k, options) => inline(() => optionOf(find(k, options === undefined ? 0 : lookupFlags(options)))),
    lookupUnsafe: (k, options) => {
      const found = find(k, options === undefined ? 0 : lookupFlags(options))
      return found === absent ? undefined : found
    }
  }
}

/** Writing an element. */
export const writes = <K, V>(access: Access<K, V>): (key: K, value: V, flags: number) => void => {
  const { elements, key, value } = access
  const { bytes: keyBytes, view: keyView } = elements.key
  const { bytes: valueBytes, view: valueView } = elements.value
  const nested = (k: K, v: V, flags: number) => insideAnother(elements, () => update(k, v, flags))
  const update = (k: K, v: V, flags: number): void => {
    if (!elements.isLive()) assertLive(access)
    if (elements.busy) return nested(k, v, flags)
    let part: "key" | "value" = "key"
    elements.busy = true
    try {
      key.write(keyView, keyBytes, 0, k)
      part = "value"
      value.write(valueView, valueBytes, 0, v)
      const result = elements.update(flags)
      if (result < 0) throw refused(access, "BPF_MAP_UPDATE_ELEM", result, { flags })
    } catch (error) {
      throw named(part, access, error)
    } finally {
      finish(elements)
    }
  }
  return update
}

export const updates = <K, V>(access: Access<K, V>): Update<K, V> => {
  const update = writes(access)
  const flagsOf = (options: UpdateOptions | undefined): number => options === undefined ? 0 : updateFlags(options)
  return {
    update: (k: K, v: V, options?: UpdateOptions) => inline(() => update(k, v, flagsOf(options))),
    updateUnsafe: (k: K, v: V, options?: UpdateOptions) => update(k, v, flagsOf(options))
  }
}

export const deletes = <K, V>(access: Access<K, V>): Delete<K, V> => {
  const { elements, key, value } = access
  const nestedRemove = (k: K) => insideAnother(elements, () => remove(k))
  const remove = (k: K): boolean => {
    if (!elements.isLive()) assertLive(access)
    if (elements.busy) return nestedRemove(k)
    elements.busy = true
    try {
      key.write(elements.key.view, elements.key.bytes, 0, k)
      const result = elements.delete()
      if (result >= 0) return true
      if (result === -errno.ENOENT) return false
      throw refused(access, "BPF_MAP_DELETE_ELEM", result)
    } catch (error) {
      throw named("key", access, error)
    } finally {
      finish(elements)
    }
  }
  const nestedTake = (k: K, flags: number) => insideAnother(elements, () => take(k, flags))
  const take = (k: K, flags: number): Found<V> => {
    assertLive(access)
    if (elements.busy) return nestedTake(k, flags)
    let part: "key" | "value" = "key"
    elements.busy = true
    try {
      key.write(elements.key.view, elements.key.bytes, 0, k)
      part = "value"
      const result = elements.lookupAndDelete(flags)
      if (result >= 0) return value.read(elements.value.view, elements.value.bytes, 0)
      if (result === -errno.ENOENT) return absent
      throw refused(access, "BPF_MAP_LOOKUP_AND_DELETE_ELEM", result, { flags, features: ["hashLookupAndDelete"] })
    } catch (error) {
      throw named(part, access, error)
    } finally {
      finish(elements)
    }
  }
  return {
    delete: (k) => inline(() => remove(k)),
    deleteUnsafe: remove,
    lookupAndDelete: (k, options?: LookupOptions) =>
      inline(() => optionOf(take(k, options === undefined ? 0 : lookupFlags(options))))
  }
}
