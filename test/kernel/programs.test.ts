// What only a real kernel shows of programs: its types, what it tells of programs, and what they may be attached to.
import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import { expect } from "vitest"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { errno } from "../../src/abi/errno.ts"
import {
  ArrayMap,
  Asm,
  BpfMap,
  Btf,
  type BtfType,
  Kernel,
  KernelBtf,
  Layout,
  Program,
  ProgramSpec
} from "../../src/index.ts"
import * as Snippets from "../../src/isa/Snippets.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const pass = [Asm.mov("r0", 0), Asm.exit()]
const tracer = (...instructions: ReadonlyArray<Asm.Item>) =>
  ProgramSpec.make({ type: "raw_tracepoint", name: "tracer", instructions })

const run = (...instructions: ReadonlyArray<Asm.Item>) =>
  Effect.gen(function*() {
    const program = yield* Program.load(tracer(...instructions, Asm.exit()))
    return (yield* Program.testRun(program, { context: new Uint8Array(16) })).returnValue
  })

describe("this kernel's types", () => {
  beforeEach(skipUnlessPossible)

  real("give offsets, sizes and values as they are in its BTF", () =>
    Effect.gen(function*() {
      const btf = yield* KernelBtf.load
      for (const path of ["pid", "comm", "mm", "se.load.weight", "thread_info.flags"]) {
        const member = Result.getOrThrow(Btf.member(btf, "task_struct", path))
        expect(yield* run(Asm.mov("r0", Asm.coreFieldOffset("task_struct", path))), path).toBe(member.bitOffset / 8)
      }
      expect(yield* run(Asm.mov("r0", Asm.coreFieldSize("task_struct", "comm")))).toBe(16)
      expect(yield* run(Asm.mov("r0", Asm.coreEnumValue("bpf_map_type", "BPF_MAP_TYPE_RINGBUF")))).toBe(27)
      expect(yield* run(Asm.mov("r0", Asm.coreTypeSize("xdp_md")))).toBe(24)
      expect(yield* run(Asm.mov("r0", Asm.coreTypeExists("struct no_such_struct")))).toBe(0)
    }))

  // The task that a test run runs in is this process; /proc says what its parent and its flags are.
  real("lead through pointers to what /proc says of this process", () =>
    Effect.gen(function*() {
      const current: ReadonlyArray<Asm.Item> = [Asm.call("get_current_task"), Asm.mov("r6", "r0")]
      const read = (path: string) => run(current, Asm.coreRead("r0", "r6", "task_struct", path, -8))
      const status = readFileSync("/proc/self/status", "utf8")
      const processId = yield* run(Asm.call("get_current_pid_tgid"), Asm.rsh("r0", 32))
      expect(yield* read("tgid")).toBe(processId)
      expect(yield* read("group_leader->group_leader->tgid")).toBe(processId)
      expect(yield* read("group_leader->comm[0]")).toBe(/^Name:\t(.)/m.exec(status)![1]!.charCodeAt(0))
      expect(yield* read("cred->uid.val")).toBe(process.getuid!())
      const noNewPrivileges = Number(/^NoNewPrivs:\t(\d)/m.exec(status)![1])
      expect((yield* read("atomic_flags")) & 1).toBe(noNewPrivileges)
    }))

  // The struct lies on the program's own stack, and is described by types made here:
  // struct { unsigned a:3; int b:7; unsigned c:22; int d:5; }
  real("cut bit-fields out of memory, signed and unsigned", () =>
    Effect.gen(function*() {
      const int = (name: string, signed: boolean): BtfType.BtfType => ({
        _tag: "Int",
        name,
        size: 4,
        bits: 32,
        offset: 0,
        signed,
        char: false,
        bool: false
      })
      const members = [["a", 1, 0, 3], ["b", 2, 3, 7], ["c", 1, 10, 22], ["d", 2, 32, 5]] as const
      const btf = Result.getOrThrow(Btf.parse(Result.getOrThrow(Btf.encode([
        int("unsigned int", false),
        int("int", true),
        {
          _tag: "Struct",
          name: "bits",
          size: 8,
          members: members.map(([name, type, bitOffset, bitfieldSize]) => ({ name, type, bitOffset, bitfieldSize }))
        }
      ]))))
      // a = 5, b = -3, c = 0x2aaaaa, d = -16
      const memory = 5n | (0x7dn << 3n) | (0x2aaaaan << 10n) | (0x10n << 32n)
      const read = (name: string) =>
        Effect.gen(function*() {
          const spec = tracer(
            Asm.lddw("r6", memory),
            Asm.stdw("r10", -16, "r6"),
            Asm.mov("r6", "r10"),
            Asm.add("r6", -16),
            Asm.coreRead("r0", "r6", "bits", name, -8),
            Asm.exit()
          )
          return (yield* Program.testRun(yield* Program.load(spec, { btf }), { context: new Uint8Array(8) }))
            .returnValue | 0
        })
      expect([yield* read("a"), yield* read("b"), yield* read("c"), yield* read("d")]).toEqual([5, -3, 0x2aaaaa, -16])
    }))

  real("are not missed by code that is never reached", () =>
    Effect.gen(function*() {
      const value = yield* run(
        Asm.mov("r1", Asm.coreFieldExists("task_struct", "no_such_member")),
        Asm.mov("r0", 7),
        Asm.jeq("r1", 0, "out"),
        Asm.mov("r0", Asm.coreFieldOffset("task_struct", "no_such_member")),
        Asm.label("out")
      )
      expect(value).toBe(7)
    }))
})

