// Attachments: what a link can do, whatever is attached. The cgroup's attachment here is written as attach modules are.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { expect } from "vitest"
import { bpf_attach_type, bpf_cmd } from "../../src/abi/generated/enums.ts"
import { attaching } from "../../src/attach/internal/attaching.ts"
import { acquireAtTarget, fromDescriptor } from "../../src/attach/internal/holding.ts"
import { createLink } from "../../src/bpf/links.ts"
import { attachProgram, detachProgram, queryPrograms } from "../../src/bpf/programs.ts"
import {
  Asm,
  AttachError,
  BpfFs,
  BpfMap,
  HashMap,
  Kernel,
  Layout,
  Link,
  Program,
  ProgramSpec,
  Tracepoint
} from "../../src/index.ts"
import { acquireCgroup } from "../support/cgroups.ts"
import { acquireBpfFs } from "../support/folders.ts"
import type { Test } from "../support/kernels.ts"
import { olderThan } from "../support/olderKernel.ts"

const idle = Program.load(ProgramSpec.make({
  type: "tracepoint",
  name: "idle",
  instructions: [Asm.mov("r0", 0), Asm.exit()]
}))

const passing = (name: string) =>
  Program.load(ProgramSpec.make({ type: "cgroup_skb", name, instructions: [Asm.mov("r0", 1), Asm.exit()] }))

const target = { category: "sched", name: "sched_process_exec" }
const attach_type = bpf_attach_type.BPF_CGROUP_INET_INGRESS

const attachToCgroup = (program: Program.Program<"cgroup_skb">, cgroup: number) =>
  attaching(
    program,
    "cgroup of the test",
    () => ({ target: "cgroup of the test" }),
    ({ about, kernel, owner, program }) =>
      createLink(kernel, { prog_fd: program, target_fd: cgroup, attach_type }, { subject: about.target }).pipe(
        Scope.provide(owner),
        Effect.map((descriptor) => fromDescriptor(kernel, descriptor, about))
      )
  )

/** As before links: the cgroup has the program. */
const putIntoCgroup = (program: Program.Program<"cgroup_skb">, cgroup: number) =>
  attaching(
    program,
    "cgroup of the test",
    () => ({ target: "cgroup of the test" }),
    ({ about, kernel, owner, program }) => {
      const place = { target: cgroup, attachType: attach_type, program }
      return Scope.provide(
        acquireAtTarget(kernel, about, {
          attach: attachProgram(kernel, { ...place, flags: 2 }, { subject: about.target }),
          detach: detachProgram(kernel, place, { subject: about.target })
        }),
        owner
      )
    }
  )

