// Test runs of programs without a packet of their own: raw tracepoints, `syscall`, `sk_lookup`, netfilter, tracing.
import { errno } from "../../../abi/errno.ts"
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import { bpf_sk_lookup } from "../../../abi/generated/structs.ts"
import { programTypes } from "../../../abi/names.ts"
import type { Attr } from "../attr.ts"
import type { SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { addressOf, viewOf } from "../memory.ts"
import { ETHERNET_HEADER } from "../packets.ts"
import { readUser, writeUser } from "../userMemory.ts"
import {
  asksForMore,
  contextIn,
  contextOut,
  dataIn,
  dataOut,
  f,
  PAGE,
  returnValue,
  SHARED_INFO,
  SKB_HEADROOM
} from "./buffers.ts"

/** MAX_BPF_FUNC_ARGS arguments of 8 bytes. */
const MOST_ARGUMENTS = 12 * 8
const RUN_ON_CPU = 1 << 0

/** Runs a program on bytes as its context, as often as it was asked for. */
const runOn = (
  state: KernelState,
  program: SimulatedProgram,
  attr: Attr,
  context: Uint8Array,
  writable = false
): number => {
  const region = state.memory.map(context, { writable })
  try {
    let r0 = 0n
    for (let i = Math.max(1, attr.u32(f.repeat)); i > 0; i--) r0 = state.processor.run(program, addressOf(region))
    return returnValue(r0)
  } finally {
    state.memory.unmap(region)
  }
}

/** Raw tracepoints and `syscall` programs: the context is all they have, and the sizes of what is not passed say nothing. */
export const testContext = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const isSyscall = program.type === programTypes.syscall
  const refused = [f.duration, f.repeat, f.batch_size, ...(isSyscall ? [f.flags] : [])]
  if (refused.some((field) => attr.u32(field) !== 0)) return -errno.EINVAL
  if ([f.data_in, f.data_out, f.ctx_out].some((field) => attr.address(field) !== 0n)) return -errno.EINVAL
  const size = attr.u32(f.ctx_size_in)
  if (size < program.contextSize || size > (isSyscall ? 0xffff : MOST_ARGUMENTS)) return -errno.EINVAL
  const [cpu, onCpu] = [attr.u32(f.cpu), !isSyscall && (attr.u32(f.flags) & RUN_ON_CPU) !== 0]
  if (!isSyscall && !onCpu && cpu !== 0) return -errno.EINVAL
  const context = readUser(state.memory, attr.address(f.ctx_in), size)
  if (onCpu && cpu >= state.possibleCpus) return -errno.ENXIO
  const run = () => runOn(state, program, attr, context, isSyscall)
  attr.answer(f.retval, onCpu ? state.onCpu(cpu, run) : run())
  if (isSyscall) writeUser(state.memory, attr.address(f.ctx_in), context)
  return 0
}

const SkLookup = bpf_sk_lookup.fields
const [AF_INET, AF_INET6] = [2, 10]

/** `sk_lookup` programs: the context is all they have. No socket is found here, so its cookie is 0. */
export const testSkLookup = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  if (asksForMore(attr) || attr.u32(f.data_size_in) !== 0 || attr.u32(f.data_size_out) !== 0) return -errno.EINVAL
  if (attr.address(f.data_in) !== 0n || attr.address(f.data_out) !== 0n) return -errno.EINVAL
  const context = contextIn(state, attr, bpf_sk_lookup.size)
  if (typeof context === "number") return context
  if (context === undefined) return -errno.EINVAL
  const view = viewOf(context)
  const behind = SkLookup.local_port.offset + SkLookup.local_port.size
  if (view.getBigUint64(SkLookup.cookie.offset, true) !== 0n) return -errno.EINVAL
  if (context.subarray(behind).some((byte) => byte !== 0)) return -errno.EINVAL
  if (view.getUint32(SkLookup.local_port.offset, true) > 0xffff) return -errno.ERANGE
  // The kernel keeps 16 bits of the family and of the protocol.
  const family = view.getUint16(SkLookup.family.offset, true)
  if (family !== AF_INET && family !== AF_INET6) return -errno.EAFNOSUPPORT
  const seen = context.slice()
  const seenView = viewOf(seen)
  seenView.setUint32(SkLookup.family.offset, family, true)
  seenView.setUint32(SkLookup.protocol.offset, view.getUint16(SkLookup.protocol.offset, true), true)
  // Programs see the addresses of the family alone.
  const hidden = family === AF_INET
    ? [SkLookup.remote_ip6, SkLookup.local_ip6]
    : [SkLookup.remote_ip4, SkLookup.local_ip4]
  for (const { offset, size } of hidden) seen.fill(0, offset, offset + size)
  const error = dataOut(state, attr, new Uint8Array(0), runOn(state, program, attr, seen))
  return error < 0 ? error : contextOut(state, attr, context)
}

