// The commands of bpf(2) that no module of the library makes yet, or makes for one kind of object only, on this machine's
// kernel; what the others do is held by the modules' own tests.
import { beforeEach, describe } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Effect from "effect/Effect"
import { closeSync, mkdtempSync, openSync, readSync, rmdirSync } from "node:fs"
import { expect } from "vitest"
import { bpf_attach_type, bpf_link_type, bpf_stats_type } from "../../src/abi/generated/enums.ts"
import { attachFlags } from "../../src/abi/os.ts"
import { loadBtf } from "../../src/bpf/btf.ts"
import { createIterator, createLink, detachLink, openRawTracepoint, updateLink } from "../../src/bpf/links.ts"
import { acquireById } from "../../src/bpf/objectIds.ts"
import { readObjectInfo } from "../../src/bpf/objectInfo.ts"
import { attachProgram, bindMap, detachProgram, enableStats, queryPrograms } from "../../src/bpf/programs.ts"
import { ArrayMap, Asm, BpfMap, Btf, Kernel, Layout, Program, ProgramSpec } from "../../src/index.ts"
import { acquireFolder } from "../support/folders.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const purpose = { subject: "a test" }
const attachType = bpf_attach_type.BPF_CGROUP_INET_EGRESS

const u32 = {
  _tag: "Int",
  name: "u32",
  size: 4,
  bits: 32,
  offset: 0,
  signed: false,
  char: false,
  bool: false
} as const

/** A cgroup of the test's own, in a mount of its own. */
const acquireCgroup = Effect.gen(function*() {
  const kernel = yield* Kernel.Kernel
  const folder = yield* acquireFolder
  yield* Effect.acquireRelease(
    Effect.sync(() => expect(kernel.files.mount("cgroup2", folder)).toBe(0)),
    () => Effect.sync(() => kernel.files.unmount(folder))
  )
  const path = mkdtempSync(`${folder}/effect-ebpf-`)
  yield* Effect.addFinalizer(() => Effect.sync(() => rmdirSync(path)))
  return yield* Effect.acquireRelease(
    Effect.sync(() => openSync(path, "r")),
    (fd) => Effect.sync(() => closeSync(fd))
  )
})

const passing = (name: string) =>
  ProgramSpec.make({
    type: "cgroup_skb",
    expectedAttachType: "cgroup_inet_egress",
    name,
    instructions: [Asm.mov("r0", 1), Asm.exit()]
  })

