import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { expect } from "vitest"
import { ArrayMap, BpfMap, Layout } from "../../src/index.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

/** A process that writes two patterns into the first value of an array, in turn, as fast as it can. */
const acquireWriter = (fd: number, patterns: readonly [bigint, bigint]) =>
  Effect.acquireRelease(
    Effect.sync(() =>
      spawn(
        process.execPath,
        ["--conditions=effect-ebpf-source", "test/support/mapWriter.ts", ...patterns.map(String)],
        { stdio: ["ignore", "ignore", "inherit", fd] }
      )
    ),
    (child: ChildProcess) =>
      Effect.callback<void>((done) => {
        if (child.exitCode !== null) return done(Effect.void)
        child.once("exit", () => done(Effect.void))
        child.kill("SIGKILL")
      })
  )

const READS = 2_000_000

/** All values that are seen while another process writes those two. */
const seen = <V extends number | bigint>(value: Layout.Layout<V>, patterns: readonly [bigint, bigint]) =>
  Effect.gen(function*() {
    const map = yield* ArrayMap.make({ name: "torn", value, maxEntries: 2, mmapable: true })
    const view = yield* ArrayMap.view(map)
    const written = yield* BpfMap.fromFd(
      ArrayMap.define({ name: "torn", value: Layout.u64, maxEntries: 2, mmapable: true }),
      map.fd
    )
    yield* written.update(0, patterns[0])
    yield* acquireWriter(map.fd, patterns)
    while (Number(view.get(1)) === 0) yield* Effect.sleep("10 millis")
    const values = new Set<V>()
    for (let i = 0; i < READS; i++) values.add(view.get(0))
    return [...values].toSorted((a, b) => Number(a) - Number(b))
  })

describe("an array's memory that another process writes", () => {
  beforeEach(skipUnlessPossible)

  real("numbers of 64 bits are never seen half old, half new", () =>
    Effect.gen(function*() {
      expect(yield* seen(Layout.u64Number, [0n, 2n ** 53n - 1n])).toEqual([0, 2 ** 53 - 1])
    }))

  real("signed numbers of 64 bits are never seen half old, half new", () =>
    Effect.gen(function*() {
      const [low, high] = [-(2 ** 52), 2 ** 32 - 1]
      expect(yield* seen(Layout.i64Number, [BigInt.asUintN(64, BigInt(low)), BigInt(high)])).toEqual([low, high])
    }))

  real("bigints of 64 bits are never seen half old, half new", () =>
    Effect.gen(function*() {
      expect(yield* seen(Layout.u64, [0n, 2n ** 64n - 1n])).toEqual([0n, 2n ** 64n - 1n])
    }))
})
