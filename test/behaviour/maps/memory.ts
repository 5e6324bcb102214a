// Maps that are memory: ring buffers, arenas; and containers that programs fill: stacks, struct_ops.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import {
  Arena,
  BpfMap,
  type Features,
  Layout,
  RingBufferMap,
  StackTraceMap,
  UserRingBufferMap
} from "../../../src/index.ts"
import type { Test } from "../../support/kernels.ts"

const ringBuffer = (options: RingBufferMap.Options<number>) => RingBufferMap.make(options)
const userRingBuffer = (options: RingBufferMap.Options<number>) => UserRingBufferMap.make(options)
type Make = (
  options: RingBufferMap.Options<number>
) => Effect.Effect<
  BpfMap.BpfMap & { readonly record: Layout.Layout<number> },
  Effect.Error<ReturnType<typeof ringBuffer>>,
  Effect.Services<ReturnType<typeof ringBuffer>>
>

const rings: ReadonlyArray<readonly [name: string, make: Make, needs: Features.FeatureName]> = [
  ["ring buffer", ringBuffer, "ringbuf"],
  ["user ring buffer", userRingBuffer, "userRingbuf"]
]

export const memory = (test: Test): void => {
  for (const [name, make, needs] of rings) {
    test(
      `a ${name} has a size that is a power of two of pages, and knows its records' layout`,
      () =>
        Effect.gen(function*() {
          for (const maxEntries of [0, 1, 4095, 4097, 12_288, 2 ** 31, -4096, Number.NaN]) {
            const error = yield* Effect.flip(make({ name: "ring", record: Layout.u32, maxEntries }))
            expect(error, String(maxEntries)).toMatchObject({ _tag: "InvalidArgument", field: "maxEntries" })
          }
          const ring = yield* make({ name: "ring", record: Layout.u32, maxEntries: 65_536 })
          expect(ring.record).toBe(Layout.u32)
          expect(yield* BpfMap.info(ring)).toMatchObject({
            kind: ring.spec.type,
            keySize: 0,
            valueSize: 0,
            maxEntries: 65_536
          })
        }),
      { needs }
    )
  }

  test("an arena's memory is this process's, page by page, until its scope closes", () =>
    Effect.gen(function*() {
      const arena = yield* Arena.make({ name: "shared", maxEntries: 4 })
      const scope = yield* Scope.make()
      const { bytes, view } = yield* Scope.provide(Arena.memory(arena), scope)
      expect(bytes.length).toBe(4 * 4096)
      expect(view.getUint32(3 * 4096, true)).toBe(0)
      view.setUint32(3 * 4096, 42, true)
      expect(bytes[3 * 4096]).toBe(42)
      yield* Scope.close(scope, Exit.void)
      expect(bytes.length).toBe(0)
      expect(() => view.getUint8(0)).toThrow()
    }), { needs: "arena" })

  test("an arena whose missing pages would end the process is not mapped", () =>
    Effect.gen(function*() {
      const arena = yield* Arena.make({ name: "shared", maxEntries: 4, flags: 1 << 17 })
      expect(yield* Effect.flip(Arena.memory(arena))).toMatchObject({ _tag: "InvalidArgument", field: "arena" })
    }), { needs: "arena" })

  test("an arena is mapped once, as its address stays its own", () =>
    Effect.gen(function*() {
      const arena = yield* Arena.make({ name: "shared", maxEntries: 1 })
      yield* Effect.scoped(Arena.memory(arena))
      const again = yield* Effect.flip(Arena.memory(arena))
      expect(again).toMatchObject({ _tag: "SystemCallError", call: "mmap", code: "EINVAL" })
      expect(again.message).toContain("one address wherever it is mapped")
    }), { needs: "arena" })

  test("an arena of a closed scope has no memory", () =>
    Effect.gen(function*() {
      const closed = yield* Effect.scoped(Arena.make({ name: "shared", maxEntries: 1 }))
      expect(yield* Effect.flip(Arena.memory(closed))).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
    }), { needs: "arena" })

  test("an arena of more than 4 GiB, or of no pages, is refused", () =>
    Effect.gen(function*() {
      expect(yield* Effect.flip(Arena.make({ name: "shared", maxEntries: 0 }))).toMatchObject({ field: "maxEntries" })
      expect(yield* Effect.flip(Arena.make({ name: "shared", maxEntries: 2 ** 21 })))
        .toMatchObject({ _tag: "SystemCallError", code: "E2BIG" })
    }), { needs: "arena" })

  test("a stack trace map has no stacks until a program stores one", () =>
    Effect.gen(function*() {
      const stacks = yield* StackTraceMap.make({ name: "stacks", maxEntries: 64 })
      expect(yield* BpfMap.info(stacks)).toMatchObject({ kind: "stack_trace", valueSize: 127 * 8 })
      expect(yield* stacks.lookup(3)).toEqual(Option.none())
      expect(yield* stacks.delete(3)).toBe(false)
      expect(yield* Stream.runCollect(stacks.keys)).toEqual([])
      expect(yield* stacks.count).toBe(0)
      expect(yield* Effect.flip(stacks.lookup(-1))).toMatchObject({ _tag: "LayoutError" })
      const shallow = yield* StackTraceMap.make({ name: "stacks", maxEntries: 1, maxDepth: 1 })
      expect(yield* BpfMap.info(shallow)).toMatchObject({ valueSize: 8 })
      const deep = StackTraceMap.make({ name: "stacks", maxEntries: 1, maxDepth: 100_000 })
      expect(yield* Effect.flip(deep)).toMatchObject({ _tag: "SystemCallError", code: "EINVAL" })
    }))
}
