import { beforeEach, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { release } from "node:os"
import { expect } from "vitest"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { bpf_attr_raw_tracepoint } from "../../src/abi/generated/structs.ts"
import { Asm, Catalog, Kernel, Layout, Program, ProgramSpec, RingBuffer, Tracepoint } from "../../src/index.ts"
import { fill } from "../../src/kernel/attribute.ts"
import { acquireBlock, acquireFd } from "../../src/kernel/systemCall.ts"
import { PacketEvent } from "../../src/catalog/programs/events.ts"
import { catalog } from "../behaviour/catalog.ts"
import { real } from "../support/kernels.ts"
import { arp, tcp4 } from "../support/packets.ts"
import { perfRings } from "../support/perfOutput.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

describe("the catalog on this machine's kernel", () => {
  beforeEach(skipUnlessPossible)
  catalog(real)
})

/** Attaches an LSM program, which no module does yet: BPF_RAW_TRACEPOINT_OPEN without a name gives a link. */
const attachLsm = (program: Program.Program<"lsm">) =>
  Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const attr = yield* acquireBlock(kernel, bpf_attr_raw_tracepoint.size)
    const size = fill(attr, bpf_attr_raw_tracepoint, { name: 0, prog_fd: program.fd })
    const what = { call: "bpf", command: "BPF_RAW_TRACEPOINT_OPEN" }
    return yield* acquireFd(kernel, what, () => kernel.bpf.call(bpf_cmd.BPF_RAW_TRACEPOINT_OPEN, attr, size))
  })

/** Whether the kernel calls LSM programs: it needs `bpf` in the list that it was booted with. */
const callsLsm = (): boolean => {
  try {
    return readFileSync("/sys/kernel/security/lsm", "utf8").split(",").includes("bpf")
  } catch {
    return false // securityfs is not mounted
  }
}

/** The smallest LSM program, to tell a kernel that takes none from one that takes ours only not. */
const smallest = ProgramSpec.make({
  type: "lsm",
  name: "smallest",
  attachTo: "file_open",
  instructions: [Asm.mov("r0", 0), Asm.exit()]
})

describe("tracers of the catalog, attached to this machine's kernel", () => {
  beforeEach(skipUnlessPossible)

  real("execve-tracer tells of the wanted process's children", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("execve-tracer", { parent: process.pid })
      yield* Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_execve" })
      const pid = Number(execFileSync("/bin/sh", ["-c", "echo $$; /bin/true; exit 0"], { encoding: "utf8" }))
      execFileSync("/bin/true")
      const records = yield* RingBuffer.stream(maps.executions).pipe(Stream.take(2), Stream.runCollect)
      expect(records.map(({ file }) => file)).toEqual(["/bin/sh", "/bin/true"]) // the grandchild is not there
      expect(records[0]).toMatchObject({ pid, uid: process.getuid!() })
      expect(records[0]!.command.length).toBeGreaterThan(0)
      expect(records[1]!.time > records[0]!.time).toBe(true)
    }), { needs: "ringbuf" })

  real(
    "lsm-file-open tells of the wanted process's files, where the kernel takes LSM programs at all",
    () =>
      Effect.gen(function*() {
        const taken = yield* Effect.exit(Effect.scoped(Program.load(smallest)))
        if (Exit.isFailure(taken)) {
          const refused = yield* Effect.flip(Catalog.load("lsm-file-open"))
          const because = yield* Effect.flip(Program.load(smallest))
          expect(refused).toMatchObject({ _tag: "SystemCallError", errno: (because as { errno?: number }).errno })
          console.log(`no LSM programs on ${release()}: ${because.message}`)
          return
        }
        const { maps, program } = yield* Catalog.load("lsm-file-open", { pid: process.pid })
        yield* attachLsm(program)
        readFileSync("/proc/self/comm")
        if (!callsLsm()) {
          return console.log(`LSM programs are loaded and not called on ${release()}: no bpf in its LSMs`)
        }
        const [record] = yield* RingBuffer.stream(maps.opened).pipe(
          Stream.filter(({ name }) => name === "comm"),
          Stream.take(1),
          Stream.runCollect
        )
        expect(record).toMatchObject({ pid: process.pid, uid: process.getuid!(), name: "comm" })
      }),
    { needs: "ringbuf" }
  )

  real("perf-event-output writes its records into the perf rings", () =>
    Effect.gen(function*() {
      const { maps, program } = yield* Catalog.load("perf-event-output")
      const read = yield* perfRings((cpu, fd) => maps.events.update(cpu, fd))
      yield* Program.testRun(program, { data: tcp4() })
      yield* Program.testRun(program, { data: arp() })
      const records = read().map((bytes) => Result.getOrThrow(Layout.decode(PacketEvent, bytes)))
        .toSorted((a, b) => a.time < b.time ? -1 : 1)
      expect(records).toMatchObject([
        { length: tcp4().length, ifindex: 1, type: 0x0800 },
        { length: arp().length, ifindex: 1, type: 0x0806 }
      ])
    }))
})
