// Handles that outlive the Kernel layer that they were made from.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { expect, it } from "vitest"
import {
  ArrayMap,
  Asm,
  HashMap,
  Kernel,
  Layout,
  Program,
  ProgramSpec,
  RingBuffer,
  RingBufferMap
} from "../../src/index.ts"

const SAYS = "The Kernel layer that this was made with has been released"

/** Runs with a kernel of its own, of which the layer's scope is handed over. */
const withKernel = <E>(
  layer: Layer.Layer<Kernel.Kernel, E>,
  use: (release: Effect.Effect<void>) => Effect.Effect<void, unknown, Kernel.Kernel | Scope.Scope>
): Promise<void> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(layer, scope)
    yield* Effect.provide(use(Scope.close(scope, Exit.void)), Context.pick(Kernel.Kernel)(context))
  })))

export const released = <E>(layer: Layer.Layer<Kernel.Kernel, E>): void => {
  it("nothing can be made with it, and the error says why", () =>
    withKernel(layer, (release) =>
      Effect.gen(function*() {
        const events = yield* RingBufferMap.make({ name: "events", record: Layout.u64, maxEntries: 4096 })
        const counts = yield* ArrayMap.make({ name: "counts", value: Layout.u64, maxEntries: 4, mmapable: true })
        yield* release
        const spec = ProgramSpec.make({
          type: "socket_filter",
          name: "none",
          instructions: [Asm.mov("r0", 0), Asm.exit()]
        })
        const made: ReadonlyArray<Effect.Effect<unknown, unknown, Kernel.Kernel | Scope.Scope>> = [
          RingBuffer.make(events),
          ArrayMap.view(counts),
          HashMap.make({ name: "m", key: Layout.u32, value: Layout.u32, maxEntries: 1 }),
          Program.load(spec)
        ]
        for (const make of made) {
          const error = yield* Effect.flip(make)
          expect(error).toMatchObject({ _tag: "SystemCallError", code: "EBADF" })
          expect((error as Error).message).toContain(SAYS)
        }
      })))

  it("who waits for it fails, and what it had mapped reads nothing", () =>
    withKernel(layer, (release) =>
      Effect.gen(function*() {
        const events = yield* RingBufferMap.make({ name: "events", record: Layout.u64, maxEntries: 4096 })
        const reader = yield* RingBuffer.make(events)
        const waiting = yield* Effect.forkChild(Effect.flip(reader.ready))
        yield* Effect.sleep("5 millis")
        yield* release
        const error = yield* Effect.timeout(Fiber.join(waiting), "60 seconds")
        expect(error).toMatchObject({ code: "EBADF" })
        expect((error as Error).message).toContain(SAYS)
        expect((yield* Effect.flip(reader.ready)).message).toContain(SAYS)
        expect(reader.drain(() => {})).toBe(0)
      })))

  it("no call of the service throws, or does anything but give back", () =>
    withKernel(layer, (release) =>
      Effect.gen(function*() {
        const kernel = yield* Kernel.Kernel
        const block = kernel.allocate(64)
        if (typeof block === "number") return
        expect(kernel.isReleased()).toBe(false)
        yield* release
        expect(kernel.isReleased()).toBe(true)
        const { bpf, files, perf } = kernel
        expect([
          kernel.allocate(8),
          bpf.call(0, block, 8),
          bpf.raiseMemlock(),
          perf.open(block, 0, 0, -1, 0),
          perf.ioctl(1, 1, 0),
          files.watch(1, () => {}),
          files.mmap(1, 4096, 1, 0),
          files.dup(1),
          files.read("/proc/self/status"),
          files.fsopen("bpf"),
          files.mkdir("/nowhere/at/all"),
          files.pidfdOpen(1)
        ]).toEqual(Array.from({ length: 12 }, () => -9))
        kernel.free(block)
      })))
}