describe("snippets", () => {
  beforeEach(skipUnlessPossible)

  real("read memory of others, and say what cannot be read", () =>
    Effect.gen(function*() {
      const { text } = Snippets.stack({ text: Layout.cstring(16) })
      for (const read of [Snippets.probeReadUser, Snippets.probeReadUserString]) {
        expect((yield* run(Asm.mov("r6", 0), read(text, "r6"))) | 0).toBe(-errno.EFAULT)
      }
      // EFAULT, or ERANGE where the address cannot be the kernel's at all.
      for (const read of [Snippets.probeReadKernel, Snippets.probeReadKernelString]) {
        expect((yield* run(Asm.mov("r6", 0), read(text, "r6"))) | 0).toBeLessThan(0)
      }
      const comm = yield* run(
        Asm.call("get_current_task"),
        Asm.mov("r6", "r0"),
        Asm.add("r6", Asm.coreFieldOffset("task_struct", "comm")),
        Snippets.probeReadKernelString(text, "r6")
      )
      expect(comm).toBe(readFileSync("/proc/thread-self/comm", "utf8").length) // a newline there, a NUL here
    }))

  real("write to a perf buffer that nobody reads", () =>
    Effect.gen(function*() {
      const events = yield* BpfMap.make({
        type: "perf_event_array",
        name: "perf",
        keySize: 4,
        valueSize: 4,
        maxEntries: 1024,
        flags: 0
      })
      const { value } = Snippets.stack({ value: Layout.u64 })
      const result = yield* run(
        Asm.mov("r6", "r1"),
        Snippets.store(value, 7),
        Snippets.perfOutput("r6", events, value)
      )
      expect(result | 0).toBe(-errno.ENOENT)
    }))
})

describe("a program for a place in the kernel", () => {
  beforeEach(skipUnlessPossible)

  real("is loaded for a raw tracepoint with types, and for an iterator", () =>
    Effect.gen(function*() {
      for (
        const [expectedAttachType, attachTo] of [["trace_raw_tp", "sched_switch"], ["trace_iter", "task"]] as const
      ) {
        const spec = ProgramSpec.make({
          type: "tracing",
          name: "placed",
          instructions: pass,
          expectedAttachType,
          attachTo
        })
        expect((yield* Program.load(spec)).fd).toBeGreaterThan(0)
      }
    }))

  real("reads the arguments there with the kernel's types", () =>
    Effect.gen(function*() {
      const spec = ProgramSpec.make({
        type: "tracing",
        name: "typed",
        expectedAttachType: "trace_raw_tp",
        attachTo: "sched_switch",
        instructions: [
          Asm.ldxdw("r1", "r1", 8), // struct task_struct *prev
          Asm.coreLdx("r0", "r1", "task_struct", "pid"),
          Asm.mov("r0", 0),
          Asm.exit()
        ]
      })
      expect((yield* Program.load(spec)).type).toBe("tracing")
    }))

  real("that is not there is an error before any program is loaded", () =>
    Effect.gen(function*() {
      for (const type of ["tracing", "lsm", "struct_ops"] as const) {
        const spec = ProgramSpec.make({ type, name: "nowhere", instructions: pass, attachTo: "no_such_place" })
        expect(yield* Effect.flip(Program.load(spec))).toMatchObject({ _tag: "InvalidArgument", field: "attachTo" })
      }
    }))

  real("has an attach type and flags that its type has, and the error says which", () =>
    Effect.gen(function*() {
      const connect = {
        type: "cgroup_sock_addr",
        name: "connect",
        instructions: [Asm.mov("r0", 1), Asm.exit()]
      } as const
      yield* Program.load(ProgramSpec.make({ ...connect, expectedAttachType: "cgroup_inet4_connect" }))
      const refused = (spec: ProgramSpec.ProgramSpec) => Effect.flip(Program.load(spec))
      expect(yield* refused(ProgramSpec.makeDynamic({ ...connect, expectedAttachType: "xdp" }))).toMatchObject({
        _tag: "InvalidArgument",
        field: "expectedAttachType",
        expected: expect.stringContaining("cgroup_inet4_connect"),
        actual: "xdp"
      })
      expect(yield* refused(ProgramSpec.makeDynamic(connect))).toMatchObject({
        _tag: "InvalidArgument",
        field: "expectedAttachType",
        expected: expect.stringContaining("cgroup_inet4_connect"),
        actual: "none"
      })
      const sleepy = { type: "xdp", name: "sleepy", instructions: pass, flags: ["sleepable"] } as const
      expect(yield* refused(ProgramSpec.makeDynamic(sleepy))).toMatchObject({ _tag: "InvalidArgument", field: "flags" })
      const nowhere = { type: "tracing", name: "nowhere", instructions: pass } as const
      expect(yield* refused(ProgramSpec.makeDynamic(nowhere))).toMatchObject({
        _tag: "InvalidArgument",
        field: "attachTo",
        expected: expect.stringContaining("the name of a function of the kernel"),
        actual: "none"
      })
    }))
})

