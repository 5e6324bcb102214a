// Row "attach to targets": each kind of program is attached, by each command that attaches, to each kind of target with each
// attach type. Few of these are right. What was attached is detached at once.
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import {
  bpf_attr_link_create,
  bpf_attr_link_detach,
  bpf_attr_link_update,
  bpf_attr_prog_attach,
  bpf_attr_raw_tracepoint
} from "../../../src/abi/generated/structs.ts"
import { attachTypes } from "../../../src/abi/names.ts"
import { perf } from "../../../src/abi/os.ts"
import type { KernelService } from "../../../src/kernel/Kernel.ts"
import type { Btf } from "../../../src/index.ts"
import { type Kind, kinds, loadFields, nameOf } from "../helperProbe.ts"
import { Bench, type Fields, returning } from "./bench.ts"
import type { Case } from "./compare.ts"

/** What only a kernel's own side can make. */
export interface Extras {
  /** A descriptor of a cgroup of the test's own. */
  readonly cgroup: number
  /** A perf event on a tracepoint that never fires, not enabled. */
  readonly perfEvent: number
}

const CLOSED = 999
/** No device has this number. */
const NO_DEVICE = 123_456

export class AttachBench extends Bench {
  readonly fds: { readonly [what: string]: number }
  readonly programs: ReadonlyMap<string, number>
  /** A device that is not there, and one that is, in a network namespace of the test's own. */
  readonly devices = { none: NO_DEVICE, lo: 1 }

  constructor(kernel: KernelService, btf: Btf.Btf, extras: Extras) {
    super(kernel)
    const programs = new Map<string, number>()
    for (const kind of attachable) {
      const fd = this.load({ code: returning(1), ...this.typed(kind, btf) })
      if (fd >= 0) programs.set(nameOf(kind), fd)
    }
    programs.set("nothing", CLOSED)
    programs.set("map", this.map("hash", 4, 8, 1))
    this.programs = programs
    const rawTracepoint = programs.get("raw_tracepoint")!
    const link = this.openRaw(rawTracepoint, "sched_process_exec")
    if (link < 0) throw new Error(`link on ${kernel.kind}: ${link}`)
    this.fds = {
      nothing: CLOSED,
      negative: -1,
      map: this.map("hash", 4, 8, 1),
      sockmap: this.map("sockmap", 4, 4, 1),
      program: this.program("xdp"),
      link,
      cgroup: extras.cgroup,
      "perf event": extras.perfEvent
    }
  }

  private typed(kind: Kind, btf: Btf.Btf) {
    const { prog_type, ...fields } = loadFields(kind, btf)
    return { type: Number(prog_type), fields }
  }

  openRaw(program: number, name: string | null): number {
    return this.call(bpf_cmd.BPF_RAW_TRACEPOINT_OPEN, bpf_attr_raw_tracepoint, {
      prog_fd: program,
      name: name === null ? 0n : this.text(name)
    })
  }

  override free(): void {
    for (const fd of this.programs.values()) if (fd !== CLOSED) this.close(fd)
    for (const [what, fd] of Object.entries(this.fds)) if (what !== "nothing") this.close(fd)
    super.free()
  }
}

/** One of each type, and of the attach types that matter. struct_ops programs need a map of theirs. */
const attachable = kinds.filter(({ sleeps, target, type }) =>
  sleeps !== true && type !== "struct_ops" && type !== "lirc_mode2" && (target === undefined || type === "tracing")
)
/** The kinds that load on a kernel without kprobes, functions to trace and infrared receivers too. */
const common = attachable.filter(({ attachType, type }) => type !== "tracing" || attachType === "trace_raw_tp")
const programNames = [...common.map(nameOf), "nothing", "map"]
const targets = ["nothing", "negative", "map", "sockmap", "program", "link", "cgroup", "perf event"]

const createLink = (program: string, target: (side: AttachBench) => number, fields: Fields, size?: number) =>
(
  side: AttachBench
): number => {
  const fd = side.call(bpf_cmd.BPF_LINK_CREATE, bpf_attr_link_create, {
    prog_fd: side.programs.get(program) ?? CLOSED,
    target_fd: target(side),
    ...fields
  }, size)
  side.close(fd)
  return Math.min(fd, 0)
}

