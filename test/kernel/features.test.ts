import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { spawnSync } from "node:child_process"
import { expect } from "vitest"
import {
  bpf_attach_type,
  bpf_cmd,
  perf_event_read_format,
  perf_event_sample_format,
  perf_sw_ids,
  perf_type_id
} from "../../src/abi/generated/enums.ts"
import {
  bpf_attr_batch,
  bpf_attr_link_create,
  bpf_attr_prog_load,
  perf_event_attr
} from "../../src/abi/generated/structs.ts"
import { programTypes } from "../../src/abi/names.ts"
import { perf } from "../../src/abi/os.ts"
import { openRawTracepoint } from "../../src/bpf/links.ts"
import { acquireTracefs } from "../../src/attach/internal/tracefs.ts"
import {
  BpfMap,
  Features,
  HashMap,
  Kernel,
  Layout,
  LocalStorage,
  type MapSpec,
  Program,
  ProgramSpec,
  Tcx
} from "../../src/index.ts"
import * as Asm from "../../src/isa/Asm.ts"
import { fill } from "../../src/kernel/attribute.ts"
import { acquirePerfEvent } from "../../src/kernel/perfEvents.ts"
import { acquireBlock, acquireFd, readFile } from "../../src/kernel/systemCall.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

type Probe = Effect.Effect<boolean, unknown, Kernel.Kernel | Scope.Scope>

const works = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.isSuccess(effect)

const mapOf = (spec: Omit<MapSpec.MapSpec, "name">): Probe => works(BpfMap.make({ name: "probe", ...spec }))

/** Whether the kernel takes a program of such instructions. */
const loads = (...instructions: ReadonlyArray<Asm.Item>): Probe =>
  works(Program.load(ProgramSpec.make({ type: "socket_filter", name: "probe", instructions })))

const storage = { name: "probe", value: Layout.u64 }

/** Eight bytes of the stack that are written, and a register that holds 1. */
const cell = [Asm.mov("r1", 1), Asm.stdw("r10", -8, "r1")]

const pass = [Asm.mov("r0", 0), Asm.exit()]

