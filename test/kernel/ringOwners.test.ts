// One reader for each ring, across processes: who reads is written in the ring, which outlives every one of them.
import { beforeEach, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { BpfMap, Kernel, Layout, RingBuffer, RingBufferMap } from "../../src/index.ts"
import { acquireBpfFs } from "../support/folders.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const holder = [
  process.execPath,
  "--no-warnings",
  "--conditions=effect-ebpf-source",
  fileURLToPath(new URL("../support/ringHolder.ts", import.meta.url))
]
const definition = RingBufferMap.define({ name: "held", record: Layout.u64, maxEntries: 65536 })

/** A process, killed with the scope; and the first line that it prints. */
const start = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.promise(() => end(child))
  ).pipe(
    Effect.flatMap((child) =>
      Effect.map(
        Effect.promise(async () => {
          let text = ""
          for await (const part of child.stdout!) if ((text += String(part)).includes("\n")) break
          return text
        }),
        (line) => ({
          child,
          said: JSON.parse(line) as { readonly pid?: number; readonly read?: number; readonly code?: string }
        })
      )
    )
  )

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, "exit")
  child.kill("SIGKILL")
  await exit
}

const refused = (ring: RingBufferMap.RingBufferMap<bigint>) => Effect.flip(Effect.scoped(RingBuffer.make(ring)))

/** A pinned ring, and its path. */
const acquireRing = Effect.gen(function*() {
  const path = `${yield* acquireBpfFs}/ring`
  return { path, ring: yield* BpfMap.pinned(definition, path) }
})

describe("a ring that several processes open by its pin", () => {
  beforeEach(skipUnlessPossible)

  it.live("is read by one of them, and by the next when that is killed", () =>
    Effect.gen(function*() {
      const { path, ring } = yield* acquireRing
      const { child, said } = yield* start(holder[0]!, ...holder.slice(1), path)
      expect(said).toEqual({ pid: child.pid, read: 0 })
      const error = yield* refused(ring)
      expect(error).toMatchObject({ _tag: "SystemCallError", code: "EEXIST" })
      expect(error.message).toContain(`in thread ${child.pid}`)
      yield* Effect.promise(() => end(child))
      yield* Effect.scoped(RingBuffer.make(ring))
      yield* Effect.scoped(RingBuffer.make(ring))
    }).pipe(Effect.scoped, Effect.provide(Kernel.layer)))

  it.live("is refused to another process while this one reads, and free to it afterwards", () =>
    Effect.gen(function*() {
      const { path, ring } = yield* acquireRing
      const ask = Effect.scoped(Effect.map(start(holder[0]!, ...holder.slice(1), path, "once"), ({ said }) => said))
      yield* Effect.scoped(Effect.gen(function*() {
        yield* RingBuffer.make(ring)
        expect(yield* ask).toEqual({ code: "EEXIST" })
      }))
      expect(yield* ask).toMatchObject({ read: 0 })
    }).pipe(Effect.scoped, Effect.provide(Kernel.layer)))

  it.live("is not held by a process that was killed and that its parent has not waited for", () =>
    Effect.gen(function*() {
      const { path, ring } = yield* acquireRing
      // sleep(1) takes the shell's place as the parent, and waits for nobody.
      const { said } = yield* start("sh", "-c", `"$@" & exec sleep 1000000`, "sh", ...holder, path)
      const pid = said.pid!
      expect(yield* refused(ring)).toMatchObject({ code: "EEXIST" })
      process.kill(pid, "SIGKILL")
      const isZombie = Effect.sync(() => /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8")))
      yield* Effect.repeat(Effect.delay(isZombie, 5), { until: (is) => is })
      yield* Effect.scoped(RingBuffer.make(ring))
    }).pipe(Effect.scoped, Effect.provide(Kernel.layer)))
})