const attach =
  (program: string, target: (side: AttachBench) => number, fields: Fields) => (side: AttachBench): number => {
    const given = { target_fd: target(side), attach_bpf_fd: side.programs.get(program) ?? CLOSED, ...fields }
    const result = side.call(bpf_cmd.BPF_PROG_ATTACH, bpf_attr_prog_attach, given)
    if (result >= 0) {
      side.call(bpf_cmd.BPF_PROG_DETACH, bpf_attr_prog_attach, {
        target_fd: given.target_fd,
        attach_bpf_fd: given.attach_bpf_fd,
        attach_type: (fields as { readonly attach_type: number }).attach_type
      })
    }
    return Math.min(result, 0)
  }

const lastAttach = Math.max(...Object.values(attachTypes))

const deviceAttachTypes: ReadonlySet<number> = new Set(
  (["xdp", "tcx_ingress", "tcx_egress", "netkit_primary", "netkit_peer"] as const).map((name) => attachTypes[name])
)

export function* attachments(): Generator<Case<AttachBench>> {
  for (const program of programNames) {
    for (let type = 0; type <= lastAttach + 2; type++) {
      // A number of a device is no descriptor, and must not be one by chance.
      const places: ReadonlyArray<readonly [name: string, (side: AttachBench) => number]> = deviceAttachTypes.has(type)
        ? [["no device", ({ devices }) => devices.none], ["lo", ({ devices }) => devices.lo]]
        : targets.map((target) => [target, ({ fds }) => fds[target]!])
      for (const [target, of] of places) {
        const name = `${program} to ${target}, attach type ${type}`
        yield { name: `link ${name}`, run: createLink(program, of, { attach_type: type }) }
        yield { name: `attach ${name}`, run: attach(program, of, { attach_type: type }) }
        yield {
          name: `detach ${name}`,
          run: (side) =>
            side.call(bpf_cmd.BPF_PROG_DETACH, bpf_attr_prog_attach, {
              target_fd: of(side),
              attach_bpf_fd: side.programs.get(program) ?? CLOSED,
              attach_type: type
            })
        }
        for (const flags of [1, 2, 4, 8, 16, 32, 2 ** 31]) {
          yield { name: `link ${name}, flags ${flags}`, run: createLink(program, of, { attach_type: type, flags }) }
          yield {
            name: `attach ${name}, flags ${flags}`,
            run: attach(program, of, { attach_type: type, attach_flags: flags })
          }
        }
      }
    }
    for (const name of [null, "", "nope", "sched_process_exec", "x".repeat(200)]) {
      yield {
        name: `raw ${program} to ${JSON.stringify(name?.slice(0, 20))}`,
        run: (side) => {
          const fd = side.openRaw(side.programs.get(program) ?? CLOSED, name)
          side.close(fd)
          return Math.min(fd, 0)
        }
      }
    }
    for (const target of targets) {
      yield {
        name: `ioctl ${program} to ${target}`,
        run: (side) =>
          side.kernel.perf.ioctl(
            side.fds[target]!,
            perf.PERF_EVENT_IOC_SET_BPF,
            side.programs.get(program) ?? CLOSED
          )
      }
      yield* updates(program, target)
    }
  }
  for (const target of targets) {
    yield {
      name: `detach link ${target}`,
      run: (side) => side.call(bpf_cmd.BPF_LINK_DETACH, bpf_attr_link_detach, { link_fd: side.fds[target]! })
    }
  }
}

function* updates(program: string, target: string): Generator<Case<AttachBench>> {
  for (const flags of [0, 1, 4, 8]) {
    for (const old of ["nothing", "xdp", "raw_tracepoint"]) {
      yield {
        name: `update ${target} with ${program}, flags ${flags}, old ${old}`,
        run: (side) =>
          side.call(bpf_cmd.BPF_LINK_UPDATE, bpf_attr_link_update, {
            link_fd: side.fds[target]!,
            new_prog_fd: side.programs.get(program) ?? CLOSED,
            flags,
            old_prog_fd: side.programs.get(old)!
          })
      }
    }
    yield {
      name: `update ${target} with ${program}, flags ${flags}`,
      run: (side) =>
        side.call(bpf_cmd.BPF_LINK_UPDATE, bpf_attr_link_update, {
          link_fd: side.fds[target]!,
          new_prog_fd: side.programs.get(program) ?? CLOSED,
          flags
        })
    }
  }
}
