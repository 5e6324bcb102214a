import * as Effect from "effect/Effect"
import { expect } from "vitest"
import type { ProgramType } from "../../src/abi/names.ts"
import { ArrayMap, Asm, HashMap, Layout, Program, ProgramSpec, RingBufferMap } from "../../src/index.ts"
import type { Test } from "../support/kernels.ts"

const element = [
  Asm.mov("r6", "r1"),
  Asm.stw("r10", -4, 1),
  Asm.ldMapFd("r1", "hash"),
  Asm.mov("r2", "r10"),
  Asm.add("r2", -4),
  Asm.call("map_lookup_elem")
]
const reserve = [
  Asm.ldMapFd("r1", "ring"),
  Asm.mov("r2", 16),
  Asm.mov("r3", 0),
  Asm.call("ringbuf_reserve")
]
const end = [Asm.mov("r0", 0), Asm.exit()]

interface Case {
  readonly name: string
  readonly type?: ProgramType
  readonly body: ReadonlyArray<Asm.Item>
  /** In the kernel's words. */
  readonly reason: RegExp
  readonly instruction?: number
  /** What the error says beyond the kernel's words. */
  readonly hint?: RegExp
}

/** What the verifier rejects, of the kinds that people write. */
const wrong: ReadonlyArray<Case> = [
  {
    name: "a register that was never written",
    body: [Asm.mov("r0", "r5"), Asm.exit()],
    reason: /R5 !read_ok/,
    instruction: 0
  },
  {
    name: "a helper that is not for the type of program",
    type: "xdp",
    body: [Asm.call("get_stackid"), ...end],
    reason: /unknown func|cannot use helper/,
    instruction: 0,
    hint: /^`get_stackid` is not for xdp programs, but for kprobe, tracepoint, /
  },
  {
    name: "another helper that is not for the type of program",
    type: "xdp",
    body: [Asm.call("get_socket_cookie"), ...end],
    reason: /unknown func|cannot use helper/,
    instruction: 0,
    hint: /^`get_socket_cookie` is not for xdp programs/
  },
  { name: "no result", body: [Asm.exit()], reason: /R0 !read_ok/, instruction: 0 },
  {
    name: "a value of a map without a check for NULL",
    body: [...element, Asm.ldxdw("r0", "r0", 0), Asm.exit()],
    reason: /R0 invalid mem access 'map_value_or_null'/,
    instruction: 7
  },
  {
    name: "an access beyond a value",
    body: [...element, Asm.jeq("r0", 0, "out"), Asm.ldxdw("r1", "r0", 4), Asm.label("out"), ...end],
    reason: /invalid access to map value, value_size=8 off=4 size=8/
  },
  {
    name: "an index into a value that has no bound",
    body: [
      ...element,
      Asm.jeq("r0", 0, "out"),
      Asm.ldxdw("r1", "r0", 0),
      Asm.add("r0", "r1"),
      Asm.ldxb("r1", "r0", 0),
      Asm.label("out"),
      ...end
    ],
    reason: /math between map_value pointer and register with unbounded min value is not allowed/
  },
  {
    name: "a packet whose end was not looked at",
    type: "xdp",
    body: [Asm.ldxw("r2", "r1", 0), Asm.ldxb("r0", "r2", 0), Asm.exit()],
    reason: /invalid access to packet, off=0 size=1/,
    instruction: 1
  },
  {
    name: "a packet read further than was looked at",
    type: "xdp",
    body: [
      Asm.ldxw("r2", "r1", 0),
      Asm.ldxw("r3", "r1", 4),
      Asm.mov("r4", "r2"),
      Asm.add("r4", 14),
      Asm.jgt("r4", "r3", "out"),
      Asm.ldxh("r0", "r2", 13),
      Asm.label("out"),
      ...end
    ],
    reason: /invalid access to packet, off=13 size=2/
  },
  {
    name: "a record of a ring buffer that is neither submitted nor discarded",
    body: [...reserve, Asm.jeq("r0", 0, "out"), Asm.stdw("r0", 0, 1), Asm.label("out"), ...end],
    reason: /Unreleased reference|reference leak/
  },
  {
    name: "a record of a ring buffer that is used after it was submitted",
    body: [
      ...reserve,
      Asm.jeq("r0", 0, "out"),
      Asm.mov("r6", "r0"),
      Asm.mov("r1", "r0"),
      Asm.mov("r2", 0),
      Asm.call("ringbuf_submit"),
      Asm.stdw("r6", 0, 1),
      Asm.label("out"),
      ...end
    ],
    reason: /R6 invalid mem access '(scalar|inv)'/
  },
  {
    name: "a helper's argument that is of another kind",
    body: [Asm.mov("r1", 5), Asm.mov("r2", "r10"), Asm.call("map_lookup_elem"), ...end],
    reason: /R1 type=(scalar|inv) expected=map_ptr/
  },
  {
    name: "a loop without end",
    body: [Asm.mov("r0", 0), Asm.label("again"), Asm.jeq("r0", 0, "again"), Asm.exit()],
    reason: /infinite loop detected/
  },
  { name: "code that is never reached", body: [...end, ...end], reason: /unreachable insn 2/ },
  {
    name: "a field that the context has not",
    body: [Asm.ldxw("r0", "r1", 400), Asm.exit()],
    reason: /invalid bpf_context access off=400 size=4/,
    instruction: 0
  },
  {
    name: "the packet of a socket filter",
    body: [Asm.ldxw("r0", "r1", 76), Asm.exit()],
    reason: /invalid bpf_context access/
  },
  {
    name: "a write to the packet's length",
    body: [Asm.mov("r0", 0), Asm.stw("r1", 0, "r0"), Asm.exit()],
    reason: /invalid bpf_context access/
  },
  {
    name: "the stack beyond its bottom",
    body: [Asm.stdw("r10", -520, 0), ...end],
    reason: /invalid write to stack R10 off=-520 size=8/
  },
  {
    name: "the stack above its top",
    body: [Asm.ldxdw("r0", "r10", 0), Asm.exit()],
    reason: /invalid read from stack R10 off=0 size=8/
  },
  {
    name: "a number as an address",
    body: [Asm.mov("r1", 0), Asm.ldxw("r0", "r1", 0), Asm.exit()],
    reason: /R1 invalid mem access '(scalar|inv)'/
  },
  {
    name: "a division by the number zero",
    body: [Asm.mov("r0", 1), Asm.div("r0", 0), Asm.exit()],
    reason: /div by zero/
  },
  {
    name: "a result that a cgroup does not know",
    type: "cgroup_sysctl",
    body: [Asm.mov("r0", 2), Asm.exit()],
    reason: /At program exit the register R0/
  },
  {
    name: "a pointer times a number",
    body: [Asm.mul("r1", 2), ...end],
    reason: /pointer arithmetic with \*= operator prohibited/
  }
]

