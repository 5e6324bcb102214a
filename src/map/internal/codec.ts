// How keys and values lie in the memory of a map's calls. A Layout is one; per-CPU values and others are made here.
import { type Layout, LayoutError } from "../../layout/Layout.ts"

/** Reads and writes a value at an offset. `write` throws `LayoutError` for one that does not fit. */
export interface Codec<in out A> {
  /** In bytes, as the map's calls copy it. */
  readonly size: number
  readonly read: (view: DataView, bytes: Uint8Array, offset: number) => A
  readonly write: (view: DataView, bytes: Uint8Array, offset: number, value: A) => void
}

/** How far apart the values of two CPUs are: bpf_map_value_size() rounds up to 8. */
export const strideOf = (valueSize: number): number => Math.ceil(valueSize / 8) * 8

/**
 * One value for each possible CPU: the kernel copies them all, the ones of CPUs that are not online too. An array with
 * fewer would leave the last ones to chance, and with the size of online CPUs the kernel writes past the buffer.
 */
export const perCpu = <A>(value: Layout<A>, cpus: number): Codec<ReadonlyArray<A>> => {
  const stride = strideOf(value.size)
  const size = stride * cpus
  return {
    size,
    read: (view, bytes, offset) => {
      const values: Array<A> = []
      for (let cpu = 0; cpu < cpus; cpu++) values.push(value.read(view, bytes, offset + cpu * stride))
      return values
    },
    write: (view, bytes, offset, values) => {
      if (!Array.isArray(values) || values.length !== cpus) {
        const actual = Array.isArray(values) ? `${values.length} of them` : typeof values
        throw new LayoutError({ path: "", expected: `an array of ${cpus} values, one for each possible CPU`, actual })
      }
      if (stride !== value.size) bytes.fill(0, offset, offset + size)
      for (let cpu = 0; cpu < cpus; cpu++) value.write(view, bytes, offset + cpu * stride, values[cpu] as A)
    }
  }
}

/** Bytes as they are, of a fixed size, which another length is an error. */
export const exactBytes = (size: number, what: string): Codec<Uint8Array> => ({
  size,
  read: (_view, bytes, offset) => bytes.slice(offset, offset + size),
  write: (_view, bytes, offset, value) => {
    if (!(value instanceof Uint8Array) || value.length !== size) {
      const actual = value instanceof Uint8Array ? `${value.length} bytes` : typeof value
      throw new LayoutError({ path: what, expected: `${size} bytes`, actual })
    }
    bytes.set(value, offset)
  }
})