describe("a loaded program", () => {
  beforeEach(skipUnlessPossible)

  real("tells of itself, is found by its id, and listed", () =>
    Effect.gen(function*() {
      const numbers = yield* ArrayMap.make({ name: "numbers", value: Layout.u32, maxEntries: 1 })
      const program = yield* Program.load(ProgramSpec.make({
        type: "xdp",
        name: "known",
        instructions: [Asm.ldMapFd("r1", numbers), Asm.mov("r0", 2), Asm.exit()]
      }))
      const info = yield* Program.info(program)
      expect(info).toMatchObject({ type: "xdp", name: "known", maps: 1, isGplCompatible: true, userId: 0 })
      expect(info.tag).toMatch(/^[0-9a-f]{16}$/)
      expect(info.sourceLines).toBe(3)
      expect(info.btfId).toBeGreaterThan(0)
      expect(info.translatedSize).toBeGreaterThanOrEqual(32)

      const again = yield* Program.fromId("xdp", info.id)
      expect(again).toMatchObject({ type: "xdp", name: "known" })
      expect(again.fd).not.toBe(program.fd)
      expect((yield* Program.testRun(again, { data: new Uint8Array(64) })).returnValue).toBe(2)
      expect(yield* Program.info(yield* Program.fromFd("xdp", program.fd))).toMatchObject({ id: info.id })

      const all = yield* Stream.runCollect(Program.list)
      expect(all.filter(({ id }) => id === info.id)).toEqual([info])
    }))

  real("is not taken for one of another type, nor another object for it", () =>
    Effect.gen(function*() {
      const program = yield* Program.load(ProgramSpec.make({ type: "xdp", name: "typed", instructions: pass }))
      const map = yield* ArrayMap.make({ name: "no_program", value: Layout.u32, maxEntries: 1 })
      const { id } = yield* Program.info(program)
      expect(yield* Effect.flip(Program.fromId("sched_cls", id))).toMatchObject({ field: "type", expected: "xdp" })
      expect(yield* Effect.flip(Program.fromFd("xdp", map.fd))).toMatchObject({ field: "fd" })
      expect(yield* Effect.flip(Program.fromFd("xdp", 1_000_000))).toMatchObject({ code: "EBADF" })
      expect(yield* Effect.flip(Program.fromId("xdp", 0x7fffffff))).toMatchObject({ code: "ENOENT" })
      for (const bad of [-1, 0.5, Number.NaN, 2 ** 40]) {
        expect(yield* Effect.flip(Program.fromId("xdp", bad))).toMatchObject({ _tag: "InvalidArgument" })
        expect(yield* Effect.flip(Program.fromFd("xdp", bad))).toMatchObject({ _tag: "InvalidArgument" })
      }
    }))

  real("whose scope has closed tells nothing", () =>
    Effect.gen(function*() {
      const program = yield* Effect.scoped(
        Program.load(ProgramSpec.make({ type: "xdp", name: "gone", instructions: pass }))
      )
      expect(yield* Effect.flip(Program.info(program))).toMatchObject({ code: "EBADF" })
    }))

  real("does without its lines where the kernel refuses them", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const refusing: Kernel.KernelService = {
        ...kernel,
        bpf: {
          ...kernel.bpf,
          call: (command, attr, size) =>
            command === bpf_cmd.BPF_BTF_LOAD ? -errno.EPERM : kernel.bpf.call(command, attr, size)
        }
      }
      const load = Program.load(ProgramSpec.make({ type: "xdp", name: "plain", instructions: pass }))
      const program = yield* Effect.provideService(load, Kernel.Kernel, refusing)
      expect(yield* Program.info(program)).toMatchObject({ sourceLines: 0, btfId: 0 })
    }))
})
