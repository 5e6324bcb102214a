// Both kernels, for a comparison. The real one is entered in a network namespace of the test's own, so that nothing is
// attached to this machine's devices, whatever a case asks for.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { perf_type_id } from "../../../src/abi/generated/enums.ts"
import { perf_event_attr } from "../../../src/abi/generated/structs.ts"
import { Btf, Kernel } from "../../../src/index.ts"
import { fill } from "../../../src/kernel/attribute.ts"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import { ownLoopback } from "../ownNetwork.ts"

/** A cgroup of the test's own, in a mount of its own, as its folder's descriptor. */
const ownCgroup = (kernel: Kernel.KernelService) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "effect-ebpf-"))
      const mounted = kernel.files.mount("cgroup2", folder)
      if (mounted !== 0) throw new Error(`mount: ${mounted}`)
      const group = join(folder, `effect-ebpf-${process.pid}`)
      mkdirSync(group)
      const inner = join(group, "inner")
      mkdirSync(inner)
      return { folder, group, inner, fd: openSync(group, "r"), innerFd: openSync(inner, "r") }
    }),
    ({ fd, folder, group, inner, innerFd }) =>
      Effect.sync(() => {
        closeSync(fd)
        closeSync(innerFd)
        rmdirSync(inner)
        rmdirSync(group)
        kernel.files.unmount(folder)
        rmdirSync(folder)
      })
  )

/** The number of a tracepoint; where tracefs is not mounted, from a mount of its own. */
const tracepointId = (kernel: Kernel.KernelService): bigint => {
  const read = (folder: string) => kernel.files.read(`${folder}/events/sched/sched_process_exec/id`)
  const number = (bytes: Uint8Array) => BigInt(new TextDecoder().decode(bytes))
  const found = read("/sys/kernel/tracing")
  if (typeof found !== "number") return number(found)
  const folder = mkdtempSync(join(tmpdir(), "effect-ebpf-"))
  const mounted = kernel.files.mount("tracefs", folder)
  try {
    const own = mounted === 0 ? read(folder) : mounted
    if (typeof own === "number") throw new Error(`tracefs: ${own}`)
    return number(own)
  } finally {
    if (mounted === 0) kernel.files.unmount(folder)
    rmdirSync(folder)
  }
}

/** A perf event on a tracepoint, for this process alone, never enabled. */
const perfEvent = (kernel: Kernel.KernelService): number => {
  const attr = kernel.allocate(perf_event_attr.size)
  if (typeof attr === "number") throw new Error("no memory")
  fill(attr, perf_event_attr, {
    type: perf_type_id.PERF_TYPE_TRACEPOINT,
    size: perf_event_attr.size,
    config: tracepointId(kernel),
    sample_period: 1n
  })
  const fd = kernel.perf.open(attr, process.pid, -1, -1, 8)
  kernel.free(attr)
  if (fd < 0) throw new Error(`perf_event_open on ${kernel.kind}: ${fd}`)
  return fd
}

const btfOf = (kernel: Kernel.KernelService): Btf.Btf => {
  const bytes = kernel.kind === "linux"
    ? readFileSync("/sys/kernel/btf/vmlinux")
    : kernel.files.read("/sys/kernel/btf/vmlinux")
  if (typeof bytes === "number") throw new Error(`no BTF: ${bytes}`)
  return Result.getOrThrow(Btf.parse(bytes))
}

/** Functions that kinds of program are made for, which the simulated kernel has if it is told. */
const functions = ["security_file_open", "bpf_lsm_file_open", "bpf_lsm_socket_post_create", "bpf_iter_task"]

/** Descriptors of a cgroup of the test's own, and of one in it. */
export interface Cgroups {
  readonly outer: number
  readonly inner: number
}

/** What a comparison has of one kernel. */
export interface Opened {
  readonly kernel: Kernel.KernelService
  readonly btf: Btf.Btf
  readonly cgroups: Cgroups
  /** Both as a bench of attachments wants them, which closes them. */
  readonly extras: () => { readonly cgroup: number; readonly perfEvent: number }
}

/** Both kernels, as long as the scope lives. */
export const openBoth = Effect.gen(function*() {
  yield* ownLoopback
  const linux = Context.get(yield* Layer.build(Kernel.layer), Kernel.Kernel)
  const group = yield* ownCgroup(linux)
  const simulated = yield* Layer.build(SimulatedKernel.layer({ functions, possibleCpus: linux.possibleCpus }))
  const simulation = Context.get(simulated, Kernel.Kernel)
  const other = Context.get(simulated, SimulatedKernel.SimulatedKernel)
  const simulatedGroups = {
    outer: (yield* other.cgroup("/effect-ebpf")).fd,
    inner: (yield* other.cgroup("/effect-ebpf/inner")).fd
  }
  const opened = (kernel: Kernel.KernelService, cgroups: Cgroups): Opened => ({
    kernel,
    btf: btfOf(kernel),
    cgroups,
    extras: () => ({ cgroup: kernel.files.dup(cgroups.outer), perfEvent: perfEvent(kernel) })
  })
  return {
    real: opened(linux, { outer: group.fd, inner: group.innerFd }),
    simulated: opened(simulation, simulatedGroups)
  }
})
