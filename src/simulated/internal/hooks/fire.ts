// Lets an event happen: finds the programs at its hook, makes their context, runs them, and says what the hook answers.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type, xdp_action } from "../../../abi/generated/enums.ts"
import { bpf_sockopt } from "../../../abi/generated/structs.ts"
import { programTypes } from "../../../abi/names.ts"
import { ptRegsX64 } from "../../../abi/registers.ts"
import type { ProgramRunner } from "../programRunner.ts"
import { type CurrentEvent, noEvent } from "../helpers/environment.ts"
import { addressOf, viewOf } from "../memory.ts"
import { Packet, SkBuff, XdpMd } from "../packets.ts"
import { defaultTask } from "../tasks.ts"
import type { Attachment } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import type { Event, Fired } from "./events.ts"
import { effective } from "./cgroupOrder.ts"
import { hookOf } from "./registry.ts"

const t = bpf_attach_type
const attachTypes: { readonly [name: string]: number } = t

const functionTypes = { fentry: t.BPF_TRACE_FENTRY, fexit: t.BPF_TRACE_FEXIT, lsm: t.BPF_LSM_MAC } as const
const deviceTypes = { xdp: t.BPF_XDP, tcx_ingress: t.BPF_TCX_INGRESS, tcx_egress: t.BPF_TCX_EGRESS } as const

/** What a test can name in a simulated kernel. */
export interface Places {
  readonly device: (name: string) => number | undefined
  readonly cgroup: (path: string) => bigint | undefined
  readonly function: (name: string) => number | undefined
}

/** What is attached where an event happens, or what of its target does not exist. */
const attachedAt = (
  state: KernelState,
  event: Event,
  places: Places
): ReadonlyArray<Attachment> | { readonly missing: string } => {
  switch (event.hook) {
    case "raw_tracepoint":
      return state.hooks.at(hookOf.rawTracepoint(event.name))
    case "probe":
    case "socket_filter":
      return []
    case "fentry":
    case "fexit":
    case "lsm": {
      const id = places.function(event.function)
      if (id === undefined) return event.program === undefined ? { missing: event.function } : []
      return state.hooks.at(hookOf.function(functionTypes[event.hook], id))
    }
    case "xdp":
    case "tcx_ingress":
    case "tcx_egress": {
      const ifindex = places.device(event.device)
      return ifindex === undefined
        ? { missing: event.device }
        : state.hooks.at(hookOf.device(deviceTypes[event.hook], ifindex))
    }
    default: {
      const cgroup = places.cgroup(event.cgroup)
      if (cgroup === undefined) return { missing: event.cgroup }
      const type = event.hook === "cgroup"
        ? attachTypes[`BPF_CGROUP_${event.operation}`]!
        : event.direction === "ingress"
        ? t.BPF_CGROUP_INET_INGRESS
        : t.BPF_CGROUP_INET_EGRESS
      return effective(state, type, cgroup)
    }
  }
}

const words = (values: ReadonlyArray<bigint>): Uint8Array => {
  const bytes = new Uint8Array(values.length * 8)
  const view = viewOf(bytes)
  for (const [index, value] of values.entries()) view.setBigUint64(index * 8, BigInt.asUintN(64, value), true)
  return bytes
}

/** The context of an event that is no packet. */
const contextBytes = (event: Event): Uint8Array => {
  switch (event.hook) {
    case "raw_tracepoint":
      return words(event.arguments)
    case "probe":
      // Behind the registers stand the sample's period and address, for perf events.
      return words([...ptRegsX64.map((name) => event.registers[name] ?? 0n), 1n, event.address ?? 0n])
    case "fentry":
      return words(event.arguments)
    case "fexit":
    case "lsm":
      return words([...event.arguments, event.returned ?? 0n])
    case "cgroup":
      return event.context.slice()
    default:
      return new Uint8Array(0)
  }
}

const currentEvent = (event: Event): CurrentEvent => ({
  ...noEvent(),
  cookie: event.cookie ?? 0n,
  functionAddress: event.hook === "probe" ? event.address ?? event.registers.ip ?? 0n : 0n,
  arguments: "arguments" in event ? event.arguments : [],
  returned: "returned" in event ? event.returned : undefined,
  sysctl: event.hook === "cgroup" && event.sysctl !== undefined
    ? { next: "", ...event.sysctl }
    : undefined
})

/** What is to run: what is attached, or the one program given. */
const toRun = (
  state: KernelState,
  event: Event,
  attached: ReadonlyArray<Attachment>
): ReadonlyArray<Attachment> => {
  if (event.program === undefined) return attached
  const program = state.descriptors.get(event.program.fd, "Program")
  return program === undefined ? [] : [{ program, cookie: event.cookie ?? 0n }]
}

