// BPF_PROG_LOAD, with its log (kernel/bpf/syscall.c).
import { errno } from "../../abi/errno.ts"
import { bpf_attr_prog_load } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { pseudo } from "../../isa/opcodes.ts"
import { type Attr, isName, nameOf } from "./attr.ts"
import { check, type Rejection } from "./check.ts"
import { decode } from "./interpreter/code.ts"
import type { SimulatedMap } from "./maps.ts"
import { addressOf, viewOf } from "./memory.ts"
import type { KernelState } from "./kernelState.ts"

/** BPF_COMPLEXITY_LIMIT_INSNS */
const MOST_SLOTS = 1_000_000

/** BPF_LOG_FIXED: a log that does not fit keeps its beginning. */
const BPF_LOG_FIXED = 8

/**
 * Writes the log of a rejection as the kernel does. One that does not fit is cut, and ENOSPC is answered in place of the
 * error: since 6.4 its end is kept (bpf_verifier_vlog).
 */
const writeLog = (state: KernelState, attr: Attr, log: string, error: number): number => {
  const f = bpf_attr_prog_load.fields
  const level = attr.u32(f.log_level)
  if (level === 0) return -error
  const text = new TextEncoder().encode(`${log}\0`)
  const size = attr.u32(f.log_size)
  const { keepsEndOfLog } = state.verifier
  if (keepsEndOfLog) attr.set(f.log_true_size, text.length)
  const fits = text.length <= size
  const written = fits || !keepsEndOfLog || (level & BPF_LOG_FIXED) !== 0
    ? text.slice(0, size)
    : text.slice(text.length - size)
  written[written.length - 1] = 0
  state.memory.write(attr.address(f.log_buf), written)
  return fits ? -error : -errno.ENOSPC
}

const readString = (state: KernelState, address: bigint, most: number): string => {
  const { offset, region } = state.memory.find(address, 1)
  const bytes = region.bytes.subarray(offset, offset + most)
  return new TextDecoder().decode(bytes.subarray(0, Math.max(0, bytes.indexOf(0))))
}

/** What wide loads name, by slot: the maps and the addresses that they load, and what is wrong with those that name none. */
const resolveLoads = (state: KernelState, attr: Attr) => {
  const maps = new Map<number, { readonly map: SimulatedMap; readonly value: number | undefined }>()
  const wrong = new Map<number, Rejection>()
  const fdArray = attr.address(bpf_attr_prog_load.fields.fd_array)
  const fdAt = (index: number): number => viewOf(state.memory.read(fdArray + BigInt(index * 4), 4)).getInt32(0, true)
  const refuse = (slot: number, errno: Rejection["errno"], why: string): bigint => {
    wrong.set(slot, { log: `${why}\n`, errno })
    return 0n
  }
  const resolve = (src: number, immediate: bigint, slot: number): bigint => {
    const low = Number(immediate & 0xffffffffn)
    if (src === pseudo.BPF_PSEUDO_BTF_ID) {
      return refuse(slot, "EINVAL", `ldimm64 insn specifies invalid btf_id ${low}.`)
    }
    const isIndex = src === pseudo.BPF_PSEUDO_MAP_IDX || src === pseudo.BPF_PSEUDO_MAP_IDX_VALUE
    const isValue = src === pseudo.BPF_PSEUDO_MAP_VALUE || src === pseudo.BPF_PSEUDO_MAP_IDX_VALUE
    if (!isIndex && !isValue && src !== pseudo.BPF_PSEUDO_MAP_FD) return immediate
    if (isIndex && fdArray === 0n) return refuse(slot, "EPROTO", "fd_idx without fd_array is invalid")
    const offset = Number(immediate >> 32n)
    const map = state.descriptors.get(isIndex ? fdAt(low) : low, "Map")
    if (map === undefined) return refuse(slot, "EBADF", `fd ${low} is not pointing to valid bpf_map`)
    maps.set(slot, { map, value: isValue ? offset : undefined })
    if (!isValue) return addressOf(map.pointer)
    if (map.directValue === undefined) {
      return refuse(slot, "EINVAL", "no direct value access support for this map type")
    }
    if (offset >= 2 ** 29) return refuse(slot, "EINVAL", `direct value offset of ${offset} is not allowed`)
    if (offset >= map.attributes.valueSize && map.arena === undefined) {
      const size = map.attributes.valueSize
      return refuse(slot, "EINVAL", `invalid access to map value pointer, value_size=${size} off=${offset}`)
    }
    return map.directValue + BigInt(offset)
  }
  return { maps, resolve, wrong }
}

/** BPF_PROG_LOAD */
export const loadProgram = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_prog_load.fields
  const type = attr.u32(f.prog_type)
  const count = attr.u32(f.insn_cnt)
  const name = attr.text(f.prog_name)
  if (nameOf(programTypes, type) === undefined || !isName(name)) return -errno.EINVAL
  if (count === 0 || count > MOST_SLOTS) return -errno.E2BIG
  readString(state, attr.address(f.license), 128)
  const { maps, resolve, wrong } = resolveLoads(state, attr)
  const code = decode(name, state.memory.read(attr.address(f.insns), count * 8), resolve)
  const attachType = attr.u32(f.expected_attach_type)
  const { allowsUnwrittenStack, followsPaths } = state.verifier
  const subject = { code, type, attachType, maps, wrongLoads: wrong, helpers: state.helperIds, allowsUnwrittenStack }
  const checked = followsPaths ? check(subject) : wrong.values().next().value ?? { contextSize: 0 }
  if ("log" in checked) return writeLog(state, attr, checked.log, errno[checked.errno])
  const held = [...new Set([...maps.values()].map(({ map }) => map))]
  return state.descriptors.open({
    _tag: "Program",
    id: state.newId(),
    name,
    type,
    code,
    attachType,
    attachBtfId: attr.u32(f.attach_btf_id),
    contextSize: checked.contextSize,
    holds: held
  })
}