const reason = <A, R>(effect: Effect.Effect<A, AttachError.AttachError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

export const links = (test: Test): void => {
  test(
    "a tracepoint's attachment is a link that tells of itself, and is found by id and in the list",
    () =>
      Effect.gen(function*() {
        const program = yield* idle
        const link = yield* Tracepoint.attach(program, target)
        expect([Link.isLink(link), Link.isLink(program), Program.isProgram(link)]).toEqual([true, false, false])
        expect(link).toMatchObject({
          holder: "link",
          type: "tracepoint",
          target: "tracepoint sched/sched_process_exec"
        })
        const info = yield* Link.info(link)
        const { id: programId } = yield* Program.info(program)
        expect(info).toMatchObject({ type: "perf_event", programId })
        const { version } = yield* Kernel.Kernel
        if (version.major > 6 || (version.major === 6 && version.minor >= 6)) {
          expect(info.place).toMatchObject({ tp_name: "sched_process_exec" })
        }
        expect(String(link)).toBe(
          `tracepoint program "idle" at tracepoint sched/sched_process_exec, id ${info.id}, fd ${link.fd}`
        )
        expect(yield* Link.info(yield* Link.fromId(info.id))).toEqual(info)
        expect(yield* Link.info(yield* Link.fromFd(link.fd))).toEqual(info)
        const found = yield* Stream.runCollect(Stream.filter(Link.list, ({ id }) => id === info.id))
        expect([...found]).toEqual([info])
      }),
    { needs: "perfEventLink" }
  )

  test("a link lives on where it is pinned, and ends when its name is taken away", () =>
    Effect.gen(function*() {
      const folder = yield* acquireBpfFs
      const id = yield* Effect.scoped(Effect.gen(function*() {
        const link = yield* Tracepoint.attach(yield* idle, target)
        yield* Link.pin(link, `${folder}/link`)
        expect(yield* reason(Link.pin(link, `${folder}/link`))).toMatchObject({ code: "EEXIST" })
        return (yield* Link.info(link)).id
      }))
      yield* Effect.scoped(Effect.gen(function*() {
        const opened = yield* Link.openPinned(`${folder}/link`)
        expect((yield* Link.info(opened)).id).toBe(id)
        expect(String(opened)).toMatch(/^the program of id \d+ at a perf_event link, id \d+, fd \d+$/)
      }))
      yield* BpfFs.unpin(`${folder}/link`)
      const ended = Stream.runCollect(Stream.filter(Link.list, (link) => link.id === id))
      // Links end after a grace period.
      yield* Effect.repeat(ended, { until: (found) => found.length === 0, times: 100 })
      expect(yield* ended).toEqual([])
    }), { needs: "perfEventLink" })

  test("what is no link is not opened as one", () =>
    Effect.gen(function*() {
      const folder = yield* acquireBpfFs
      const map = yield* HashMap.make({ name: "no_link", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
      yield* BpfMap.pin(map, `${folder}/map`)
      const expected = { _tag: "InvalidArgument", field: "fd", expected: "a descriptor of a link" }
      expect(yield* Effect.flip(Link.openPinned(`${folder}/map`))).toMatchObject(expected)
      expect(yield* Effect.flip(Link.fromFd(map.fd))).toMatchObject(expected)
      expect(yield* Effect.flip(Link.openPinned(`${folder}/none`))).toMatchObject({ code: "ENOENT" })
      expect(yield* Effect.flip(Link.fromId(0))).toMatchObject({ _tag: "InvalidArgument", field: "id" })
      expect(yield* Effect.flip(Link.fromId(0xffffffff))).toMatchObject({ _tag: "SystemCallError" })
    }))

  test("a link gets another program in one step, where its place can have one", () =>
    Effect.gen(function*() {
      const { fd: cgroup } = yield* acquireCgroup
      const [first, second] = [yield* passing("first"), yield* passing("second")]
      const link = yield* attachToCgroup(first, cgroup)
      const programNow = Effect.map(Link.info(link), ({ programId }) => programId)
      const idOf = (program: Program.Program) => Effect.map(Program.info(program), ({ id }) => id)
      expect((yield* Link.info(link)).place).toMatchObject({ attach_type })
      expect(yield* programNow).toBe(yield* idOf(first))
      yield* Link.update(link, second)
      expect(yield* programNow).toBe(yield* idOf(second))
      const other = Link.update(link, first, { expected: first })
      expect(yield* Effect.flip(other)).toMatchObject({ _tag: "AttachError", reason: { code: "EPERM" } })
      yield* Link.update(link, first, { expected: second })
      expect(yield* programNow).toBe(yield* idOf(first))
      const fixed = yield* Tracepoint.attach(yield* idle, target)
      expect(yield* reason(Link.update(fixed, yield* idle))).toMatchObject({ code: "EINVAL" })
    }), { needs: "perfEventLink" })

  test("a link is detached by force, where its place lets it be, and the handle stays", () =>
    Effect.gen(function*() {
      const { fd: cgroup } = yield* acquireCgroup
      const link = yield* attachToCgroup(yield* passing("forced"), cgroup)
      const place = Effect.map(Link.info(link), (info) => info.place["cgroup_id"])
      expect(yield* place).not.toBe(0n)
      yield* Link.detach(link)
      expect(yield* place).toBe(0n)
      expect(yield* reason(Link.update(link, yield* passing("late")))).toMatchObject({ code: "ENOLINK" })
      const fixed = yield* Tracepoint.attach(yield* idle, target)
      expect(yield* reason(Link.detach(fixed))).toMatchObject({ code: "EOPNOTSUPP" })
    }), { needs: "perfEventLink" })

  test("an attachment without a descriptor is one too: it is taken away with the scope, or before", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const { fd: cgroup } = yield* acquireCgroup
      const program = yield* passing("held")
      const { id } = yield* Program.info(program)
      const there = kernel.kind === "simulated"
        ? Effect.succeed(undefined) // it has no BPF_PROG_QUERY
        : queryPrograms(kernel, { target: cgroup, attachType: attach_type }, {})
      const expectThere = (ids: ReadonlyArray<number>) =>
        Effect.map(there, (found) => expect(found ?? ids).toEqual(ids))
      const link = yield* Effect.scoped(Effect.gen(function*() {
        const link = yield* putIntoCgroup(program, cgroup)
        yield* expectThere([id])
        expect(String(link)).toBe("cgroup_skb program \"held\" at cgroup of the test, attached")
        expect(yield* reason(Link.info(link))).toMatchObject({ _tag: "NotSupported" })
        expect(yield* reason(Link.pin(link, "/x"))).toMatchObject({ _tag: "NotSupported" })
        return link
      }))
      expect(String(link)).toBe("cgroup_skb program \"held\" at cgroup of the test, detached")
      yield* expectThere([])
      const early = yield* putIntoCgroup(program, cgroup)
      yield* Link.detach(early)
      yield* expectThere([])
    }))

  test(
    "a link whose scope has closed is refused with one sentence, and never another's descriptor used",
    () =>
      Effect.gen(function*() {
        const folder = yield* acquireBpfFs
        const [link, program] = yield* Effect.scoped(Effect.gen(function*() {
          const program = yield* idle
          return [yield* Tracepoint.attach(program, target), program] as const
        }))
        yield* Tracepoint.attach(yield* idle, target) // takes the numbers
        expect(link.fd).toBe(-1)
        expect(String(link)).toMatch(/, closed$/)
        const closed = { code: "EBADF", hint: "The scope that the program was attached in has closed" }
        const live = yield* idle
        const uses = [
          Link.info(link),
          Link.pin(link, `${folder}/x`),
          Link.update(link, live),
          Link.detach(link)
        ]
        for (const use of uses) {
          expect(yield* reason(use as Effect.Effect<unknown, AttachError.AttachError, Kernel.Kernel>)).toMatchObject(
            closed
          )
        }
        expect(yield* reason(Tracepoint.attach(program, target))).toMatchObject({
          code: "EBADF",
          hint: "The scope that the program was loaded in has closed"
        })
      }),
    { needs: "perfEventLink" }
  )

  test("an attachment says why it cannot be: no such place, a record too short, a cookie that is no number", () =>
    Effect.gen(function*() {
      const program = yield* idle
      const missing = yield* Effect.flip(
        Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_nonesuch" })
      )
      expect(missing).toMatchObject({ _tag: "AttachError", name: "AttachError", reason: { _tag: "TargetNotFound" } })
      expect(missing.message).toContain(
        "tracepoint program \"idle\" at tracepoint syscalls/sys_enter_nonesuch: this kernel has no tracepoint"
      )
      expect(yield* reason(Tracepoint.attach(program, { category: "..", name: "x" }))).toMatchObject({
        _tag: "InvalidArgument",
        field: "category"
      })
      for (const cookie of [-1n, 1n << 64n, 5 as never]) {
        expect(yield* reason(Tracepoint.attach(program, target, { cookie }))).toMatchObject({ field: "cookie" })
      }
    }))

  test("kernels before 5.15 attach by the perf event itself, which can do less", () =>
    Effect.gen(function*() {
      let links = 0
      const program = yield* idle
      yield* Effect.gen(function*() {
        const link = yield* Tracepoint.attach(program, target)
        expect(link).toMatchObject({ holder: "perf_event", type: "tracepoint" })
        expect(link.fd).toBeGreaterThan(2)
        expect(String(link)).toBe(`tracepoint program "idle" at tracepoint sched/sched_process_exec, fd ${link.fd}`)
        for (const use of [Link.info(link), Link.pin(link, "/x"), Link.update(link, program)]) {
          const found = yield* reason(use as Effect.Effect<unknown, AttachError.AttachError, Kernel.Kernel>)
          expect(found._tag).toBe("NotSupported")
        }
        yield* Link.detach(link)
        expect(yield* reason(Tracepoint.attach(program, target, { cookie: 7n }))).toMatchObject({
          _tag: "NotSupported",
          why: "links to perf events need Linux 5.15 or later"
        })
      }).pipe(olderThan([5, 15], (command) => {
        if (command === bpf_cmd.BPF_LINK_CREATE) links++
      }))
      expect(links).toBe(0)
    }))

  test("a failed attachment leaves nothing, even while the scope lives on", () =>
    Effect.gen(function*() {
      const program = yield* idle
      const asIfClosed = { ...program, fd: 1 << 20 }
      expect(yield* reason(Tracepoint.attach(asIfClosed, target))).toMatchObject({
        _tag: "SystemCallError",
        code: "EBADF"
      })
    }))
}
