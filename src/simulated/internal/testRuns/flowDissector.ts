// Test runs of flow dissectors: they see a packet, and fill in what their context's `flow_keys` points to.
import { errno } from "../../../abi/errno.ts"
import { bpf_flow_keys } from "../../../abi/generated/structs.ts"
import type { Attr } from "../attr.ts"
import type { SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { viewOf } from "../memory.ts"
import { ETHERNET_HEADER, Packet, SkBuff } from "../packets.ts"
import { asksForMore, contextIn, contextOut, dataIn, dataOut, PAGE, runRepeatedly } from "./buffers.ts"

const FlowKeys = bpf_flow_keys.fields

export const testFlowDissector = (state: KernelState, program: SimulatedProgram, attr: Attr): number => {
  if (asksForMore(attr)) return -errno.EINVAL
  const data = dataIn(state, attr, ETHERNET_HEADER, PAGE)
  if (typeof data === "number") return data
  const context = contextIn(state, attr, bpf_flow_keys.size)
  if (typeof context === "number") return context
  const isFlags = (offset: number) => offset >= FlowKeys.flags.offset && offset < FlowKeys.flags.offset + 4
  if (context?.some((byte, offset) => byte !== 0 && !isFlags(offset)) === true) return -errno.EINVAL
  const { length } = data
  const packet = new Packet(state.memory, program.type, data)
  const keys = state.memory.map(new Uint8Array(bpf_flow_keys.size))
  try {
    const view = viewOf(keys.bytes)
    if (context !== undefined) keys.bytes.set(context)
    view.setUint16(FlowKeys.nhoff.offset, ETHERNET_HEADER, true)
    view.setUint16(FlowKeys.thoff.offset, ETHERNET_HEADER, true)
    view.setUint16(FlowKeys.n_proto.offset, (data[12]! << 8) | data[13]!, false)
    packet.pointTo(SkBuff.flow_keys.offset, keys)
    const retval = runRepeatedly(state, program, packet, attr)
    const clamp = (value: number, least: number, most: number) => Math.max(least, Math.min(value, most))
    view.setUint16(
      FlowKeys.nhoff.offset,
      clamp(view.getUint16(FlowKeys.nhoff.offset, true), ETHERNET_HEADER, length),
      true
    )
    const nhoff = view.getUint16(FlowKeys.nhoff.offset, true)
    view.setUint16(FlowKeys.thoff.offset, clamp(view.getUint16(FlowKeys.thoff.offset, true), nhoff, length), true)
    const error = dataOut(state, attr, keys.bytes, retval)
    return error < 0 ? error : contextOut(state, attr, context)
  } finally {
    state.memory.unmap(keys)
    packet.unmap()
  }
}