/** Asks the kernel itself, by using each feature: by its own API where there is one, by raw calls where not yet. */
const probes: { readonly [F in Features.FeatureName]: Probe } = {
  ringbuf: mapOf({ type: "ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0 }),
  bloomFilter: mapOf({ type: "bloom_filter", keySize: 0, valueSize: 4, maxEntries: 16, flags: 0 }),
  userRingbuf: mapOf({ type: "user_ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0 }),
  // With BPF_F_MMAPABLE. Linux 7.3 in a VM without cmpxchg16b knows the type, and answers ENOMEM: that counts as having it.
  arena: BpfMap.make({ type: "arena", name: "probe", keySize: 0, valueSize: 0, maxEntries: 1, flags: 0x400 }).pipe(
    Effect.as(true),
    Effect.catchTag("SystemCallError", (error) => Effect.succeed(error.code === "ENOMEM"))
  ),

  atomics: loads(cell, Asm.atomicFetchAdd("r10", -8, "r1"), pass),
  loadAcquire: loads(cell, Asm.loadAcquire8("r2", "r10", -8), pass),
  cpuV4: loads(cell, Asm.movsx("r2", "r1", 8), pass),
  boundsOfDivision: loads(
    Asm.stdw("r10", -8, 0),
    Asm.call("get_prandom_u32"),
    Asm.mod("r0", 8),
    Asm.mov("r1", "r10"),
    Asm.add("r1", "r0"),
    Asm.ldxb("r0", "r1", -8),
    pass
  ),
  privateStacks: works(Program.load(ProgramSpec.make({
    type: "tracepoint",
    name: "probe",
    instructions: [
      Asm.stdw("r10", -320, 0),
      Asm.callLocal("other"),
      pass,
      Asm.func("other", [Asm.stdw("r10", -320, 0), pass])
    ]
  }))),
  unwrittenStack: loads(Asm.ldxdw("r2", "r10", -8), pass),

  cgroupLocalStorage: works(LocalStorage.makeCgroup(storage)),
  taskStorage: works(LocalStorage.makeTask(storage)),
  inodeStorage: works(LocalStorage.makeInode(storage)),

  hashLookupAndDelete: Effect.gen(function*() {
    const map = yield* HashMap.make({ name: "probe", key: Layout.u32, value: Layout.u32, maxEntries: 1 })
    yield* map.update(1, 7)
    const found = yield* Effect.result(map.lookupAndDelete(1))
    return Result.isSuccess(found) && Option.contains(found.success, 7)
  }),

  syscallProgram: Effect.gen(function*() {
    const spec = ProgramSpec.make({ type: "syscall", name: "probe", flags: ["sleepable"], instructions: pass })
    const program = yield* Effect.result(Program.load(spec))
    return Result.isSuccess(program) && (yield* works(Program.testRun(program.success, {})))
  }),

  batch: Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const map = yield* BpfMap.make({ type: "array", name: "probe", keySize: 4, valueSize: 4, maxEntries: 2, flags: 0 })
    const [keys, values, cursor, attr] = yield* Effect.all(
      [64, 64, 64, bpf_attr_batch.size].map((n) => acquireBlock(kernel, n))
    )
    const size = fill(attr!, bpf_attr_batch, {
      map_fd: map.fd,
      keys: keys!,
      values: values!,
      out_batch: cursor!,
      count: 2
    })
    return kernel.bpf.call(bpf_cmd.BPF_MAP_LOOKUP_BATCH, attr!, bpf_attr_batch.size) >= 0 && size > 0
  }),

  fsopen: Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    return yield* works(acquireFd(kernel, { call: "fsopen" }, () => kernel.files.fsopen("tracefs")))
  }),

  logTrueSize: Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const [attr, log, license, code] = yield* Effect.all(
      [bpf_attr_prog_load.size, 1 << 16, 8, 8].map((n) => acquireBlock(kernel, n))
    )
    code!.bytes.set([0x95]) // exit, with r0 never set
    fill(attr!, bpf_attr_prog_load, {
      prog_type: programTypes.socket_filter,
      insn_cnt: 1,
      insns: code!,
      license: license!,
      log_level: 1,
      log_size: log!.size,
      log_buf: log!
    })
    const { offset, size } = bpf_attr_prog_load.fields.log_true_size
    kernel.bpf.call(bpf_cmd.BPF_PROG_LOAD, attr!, offset + size)
    return attr!.view.getUint32(offset, true) > 0
  }),

  // What is charged to RLIMIT_MEMLOCK is refused to a process whose limit is 0; memory cgroups do not look at it.
  memcgAccounting: Effect.sync(() => {
    const { status } = spawnSync("sh", [
      "-c",
      `ulimit -l 0 && exec "$0" --conditions=effect-ebpf-source "$1"`,
      process.execPath,
      "test/support/smallMap.ts"
    ])
    return status === 0
  }),

  // A question about this machine's own loopback changes nothing.
  tcx: works(Tcx.programs(1, "ingress")),
  // The attribute's field came with the cookie: a kernel without it answers E2BIG.
  rawTracepointCookie: Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const program = yield* Program.load(
      ProgramSpec.make({ type: "raw_tracepoint", name: "probe", instructions: pass })
    )
    return yield* works(
      openRawTracepoint(kernel, { program: program.fd, name: "sched_process_exec", cookie: 1n }, {})
    )
  }),

  perfEventLink: Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const program = yield* Program.load(ProgramSpec.make({ type: "tracepoint", name: "probe", instructions: pass }))
    const attr = yield* acquireBlock(kernel, perf_event_attr.size)
    const tracefs = yield* acquireTracefs(kernel)
    const id = Number(new TextDecoder().decode(yield* readFile(kernel, `${tracefs}/events/sched/sched_switch/id`)))
    fill(attr, perf_event_attr, { type: perf_type_id.PERF_TYPE_TRACEPOINT, size: 112, config: id })
    const event = yield* acquireFd(
      kernel,
      { call: "perf_event_open" },
      () => kernel.perf.open(attr, -1, 0, -1, perf.PERF_FLAG_FD_CLOEXEC)
    )
    const link = yield* acquireBlock(kernel, bpf_attr_link_create.size)
    fill(link, bpf_attr_link_create, {
      prog_fd: program.fd,
      target_fd: event,
      attach_type: bpf_attach_type.BPF_PERF_EVENT
    })
    return yield* works(
      acquireFd(
        kernel,
        { call: "bpf" },
        () => kernel.bpf.call(bpf_cmd.BPF_LINK_CREATE, link, bpf_attr_link_create.size)
      )
    )
  }),

  perfLost: Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const fields = {
      type: perf_type_id.PERF_TYPE_SOFTWARE,
      config: perf_sw_ids.PERF_COUNT_SW_BPF_OUTPUT,
      sample_type: perf_event_sample_format.PERF_SAMPLE_RAW,
      read_format: perf_event_read_format.PERF_FORMAT_LOST
    }
    return yield* works(acquirePerfEvent(kernel, "probe", { pid: -1, cpu: 0, fields }))
  }),

  rawTracepointTestRun: Effect.gen(function*() {
    const spec = ProgramSpec.make({ type: "raw_tracepoint", name: "probe", instructions: pass })
    return yield* works(Program.testRun(yield* Program.load(spec), { context: new Uint8Array(16) }))
  })
}

/** What stable releases of older series took over, so that their version does not tell. Debian's 5.10 has it. */
const backported: ReadonlySet<Features.FeatureName> = new Set(["perfLost"])

describe("the table of features agrees with this kernel", () => {
  beforeEach(skipUnlessPossible)

  for (const feature of Object.keys(probes) as Array<Features.FeatureName>) {
    const { name, since } = Features.features[feature]
    const before = backported.has(feature) ? "in some before" : "not before"
    real(`${name}: from Linux ${since.join(".")} on, and ${before}`, () =>
      Effect.gen(function*() {
        const { version } = yield* Kernel.Kernel
        const found = yield* Effect.scoped(Effect.result(probes[feature]))
        const expected = Features.isExpected(version, feature)
        if (expected || !backported.has(feature)) expect(Result.getOrThrow(found), version.release).toBe(expected)
      }))
  }
})
