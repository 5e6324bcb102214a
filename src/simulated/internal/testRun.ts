// BPF_PROG_TEST_RUN, with the rules of net/bpf/test_run.c for what goes in and what comes out.
import { errno } from "../../abi/errno.ts"
import { programTypes } from "../../abi/names.ts"
import { ProgramTrap } from "../ProgramTrap.ts"
import type { Attr } from "./attr.ts"
import type { SimulatedProgram } from "./descriptors.ts"
import type { KernelState } from "./kernelState.ts"
import { f } from "./testRuns/buffers.ts"
import { testFlowDissector } from "./testRuns/flowDissector.ts"
import { testContext, testNetfilter, testSkLookup, testTracing } from "./testRuns/others.ts"
import { testSkb } from "./testRuns/skb.ts"
import { testXdp } from "./testRuns/xdp.ts"

type Run = (state: KernelState, program: SimulatedProgram, attr: Attr) => number

/** How programs are run, by type. Others cannot be. */
const runs: ReadonlyMap<number, Run> = new Map<number, Run>([
  [programTypes.socket_filter, testSkb],
  [programTypes.sched_cls, testSkb],
  [programTypes.sched_act, testSkb],
  [programTypes.cgroup_skb, testSkb],
  [programTypes.lwt_in, testSkb],
  [programTypes.lwt_out, testSkb],
  [programTypes.lwt_xmit, testSkb],
  [programTypes.xdp, testXdp],
  [programTypes.flow_dissector, testFlowDissector],
  [programTypes.sk_lookup, testSkLookup],
  [programTypes.raw_tracepoint, testContext],
  [programTypes.syscall, testContext],
  [programTypes.netfilter, testNetfilter],
  [programTypes.tracing, (_state, program, attr) => testTracing(program, attr)]
])

/** BPF_PROG_TEST_RUN */
export const testRun = (state: KernelState, attr: Attr): number => {
  const pairs = [[f.ctx_size_in, f.ctx_in], [f.ctx_size_out, f.ctx_out]] as const
  if (pairs.some(([size, address]) => (attr.u32(size) === 0) !== (attr.address(address) === 0n))) return -errno.EINVAL
  const object = state.descriptors.any(attr.u32(f.prog_fd))
  if (object === undefined) return -errno.EBADF
  if (object._tag !== "Program") return -errno.EINVAL
  try {
    return runs.get(object.type)?.(state, object, attr) ?? -errno.ENOTSUPP
  } catch (error) {
    if (!(error instanceof ProgramTrap)) throw error
    state.trapped(error)
    return -errno.EFAULT
  }
}
