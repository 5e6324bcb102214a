/**
 * A map as a value: what to create, before any kernel is asked. Specs are made by hand, by the constructors of the map
 * families (`HashMap.make` and its sisters take one's parts), or read from a compiled object.
 */
import type { MapType } from "../abi/names.ts"

/** The description of one map. Sizes are in bytes; 0 where a kind has no key or no value. */
export interface MapSpec<T extends MapType = MapType> {
  readonly type: T
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool map`. */
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags: number
}