describe("commands of bpf(2) on this machine's kernel", () => {
  beforeEach(skipUnlessPossible)

  real("a link is created, found by its id, given another program, and detached", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const cgroup = yield* acquireCgroup
      const first = yield* Program.load(passing("first"))
      const second = yield* Program.load(passing("second"))
      const place = { target: cgroup, attachType }
      const idOf = (program: { readonly fd: number }) =>
        readObjectInfo(kernel, "program", { fd: program.fd, subject: "" }, ({ number }) => number("id"))
      const fields = { prog_fd: first.fd, target_fd: cgroup, attach_type: attachType }
      const link = yield* createLink(kernel, fields, purpose)
      expect(yield* queryPrograms(kernel, place, purpose)).toEqual([yield* idOf(first)])
      const id = yield* readObjectInfo(kernel, "link", { fd: link.fd, subject: "" }, ({ number }) => {
        expect(number("type")).toBe(bpf_link_type.BPF_LINK_TYPE_CGROUP)
        return number("id")
      })
      const again = yield* acquireById(kernel, "link", id)
      yield* updateLink(kernel, { fd: again.fd, program: second.fd, old: first.fd }, purpose)
      const stale = yield* Effect.flip(
        updateLink(kernel, { fd: again.fd, program: second.fd, old: first.fd }, purpose)
      )
      expect(stale).toMatchObject({ command: "BPF_LINK_UPDATE", code: "EPERM" })
      expect(yield* queryPrograms(kernel, place, purpose)).toEqual([yield* idOf(second)])
      yield* detachLink(kernel, link.fd, purpose)
      expect(yield* queryPrograms(kernel, place, purpose)).toEqual([])
    }), { needs: "taskStorage" }) // 5.11, newer than all of these

  real("programs are attached without a link, replaced, listed in order and detached", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const place = { target: yield* acquireCgroup, attachType }
      const programs = yield* Effect.forEach(["a", "b", "c"], (name) => Program.load(passing(name)))
      const ids = yield* Effect.forEach(programs, (program) => Effect.map(Program.info(program), ({ id }) => id))
      const [a, b, c] = programs.map(({ fd }) => fd) as [number, number, number]
      const flags = attachFlags.BPF_F_ALLOW_MULTI
      yield* attachProgram(kernel, { ...place, program: a, flags }, purpose)
      yield* attachProgram(kernel, { ...place, program: b, flags }, purpose)
      expect(yield* queryPrograms(kernel, place, purpose)).toEqual([ids[0], ids[1]])
      yield* attachProgram(kernel, { ...place, program: c, flags, replaced: a }, purpose)
      expect(yield* queryPrograms(kernel, place, purpose)).toEqual([ids[2], ids[1]])
      yield* detachProgram(kernel, { ...place, program: b }, purpose)
      yield* detachProgram(kernel, { ...place, program: c }, purpose)
      expect(yield* queryPrograms(kernel, place, purpose)).toEqual([])
      expect(yield* Effect.flip(detachProgram(kernel, { ...place, program: c }, purpose))).toMatchObject({
        command: "BPF_PROG_DETACH",
        code: "ENOENT"
      })
    }))

  real("a raw tracepoint is opened by its name, and its link tells it", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const { fd } = yield* Program.load(
        ProgramSpec.make({ type: "raw_tracepoint", name: "raw", instructions: [Asm.mov("r0", 0), Asm.exit()] })
      )
      const error = yield* Effect.flip(openRawTracepoint(kernel, { program: fd, name: "no_such" }, purpose))
      expect(error).toMatchObject({ command: "BPF_RAW_TRACEPOINT_OPEN", code: "ENOENT" })
      const link = yield* openRawTracepoint(kernel, { program: fd, name: "sched_process_exec" }, purpose)
      const name = kernel.allocate(64)
      if (typeof name === "number") throw new Error("no memory")
      const given = { "raw_tracepoint.tp_name": name, "raw_tracepoint.tp_name_len": 64 }
      yield* readObjectInfo(kernel, "link", { fd: link.fd, subject: "" }, ({ number }) =>
        expect(number("type")).toBe(bpf_link_type.BPF_LINK_TYPE_RAW_TRACEPOINT), given)
      expect(new TextDecoder().decode(name.bytes.slice(0, name.bytes.indexOf(0)))).toBe("sched_process_exec")
      kernel.free(name)
    }), { needs: "taskStorage" })

  real("what an iterator prints is read from its descriptor", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const { fd } = yield* Program.load(
        ProgramSpec.make({
          type: "tracing",
          expectedAttachType: "trace_iter",
          attachTo: "bpf_map",
          name: "iterator",
          // bpf_seq_write(ctx->meta->seq, "x", 1)
          instructions: [
            Asm.ldxdw("r1", "r1", 0),
            Asm.ldxdw("r1", "r1", 0),
            Asm.stb("r10", -8, 120),
            Asm.mov("r2", "r10"),
            Asm.add("r2", -8),
            Asm.mov("r3", 1),
            Asm.call("seq_write"),
            Asm.mov("r0", 0),
            Asm.exit()
          ]
        })
      )
      yield* ArrayMap.make({ name: "some", value: Layout.u32, maxEntries: 1 })
      const link = yield* createLink(
        kernel,
        { prog_fd: fd, target_fd: 0, attach_type: bpf_attach_type.BPF_TRACE_ITER, flags: 0 },
        purpose
      )
      const iterator = yield* createIterator(kernel, link.fd, purpose)
      const buffer = new Uint8Array(65536)
      const text = new TextDecoder().decode(buffer.subarray(0, readSync(iterator.fd, buffer)))
      expect(text).toMatch(/^x+$/)
    }), { needs: "taskStorage" })

  real(
    "a program keeps a map that is bound to it, and types and statistics are held by descriptors",
    () =>
      Effect.gen(function*() {
        const kernel = yield* Kernel.Kernel
        const program = yield* Program.load(passing("binds"))
        const map = yield* ArrayMap.make({ name: "bound", value: Layout.u32, maxEntries: 1 })
        expect(yield* Program.info(program)).toMatchObject({ maps: 0 })
        yield* bindMap(kernel, program.fd, map.fd, purpose)
        expect(yield* Program.info(program)).toMatchObject({ maps: 1 })
        expect((yield* Effect.flip(bindMap(kernel, program.fd, program.fd, purpose))).message).toContain(
          "bpf(BPF_PROG_BIND_MAP) for a test: EINVAL"
        )
        const types = yield* loadBtf(kernel, Result.getOrThrow(Btf.encode([u32])), "one type")
        const id = yield* readObjectInfo(kernel, "btf", { fd: types.fd, subject: "" }, ({ number }) => number("id"))
        expect((yield* acquireById(kernel, "btf", id)).fd).toBeGreaterThan(0)
        yield* enableStats(kernel, bpf_stats_type.BPF_STATS_RUN_TIME)
        yield* Program.testRun(program, { data: new Uint8Array(64), repeat: 3 })
        expect((yield* BpfMap.info(map)).name).toBe("bound")
      }),
    { needs: "inodeStorage" }
  ) // 5.10, as binding
})