const TCX_NEXT = -1

/** What the hook answers to what its programs returned. */
const verdictOf = (event: Event, returned: ReadonlyArray<number>): number => {
  switch (event.hook) {
    case "xdp":
      return returned.at(-1) ?? xdp_action.XDP_PASS
    case "tcx_ingress":
    case "tcx_egress":
      return returned.find((value) => (value | 0) !== TCX_NEXT) ?? 0
    case "cgroup":
    case "cgroup_packet":
      return returned.every((value) => (value & 1) === 1) ? 1 : 0
    case "lsm":
      return returned.map((value) => value | 0).find((value) => value !== 0) ?? 0
    case "socket_filter":
      return Math.min(event.packet.length, ...returned)
    default:
      return returned.at(-1) ?? 0
  }
}

/** Programs after the first that decides do not run, where the kernel goes no further. */
const isDecided = (event: Event, returned: number): boolean =>
  (event.hook === "tcx_ingress" || event.hook === "tcx_egress")
    ? (returned | 0) !== TCX_NEXT
    : event.hook === "lsm" && returned !== 0

const packetType = (event: Event): number =>
  event.hook === "xdp"
    ? programTypes.xdp
    : event.hook === "socket_filter"
    ? programTypes.socket_filter
    : event.hook === "cgroup_packet"
    ? programTypes.cgroup_skb
    : programTypes.sched_cls

const fillPacket = (packet: Packet, event: Event, ifindex: number): void => {
  const view = viewOf(packet.context.bytes)
  if (packet.kind === "xdp") return view.setUint32(XdpMd.ingress_ifindex.offset, ifindex, true)
  view.setUint32(SkBuff.ifindex.offset, ifindex, true)
  view.setUint32(SkBuff.wire_len.offset, packet.data.length, true)
  if (event.hook === "tcx_ingress") view.setUint32(SkBuff.ingress_ifindex.offset, ifindex, true)
  const { data } = packet
  if (packet.atLink && data.length >= 14) view.setUint16(SkBuff.protocol.offset, data[12]! | (data[13]! << 8), true)
  else if (data.length > 0) view.setUint16(SkBuff.protocol.offset, data[0]! >> 4 === 6 ? 0xdd86 : 0x0008, true)
}

/** Runs what an event meets. A number is for a target that does not exist, given by name in `missing`. */
export const fireEvent = (
  state: KernelState,
  runner: ProgramRunner,
  places: Places,
  event: Event
): Fired | { readonly missing: string } => {
  const found = attachedAt(state, event, places)
  if ("missing" in found) return found
  const attachments = toRun(state, event, found)
  const current = currentEvent(event)
  const packet = "packet" in event ? new Packet(state.memory, packetType(event), event.packet) : undefined
  const context = packet?.context ?? state.memory.map(contextBytes(event), { writable: event.hook === "cgroup" })
  const option = event.hook === "cgroup" && event.option !== undefined
    ? state.memory.map(event.option.slice())
    : undefined
  if (option !== undefined && context.bytes.length >= bpf_sockopt.size) {
    context.view.setBigUint64(bpf_sockopt.fields.optval.offset, addressOf(option), true)
    context.view.setBigUint64(bpf_sockopt.fields.optval_end.offset, addressOf(option, option.bytes.length), true)
  }
  if (packet !== undefined) {
    fillPacket(packet, event, "device" in event ? places.device(event.device) ?? 0 : 0)
    state.packets.set(context.high, packet)
  }
  const returned: Array<number> = []
  try {
    runner.during({ ...defaultTask, ...event.task }, current, () => {
      for (const { cookie, program } of attachments) {
        current.cookie = cookie
        returned.push(Number(state.processor.run(program, addressOf(context)) & 0xffffffffn))
        if (isDecided(event, returned.at(-1)!)) break
      }
    })
    const verdict = verdictOf(event, returned)
    const refused = (event.hook === "cgroup" || event.hook === "cgroup_packet") && verdict === 0
    return {
      programs: returned.length,
      returned,
      verdict,
      packet: packet?.data.slice(),
      redirects: packet?.redirects ?? [],
      clones: packet?.clones ?? [],
      context: event.hook === "cgroup" ? context.bytes.slice() : undefined,
      override: current.override,
      retval: refused && current.retval === 0 ? -errno.EPERM : current.retval,
      sysctl: current.sysctlNew,
      option: option?.bytes.slice()
    }
  } finally {
    if (packet === undefined) state.memory.unmap(context)
    else {
      state.packets.delete(context.high)
      packet.unmap()
    }
    if (option !== undefined) state.memory.unmap(option)
  }
}