/** `struct nf_hook_state` as a caller passes it: the hook and the family; all pointers must be none. */
const HookState = { size: 48, hook: 0, family: 1, firstPointer: 8 } as const
const [NFPROTO_IPV4, NFPROTO_IPV6] = [2, 10]
/** NF_INET_LOCAL_OUT, the only hook where packets have no Ethernet header yet. */
const LOCAL_OUT = 3
/** `struct bpf_nf_ctx`: two pointers, to a state and a packet of the kernel's own types. */
const NETFILTER_CONTEXT = 16

export const testNetfilter = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  const [IPV4_HEADER, IPV6_HEADER] = [20, 40]
  if (asksForMore(attr)) return -errno.EINVAL
  const data = dataIn(state, attr, IPV4_HEADER, PAGE - SKB_HEADROOM - SHARED_INFO)
  if (typeof data === "number") return data
  const context = contextIn(state, attr, HookState.size)
  if (typeof context === "number") return context
  const family = context?.[HookState.family] ?? NFPROTO_IPV4
  const hook = context?.[HookState.hook] ?? LOCAL_OUT
  if (context?.subarray(HookState.firstPointer).some((byte) => byte !== 0) === true) return -errno.EINVAL
  if (family !== NFPROTO_IPV4 && family !== NFPROTO_IPV6) return -errno.EINVAL
  if (hook !== LOCAL_OUT) {
    if (data.length < ETHERNET_HEADER + IPV4_HEADER) return -errno.EINVAL
    const type = (data[12]! << 8) | data[13]!
    const [IPV4, IPV6] = [0x0800, 0x86dd]
    if (type !== IPV4 && type !== IPV6) return -errno.EPROTO
    if (type === IPV6 && data.length < ETHERNET_HEADER + IPV6_HEADER) return -errno.EINVAL
    if ((type === IPV4) !== (family === NFPROTO_IPV4)) return -errno.EINVAL
  }
  const retval = runOn(state, program, attr, new Uint8Array(NETFILTER_CONTEXT))
  return dataOut(state, attr, new Uint8Array(0), retval)
}

/** What the kernel's functions for tests give without a program at them: the sum, and 2 side effects in its upper half. */
const MODIFIED_RETURN = (2 << 16) | 33

/** Programs at functions: a run calls the kernel's functions for tests, which nothing is attached to here. */
export const testTracing = (program: SimulatedProgram, attr: Attr): number => {
  const { BPF_MODIFY_RETURN, BPF_TRACE_FENTRY, BPF_TRACE_FEXIT } = bpf_attach_type
  if (asksForMore(attr)) return -errno.EINVAL
  switch (program.attachType) {
    case BPF_TRACE_FENTRY:
    case BPF_TRACE_FEXIT:
      attr.answer(f.retval, 0)
      return 0
    case BPF_MODIFY_RETURN:
      attr.answer(f.retval, MODIFIED_RETURN)
      return 0
    default:
      return -errno.EFAULT
  }
}
