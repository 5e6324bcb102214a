// Spans: what a tracer sees of the library's work, and that hot paths make none.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"
import { expect } from "vitest"
import { Asm, BpfMap, HashMap, Layout, Link, Program, ProgramSpec, Tracepoint } from "../../src/index.ts"
import { acquireBpfFs } from "../support/folders.ts"
import type { Test } from "../support/kernels.ts"

interface Seen {
  readonly name: string
  readonly attributes: { readonly [name: string]: unknown }
  readonly ended: "success" | "failure" | undefined
}

/** Runs an effect, and gives the spans that it made, in the order in which they began. */
const spansOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const spans: Array<Tracer.NativeSpan> = []
    const ends = new Map<Tracer.Span, Seen["ended"]>()
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        const end = span.end.bind(span)
        span.end = (time, exit) => {
          ends.set(span, Exit.isSuccess(exit) ? "success" : "failure")
          end(time, exit)
        }
        return span
      }
    })
    yield* Effect.exit(Effect.withTracer(effect, tracer))
    return spans.map((span): Seen => ({
      name: span.name,
      attributes: Object.fromEntries(span.attributes),
      ended: ends.get(span)
    }))
  })

const map = HashMap.make({ name: "spanned", key: Layout.u32, value: Layout.u32, maxEntries: 4 })
const program = Program.load(ProgramSpec.make({
  type: "tracepoint",
  name: "spanned",
  instructions: [Asm.mov("r0", 0), Asm.exit()]
}))
const target = { category: "sched", name: "sched_process_exec" }

export const spans = (test: Test): void => {
  test("creating, loading, attaching and pinning are spans that say what they are of", () =>
    Effect.gen(function*() {
      const folder = yield* acquireBpfFs
      const seen = yield* spansOf(Effect.gen(function*() {
        const made = yield* map
        yield* BpfMap.pin(made, `${folder}/spanned`)
        yield* Tracepoint.attach(yield* program, target)
      }))
      expect(seen).toMatchObject([
        { name: "BpfMap.create", attributes: { "bpf.map.name": "spanned" }, ended: "success" },
        { name: "BpfMap.pin", attributes: { "bpf.pin.path": `${folder}/spanned` }, ended: "success" },
        {
          name: "Program.load",
          attributes: { "bpf.program.type": "tracepoint", "bpf.program.name": "spanned" },
          ended: "success"
        },
        {
          name: "attach",
          attributes: { "bpf.program.name": "spanned", "bpf.target": "tracepoint sched/sched_process_exec" },
          ended: "success"
        }
      ])
    }))

  test("what fails ends its span as a failure", () =>
    Effect.gen(function*() {
      const loaded = yield* program
      const wrong = Tracepoint.attach(loaded, { category: "sched", name: "nonesuch" })
      expect(yield* spansOf(wrong)).toMatchObject([{ name: "attach", ended: "failure" }])
      const link = yield* Tracepoint.attach(loaded, target)
      expect(yield* spansOf(Link.detach(link))).toMatchObject([{ name: "Link.detach", ended: "failure" }])
    }), { needs: "perfEventLink" })

  test("reading and writing a map makes no span", () =>
    Effect.gen(function*() {
      const made = yield* map
      const work = Effect.gen(function*() {
        yield* made.update(1, 2)
        yield* made.lookup(1)
        yield* made.setMany([[2, 3], [3, 4]])
        yield* made.getMany([1, 2, 3])
        yield* made.delete(1)
        yield* made.count
      })
      expect(yield* spansOf(work)).toEqual([])
    }))
}
