// Holds the tables of helpers and of contexts against what this machine's kernel itself says.
import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { release } from "node:os"
import { expect } from "vitest"
import type { AttachType, ProgramType } from "../../src/abi/names.ts"
import { ArrayMap, Asm, type BpfMap, Btf, Kernel, KernelBtf, Layout, Program, ProgramSpec } from "../../src/index.ts"
import * as Helper from "../../src/isa/Helper.ts"
import { availability, probedVersions } from "../../src/isa/helperCallers.ts"
import * as ProgramContext from "../../src/spec/ProgramContext.ts"
import { kinds, nameOf, probeHelpers } from "../support/helperProbe.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const version = (text: string): number => {
  const [major = 0, minor = 0] = text.split(".").map(Number)
  return major * 1000 + minor
}

const running = version(release())

/** Types that load without a function or hook of the kernel to attach to, from the oldest on. */
const attachTypes: { readonly [T in ProgramType]?: AttachType | undefined } = {
  socket_filter: undefined,
  kprobe: undefined,
  sched_cls: undefined,
  xdp: undefined,
  perf_event: undefined,
  cgroup_skb: "cgroup_inet_ingress",
  cgroup_sock: "cgroup_inet_sock_create",
  lwt_in: undefined,
  lwt_xmit: undefined,
  lwt_seg6local: undefined,
  sock_ops: "cgroup_sock_ops",
  sk_skb: undefined,
  sk_msg: undefined,
  cgroup_device: "cgroup_device",
  cgroup_sock_addr: "cgroup_inet4_connect",
  sk_reuseport: undefined,
  cgroup_sysctl: "cgroup_sysctl",
  cgroup_sockopt: "cgroup_getsockopt",
  sk_lookup: "sk_lookup"
}

const typesOf = (helper: Helper.Helper): ReadonlyArray<ProgramType> =>
  helper.programTypes.filter((type) => type in attachTypes)

/** What the verifier says at the end of its log; nothing where it accepts the program. */
const verdict = (type: ProgramType, license: string, instructions: ReadonlyArray<Asm.Item>) =>
  Effect.scoped(Program.load(ProgramSpec.makeDynamic({
    type,
    name: "probe",
    license,
    instructions,
    ...(attachTypes[type] === undefined ? {} : { expectedAttachType: attachTypes[type] })
  }))).pipe(
    Effect.as(""),
    Effect.catchTag("VerifierError", (error) => Effect.succeed(error.log)),
    Effect.catchTag("SystemCallError", (error) => Effect.succeed(error.code))
  )

/** What an option of the kernel, or lockdown, may take away. */
const configured: ReadonlySet<string> = new Set(["probe_write_user", "override_return"])

const isUnknown = (log: string): boolean => /unknown func|cannot use helper|invalid func/.test(log)

const registers = ["r1", "r2", "r3", "r4", "r5"] as const

/** The context in r6, and 64 zeros on the stack. */
const frame = [Asm.mov("r6", "r1"), Array.from({ length: 8 }, (_, i) => Asm.stdw("r10", -64 + i * 8, 0))]

/** A right argument of a kind, for those kinds of which there is one anywhere. */
const give = (register: Asm.Register, kind: Helper.ArgumentKind, map: BpfMap.BpfMap): Asm.Item | undefined => {
  switch (kind) {
    case "any":
      return Asm.mov(register, 0)
    case "context":
      return Asm.mov(register, "r6")
    case "map":
      return Asm.ldMapFd(register, map)
    case "mapKey":
    case "mapValue":
    case "mapValueOut":
    case "read":
    case "write":
    case "readWrite":
      return [Asm.mov(register, "r10"), Asm.add(register, -64)]
    case "size":
    case "sizeOrZero":
    case "recordSize":
      return Asm.mov(register, 8)
    default:
      return undefined
  }
}

