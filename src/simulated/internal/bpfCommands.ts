// bpf(2) of the simulated kernel: decodes the same bytes of `union bpf_attr` that the real one is given, and answers with
// the same results and error numbers (kernel/bpf/syscall.c).
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { Attr, ATTR_SIZE } from "./attr.ts"
import { batch } from "./batchCommands.ts"
import type { KernelObject } from "./descriptors.ts"
import { info } from "./infoCommands.ts"
import { element, freeze } from "./mapCommands.ts"
import { createMap } from "./mapCreate.ts"
import { AccessFault } from "./memory.ts"
import { bindMap, byId, get, loadBtf, nextId, pin } from "./objectCommands.ts"
import { loadProgram } from "./programCommands.ts"
import { testRun } from "./testRun.ts"
import { attachProgram, detachProgram } from "./hooks/attaching.ts"
import { createLink, detachLink, openRawTracepoint, updateLink } from "./hooks/links.ts"
import { queryPrograms } from "./hooks/query.ts"
import type { KernelState } from "./kernelState.ts"

/** A program that was loaded calls only programs of its type: its maps of programs must agree (bpf_check_tail_call). */
const claimMaps = (state: KernelState, fd: number): number => {
  const program = fd < 0 ? undefined : state.descriptors.get(fd, "Program")
  if (program === undefined) return fd
  const maps = state.objects.heldBy(program) as ReadonlyArray<KernelObject>
  if (maps.every((map) => map._tag !== "Map" || map.claim?.(program.type) !== false)) return fd
  state.descriptors.close(fd)
  return -errno.EINVAL
}

const dispatch = (state: KernelState, command: number, attr: Attr): number => {
  switch (command) {
    case bpf_cmd.BPF_MAP_CREATE:
      return createMap(state, attr)
    case bpf_cmd.BPF_MAP_LOOKUP_ELEM:
    case bpf_cmd.BPF_MAP_UPDATE_ELEM:
    case bpf_cmd.BPF_MAP_DELETE_ELEM:
    case bpf_cmd.BPF_MAP_GET_NEXT_KEY:
    case bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_ELEM:
      return element(state, command, attr)
    case bpf_cmd.BPF_MAP_LOOKUP_BATCH:
    case bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH:
    case bpf_cmd.BPF_MAP_UPDATE_BATCH:
    case bpf_cmd.BPF_MAP_DELETE_BATCH:
      return batch(state, command, attr)
    case bpf_cmd.BPF_MAP_FREEZE:
      return freeze(state, attr)
    case bpf_cmd.BPF_PROG_LOAD:
      return claimMaps(state, loadProgram(state, attr))
    case bpf_cmd.BPF_PROG_TEST_RUN:
      return testRun(state, attr)
    case bpf_cmd.BPF_LINK_CREATE:
      return createLink(state, attr)
    case bpf_cmd.BPF_LINK_UPDATE:
      return updateLink(state, attr)
    case bpf_cmd.BPF_LINK_DETACH:
      return detachLink(state, attr)
    case bpf_cmd.BPF_RAW_TRACEPOINT_OPEN:
      return openRawTracepoint(state, attr)
    case bpf_cmd.BPF_PROG_ATTACH:
      return attachProgram(state, attr)
    case bpf_cmd.BPF_PROG_DETACH:
      return detachProgram(state, attr)
    case bpf_cmd.BPF_PROG_QUERY:
      return queryPrograms(state, attr)
    case bpf_cmd.BPF_PROG_BIND_MAP:
      return bindMap(state, attr)
    case bpf_cmd.BPF_BTF_LOAD:
      return loadBtf(state, attr)
    case bpf_cmd.BPF_OBJ_PIN:
      return pin(state, attr)
    case bpf_cmd.BPF_OBJ_GET:
      return get(state, attr)
    case bpf_cmd.BPF_OBJ_GET_INFO_BY_FD:
      return info(state, attr)
    case bpf_cmd.BPF_PROG_GET_NEXT_ID:
    case bpf_cmd.BPF_MAP_GET_NEXT_ID:
    case bpf_cmd.BPF_BTF_GET_NEXT_ID:
    case bpf_cmd.BPF_LINK_GET_NEXT_ID:
      return nextId(state, command, attr)
    case bpf_cmd.BPF_PROG_GET_FD_BY_ID:
    case bpf_cmd.BPF_MAP_GET_FD_BY_ID:
    case bpf_cmd.BPF_BTF_GET_FD_BY_ID:
    case bpf_cmd.BPF_LINK_GET_FD_BY_ID:
      return byId(state, command, attr)
    default:
      return -errno.EINVAL
  }
}

/**
 * One call of bpf(2). The first `size` bytes of `memory` are the caller's attr; results are written back into it, whatever
 * the outcome.
 */
export const bpf = (state: KernelState, command: number, memory: Uint8Array, size: number): number => {
  const bytes = memory.subarray(0, size)
  if (bytes.length > state.pageSize || bytes.subarray(ATTR_SIZE).some((byte) => byte !== 0)) return -errno.E2BIG
  const attr = new Attr(bytes)
  try {
    return dispatch(state, command, attr)
  } catch (error) {
    if (error instanceof AccessFault) return -errno.EFAULT
    throw error
  } finally {
    attr.writeBack(memory, size)
  }
}
