// The values of an mmapable array as memory of this process.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { bpf_map_create_flags } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import { mman } from "../../abi/os.ts"
import { acquireMapping } from "../../kernel/systemCall.ts"
import { checkInteger } from "../../kernel/validate.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import type { Layout } from "../../layout/Layout.ts"
import { whyNotAllowed } from "./fileState.ts"
import { strideOf } from "./codec.ts"
import { type BpfMap, closedError, describe } from "./handle.ts"

/**
 * The values of an array, mapped. `get` and `set` throw an `InvalidArgument` for an index out of range, and a
 * `SystemCallError` of EBADF once the view's scope has closed. They take no lock: a value of more than 8 bytes that a
 * program writes at the same time may be read half old, half new. Values of up to 8 bytes are read and written whole.
 */
export interface ArrayView<V> {
  readonly length: number
  readonly get: (index: number) => V
  /** Throws a `LayoutError` for a value that does not fit, and an `InvalidArgument` on a view made `readonly`. */
  readonly set: (index: number, value: V) => void
}

/** How much the upper 32 bits of a 64-bit integer count, and from where on they are beyond 2^53. */
const WORD = 2 ** 32
const UNSAFE_TOP = 2 ** 53 / WORD

/**
 * Reads 64-bit integers as numbers in some 2 ns, by one load: that of a double, whose bits are then looked at. (Two loads of
 * 32 bits may be of two values, also where the upper half is the same before and after.) Bits of no number are not kept
 * by doubles, so what is negative or beyond 2^53 is loaded as a bigint, in twice the time; so
 * is what a closed view has at any index, which is `undefined` and makes a double that is not a number.
 */
const wholeReader = (
  layout: Layout<any>,
  buffer: ArrayBuffer,
  closed: () => SystemCallError
): ((index: number) => number) | undefined => {
  const { node } = layout
  if (node._tag !== "Int" || node.size !== 8 || node.bigint || node.bigEndian) return undefined
  const doubles = new Float64Array(buffer)
  const whole = node.signed ? new BigInt64Array(buffer) : new BigUint64Array(buffer)
  const own = new ArrayBuffer(8)
  const [double, halves, bytes, view] = [
    new Float64Array(own),
    new Uint32Array(own),
    new Uint8Array(own),
    new DataView(own)
  ]
  const readSlowly = (index: number): number => {
    const value = whole[index]
    if (value === undefined) throw closed()
    if (Number.isSafeInteger(Number(value))) return Number(value)
    view.setBigUint64(0, BigInt.asUintN(64, value), true)
    return layout.read(view, bytes, 0) // throws
  }
  return (index) => {
    double[0] = doubles[index]!
    const top = halves[1]!
    return top < UNSAFE_TOP ? top * WORD + halves[0]! : readSlowly(index)
  }
}

/** Moves one value between the mapping and memory of its own, where its layout reads and writes it. */
interface Mover {
  readonly view: DataView
  readonly bytes: Uint8Array
  readonly load: (index: number) => void
  readonly store: (index: number) => void
}

/**
 * Values of up to 8 bytes are moved whole, by one aligned load or store of 1, 2, 4 or 8 bytes: elements are 8 bytes apart,
 * and what such a word has beyond its value is padding. (A DataView moves single bytes, until its code is optimised.)
 */
const moverOf = (size: number, buffer: ArrayBuffer): Mover => {
  const width = [1, 2, 4, 8].find((wide) => size <= wide)
  const own = new ArrayBuffer(width ?? size)
  const bytes = new Uint8Array(own)
  const view = new DataView(own)
  if (width === undefined) {
    const all = new Uint8Array(buffer)
    const stride = strideOf(size)
    return {
      view,
      bytes,
      load: (index) => bytes.set(all.subarray(index * stride, index * stride + size)),
      store: (index) => all.set(bytes, index * stride)
    }
  }
  const Words = width === 8 ? BigUint64Array : width === 4 ? Uint32Array : width === 2 ? Uint16Array : Uint8Array
  const [word, words] = [new Words(own), new Words(buffer)]
  const step = 8 / width
  return {
    view,
    bytes,
    load: (index) => {
      word[0] = words[index * step]!
    },
    store: (index) => {
      words[index * step] = word[0]!
    }
  }
}

export const acquireView = <V>(
  kernel: KernelService,
  map: BpfMap<"array">,
  layout: Layout<V>,
  isReadonly: boolean
): Effect.Effect<ArrayView<V>, InvalidArgument | SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const { flags, maxEntries, name } = map.spec
    if (map.fd < 0) return yield* Effect.fail(closedError(map))
    if ((flags & bpf_map_create_flags.BPF_F_MMAPABLE) === 0) {
      return yield* new InvalidArgument({
        field: "map",
        expected: "an array made with mmapable: true",
        actual: `${name}, made without`
      })
    }
    const stride = strideOf(layout.size)
    const length = Math.ceil((stride * maxEntries) / kernel.pageSize) * kernel.pageSize
    const mapping = yield* Effect.mapError(
      acquireMapping(kernel, describe(map.spec), {
        fd: map.fd,
        length,
        protection: isReadonly ? mman.PROT_READ : mman.PROT_READ | mman.PROT_WRITE,
        offset: 0
      }),
      (error) => {
        const forbidden = error.errno === errno.EPERM || error.errno === errno.EACCES
        const hint = forbidden && !isReadonly ? whyNotAllowed(kernel, map.fd, "write") : undefined
        return hint === undefined
          ? error
          : new SystemCallError({ ...error, hint: `${hint}. Map it with readonly: true` })
      }
    )
    const { buffer } = mapping
    const readWhole = wholeReader(layout, buffer, () => closedError(map))
    // What a codec rejects half-way must not be in the map: values are encoded aside, and moved whole.
    const shared = moverOf(layout.size, buffer)
    let busy = false
    /** The user's codec or getter may use this very view: it then has a mover of its own. */
    const withMover = <A>(use: (mover: Mover) => A): A => {
      if (busy) return use(moverOf(layout.size, buffer))
      busy = true
      try {
        return use(shared)
      } finally {
        busy = false
      }
    }
    const isIn = (index: number): boolean => index >>> 0 === index && index < maxEntries
    const assertIn = (index: number): void => {
      if (buffer.byteLength === 0) throw closedError(map)
      if (!isIn(index)) throw checkInteger("index", index, 0, maxEntries - 1)!
    }
    return {
      length: maxEntries,
      get: readWhole === undefined
        ? (index) => {
          assertIn(index)
          return withMover((mover) => {
            mover.load(index)
            return layout.read(mover.view, mover.bytes, 0)
          })
        }
        : (index) => {
          if (!isIn(index)) assertIn(index)
          return readWhole(index) as V
        },
      set: (index, value) => {
        assertIn(index)
        // Writing a page mapped without PROT_WRITE is SIGSEGV.
        if (isReadonly) {
          throw new InvalidArgument({ field: "view", expected: "a writable view", actual: "a readonly one" })
        }
        withMover((mover) => {
          layout.write(mover.view, mover.bytes, 0, value)
          assertIn(index) // the user's code may have closed the view
          mover.store(index)
        })
      }
    }
  })