/** What the verifier wants first in place of a number, for a kind of argument that is none. */
const expected: { readonly [K in Helper.ArgumentKind]?: string } = {
  context: "ctx",
  map: "map_ptr",
  mapKey: "fp",
  mapValue: "fp",
  mapValueOut: "fp",
  read: "fp",
  write: "fp",
  readWrite: "fp",
  ringbufRecord: running < version("6.2") ? "alloc_mem" : "ringbuf_mem",
  socketCommon: "sock_common",
  socketLike: "sock_common",
  btf: "ptr_",
  percpuBtf: "percpu_ptr_",
  spinLock: "map_value",
  timer: "map_value",
  kptr: "map_value",
  dynptr: "fp",
  dynptrOut: "fp",
  callback: "func",
  constString: "map_value",
  stack: "fp"
}

/** Helpers for several types take the arguments of the table in one of these. */
const preferred = (helper: Helper.Helper): ProgramType | undefined => {
  const types = typesOf(helper)
  return types.includes("sched_cls") ? "sched_cls" : types[0]
}

const x64Registers = Layout.decode(ProgramContext.pt_regs_x64, new Uint8Array(ProgramContext.pt_regs_x64.size)).pipe(
  Result.getOrThrow
)

describe("the table of helpers, on this machine's kernel,", () => {
  beforeEach(skipUnlessPossible)

  real("has the kernel's helpers under their ids, and says since when there is each", () =>
    Effect.gen(function*() {
      const btf = yield* KernelBtf.load
      const [id = 0] = Btf.idsByName(btf, "bpf_func_id", "Enum")
      const type = Btf.type(btf, id)
      if (type._tag === "None" || type.value._tag !== "Enum") throw new Error("no enum bpf_func_id")
      const ids = new Map(type.value.values.map(({ name, value }) => [name, value]))
      for (const helper of Helper.all()) {
        const found = ids.get(`BPF_FUNC_${helper.name}`)
        expect(found, `${helper.name}, since ${helper.since}`)
          .toBe(version(helper.since) <= running ? helper.id : undefined)
      }
    }))

  real("tells those that need a GPL-compatible licence", () =>
    Effect.gen(function*() {
      let known = 0
      for (const helper of Helper.all()) {
        const [type] = typesOf(helper)
        if (type === undefined || version(helper.since) > running) continue
        const log = yield* verdict(type, "Proprietary", [Asm.call(helper.name), Asm.mov("r0", 0), Asm.exit()])
        if (isUnknown(log)) continue
        known++
        expect(/GPL/.test(log), helper.name).toBe(helper.gplOnly)
      }
      expect(known).toBeGreaterThan(100)
    }))

  real("names the kinds of program to which this kernel offers each helper", () =>
    Effect.gen(function*() {
      const kernel = yield* Kernel.Kernel
      const btf = yield* KernelBtf.load
      const { offered } = probeHelpers(kernel, btf)
      const wasAsked = probedVersions.some((asked) => version(asked) === running)
      const wrong: Array<string> = []
      let compared = 0
      for (const kind of kinds) {
        const answers = offered[nameOf(kind)]
        if (answers === undefined) continue
        for (const helper of Helper.all()) {
          const found = availability(helper.id, { ...kind, sleepable: kind.sleeps === true })
          const told = found !== undefined && version(found.since) <= running &&
            !(found.withdrawn !== undefined && version(found.withdrawn) <= running)
          const isOffered = answers[helper.id - 1] === "y"
          if (!isOffered && configured.has(helper.name)) continue
          // Between two kernels that were asked, nobody knows which was the first.
          if (!wasAsked && told !== isOffered) continue
          compared++
          if (told !== isOffered) wrong.push(`${nameOf(kind)} ${helper.name}: ${isOffered ? "offered" : "refused"}`)
        }
      }
      expect(wrong).toEqual([])
      expect(compared).toBeGreaterThan(10_000)
    }))

  real(
    "says what each argument must be, as far as those before it can be given, and which helpers may wait",
    () =>
      Effect.gen(function*() {
        const map = yield* ArrayMap.make({ name: "numbers", value: Layout.u64, maxEntries: 1 })
        let compared = 0
        for (const helper of Helper.all()) {
          const type = preferred(helper)
          if (type === undefined || version(helper.since) > running) continue
          for (const [index, { kind }] of helper.arguments.entries()) {
            const wanted = expected[kind]
            if (wanted === undefined) continue
            const given = helper.arguments.slice(0, index).map((argument, i) => give(registers[i]!, argument.kind, map))
            if (given.includes(undefined)) break
            const log = yield* verdict(type, "GPL", [
              frame,
              given as ReadonlyArray<Asm.Item>,
              registers.slice(index).map((register) => Asm.mov(register, 1)),
              Asm.call(helper.name),
              Asm.mov("r0", 0),
              Asm.exit()
            ])
            if (isUnknown(log)) break
            expect(/sleep/.test(log), helper.name).toBe(helper.sleeps)
            if (helper.sleeps) break
            compared++
            const [, register, words] = /R(\d) type=scalar expected=([\w, ]+)/.exec(log) ?? []
            const message = `${helper.name}, argument ${index + 1}, ${kind}, from ${type}: ${log.slice(-300)}`
            expect(`R${register} ${words?.split(",")[0]}`, message).toBe(`R${index + 1} ${wanted}`)
          }
        }
        expect(compared).toBeGreaterThan(200)
      }),
    { needs: "userRingbuf" }
  )

  for (const type of ["xdp", "sched_cls"] as const) {
    real(`tells those that move the packet of a program of type ${type}`, () =>
      Effect.gen(function*() {
        const { data, data_end } = type === "xdp" ? ProgramContext.fields.xdp_md : ProgramContext.fields.__sk_buff
        const map = yield* ArrayMap.make({ name: "numbers", value: Layout.u64, maxEntries: 1 })
        let compared = 0
        for (const helper of Helper.all()) {
          const given = helper.arguments.map((argument, i) => give(registers[i]!, argument.kind, map))
          if (
            !helper.programTypes.includes(type) || version(helper.since) > running || given.includes(undefined)
          ) continue
          const log = yield* verdict(type, "GPL", [
            frame,
            Asm.ldxw("r7", "r6", data.offset),
            Asm.ldxw("r8", "r6", data_end.offset),
            Asm.mov("r2", "r7"),
            Asm.add("r2", 14),
            Asm.jgt("r2", "r8", "out"),
            given as ReadonlyArray<Asm.Item>,
            Asm.call(helper.name),
            Asm.ldxb("r0", "r7", 0),
            Asm.label("out"),
            Asm.mov("r0", 0),
            Asm.exit()
          ])
          const moves = /R7 invalid mem access/.test(log)
          if (log !== "" && !moves) continue
          compared++
          expect(moves, helper.name).toBe(helper.movesPacket)
        }
        expect(compared).toBeGreaterThan(type === "xdp" ? 20 : 40)
      }))
  }
})