/** What looks wrong and is not. */
const right: ReadonlyArray<Omit<Case, "reason">> = [
  {
    name: "a number bounded by a mask, as an index",
    body: [
      ...element,
      Asm.jeq("r0", 0, "out"),
      Asm.ldxdw("r1", "r0", 0),
      Asm.and("r1", 7),
      Asm.add("r0", "r1"),
      Asm.ldxb("r1", "r0", 0),
      Asm.label("out"),
      ...end
    ]
  },
  {
    name: "a number bounded by a 32-bit comparison, as an index",
    body: [
      ...element,
      Asm.jeq("r0", 0, "out"),
      Asm.ldxw("r1", "r0", 0),
      Asm.jgt32("r1", 7, "out"),
      Asm.add("r0", "r1"),
      Asm.stb("r0", 0, 1),
      Asm.label("out"),
      ...end
    ]
  },
  {
    name: "a number bounded through a copy",
    body: [
      ...element,
      Asm.jeq("r0", 0, "out"),
      Asm.ldxdw("r1", "r0", 0),
      Asm.mov("r2", "r1"),
      Asm.jgt("r2", 7, "out"),
      Asm.add("r0", "r1"),
      Asm.ldxb("r1", "r0", 0),
      Asm.label("out"),
      ...end
    ]
  },
  {
    name: "a pointer that was spilled and came back",
    body: [
      ...element,
      Asm.stdw("r10", -16, "r0"),
      Asm.ldxdw("r7", "r10", -16),
      Asm.jeq("r7", 0, "out"),
      Asm.ldxdw("r1", "r10", -16),
      Asm.ldxdw("r2", "r1", 0),
      Asm.label("out"),
      ...end
    ]
  },
  {
    name: "a loop with a bound",
    body: [
      Asm.mov("r0", 0),
      Asm.mov("r1", 0),
      Asm.label("again"),
      Asm.add("r0", "r1"),
      Asm.add("r1", 1),
      Asm.jlt("r1", 100, "again"),
      Asm.exit()
    ]
  },
  {
    name: "a packet at an offset from the packet, with its end looked at",
    type: "xdp",
    body: [
      Asm.ldxw("r2", "r1", 0),
      Asm.ldxw("r3", "r1", 4),
      Asm.mov("r4", "r2"),
      Asm.add("r4", 14),
      Asm.jgt("r4", "r3", "out"),
      Asm.ldxb("r5", "r2", 0),
      Asm.and("r5", 15),
      Asm.add("r2", "r5"),
      Asm.mov("r4", "r2"),
      Asm.add("r4", 4),
      Asm.jgt("r4", "r3", "out"),
      Asm.ldxw("r0", "r2", 0),
      Asm.label("out"),
      ...end
    ]
  },
  {
    name: "many branches that all come together",
    body: [
      Asm.mov("r6", "r1"),
      Asm.mov("r0", 0),
      ...Array.from({ length: 20 }, (_, i) => [
        Asm.ldxw("r2", "r6", 0),
        Asm.jset("r2", 1 << i, `b${i}`),
        Asm.add("r0", 1),
        Asm.label(`b${i}`)
      ]),
      Asm.exit()
    ]
  }
]

/** All programs of this specification, right and wrong, for the test that changes programs. */
export const rejectionCases: ReadonlyArray<Omit<Case, "reason">> = [...wrong, ...right]

const load = ({ body, type }: Omit<Case, "reason">) =>
  Effect.gen(function*() {
    const hash = yield* HashMap.make({ name: "hash", key: Layout.u32, value: Layout.u64, maxEntries: 1 })
    const array = yield* ArrayMap.make({ name: "array", value: Layout.u64, maxEntries: 1 })
    const ring = yield* RingBufferMap.make({ name: "ring", record: Layout.u64, maxEntries: 4096 })
    const spec = ProgramSpec.make({ type: type ?? "socket_filter", name: "checked", instructions: body })
    return yield* Program.load(spec, { maps: { hash, array, ring } })
  })

export const rejections = (test: Test): void => {
  for (const each of wrong) {
    test(`${each.name} is rejected, with the reason`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(load(each))
        expect(error._tag).toBe("VerifierError")
        expect(error).toHaveProperty("log", expect.stringMatching(each.reason))
        if (each.hint !== undefined) {
          expect(error).toMatchObject({ hint: expect.stringMatching(each.hint) })
          expect(error.message).toMatch(`. ${(error as { readonly hint?: string }).hint}`)
        }
        if (each.instruction !== undefined) expect(error).toMatchObject({ instruction: each.instruction })
      }))
  }
  for (const each of right) test(`${each.name} is accepted`, () => Effect.asVoid(load(each)))
}