describe("the layouts of contexts, on this machine's kernel,", () => {
  beforeEach(skipUnlessPossible)

  real("have the fields of the kernel's structs at their places", () =>
    Effect.gen(function*() {
      const btf = yield* KernelBtf.load
      let compared = 0
      for (const [struct, fields] of Object.entries(ProgramContext.fields)) {
        if (Btf.idsByName(btf, struct, "Struct").length === 0) continue // newer than this kernel
        for (const [name, place] of Object.entries<{ readonly offset: number }>(fields)) {
          const member = Btf.member(btf, struct, name)
          if (Result.isFailure(member)) continue // newer than this kernel
          compared++
          expect(member.success.bitOffset / 8, `${struct}.${name}`).toBe(place.offset)
        }
      }
      expect(compared).toBeGreaterThan(180)
    }))

  real("have the registers at their places", () =>
    Effect.gen(function*() {
      const btf = yield* KernelBtf.load
      const isArm = process.arch === "arm64"
      const layout: Layout.Layout<any> = isArm ? ProgramContext.pt_regs_arm64 : ProgramContext.pt_regs_x64
      const struct = isArm ? "user_pt_regs" : "pt_regs"
      const names = isArm ? ["regs", "sp", "pc", "pstate"] : Object.keys(x64Registers)
      for (const name of names) {
        const member = Result.getOrThrow(Btf.member(btf, struct, name))
        expect(Layout.field(layout, name)?.offset, name).toBe(member.bitOffset / 8)
      }
      const data = Result.getOrThrow(Btf.member(btf, "bpf_perf_event_data", "sample_period"))
      const perf: Layout.Layout<any> = ProgramContext.of("perf_event", isArm ? "arm64" : "x64")!.layout
      expect(Layout.field(perf, "sample_period")?.offset).toBe(data.bitOffset / 8)
    }))
})
