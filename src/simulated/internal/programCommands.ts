// BPF_PROG_LOAD, with its log (kernel/bpf/syscall.c).
import { errno } from "../../abi/errno.ts"
import { bpf_attr_prog_load } from "../../abi/generated/structs.ts"
import type { MapType } from "../../abi/names.ts"
import { isGplCompatible } from "../../spec/license.ts"
import { pseudo, WIDE_LOAD } from "../../isa/opcodes.ts"
import { type Attr, isName } from "./attr.ts"
import { check, type Rejection } from "./check.ts"
import { type Code, decode } from "./interpreter/code.ts"
import type { SimulatedMap } from "./maps.ts"
import { addressOf, viewOf } from "./memory.ts"
import {
  attachTypeNameOf,
  checkDebugInformation,
  checkDescriptors,
  checkKind,
  checkNamed,
  isLogRight,
  readRequest
} from "./programAttributes.ts"
import { digestOf } from "./programDigest.ts"
import { readUser } from "./userMemory.ts"
import { logLine } from "./verifier/logLine.ts"
import type { KernelState } from "./kernelState.ts"

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
  if (size > 0) {
    written[written.length - 1] = 0
    state.memory.write(attr.address(f.log_buf), written)
  }
  return fits || size === 0 ? -error : -errno.ENOSPC
}

/** The licence: what comes before a NUL, of 127 bytes at most. */
const readLicense = (state: KernelState, address: bigint): string => {
  const { offset, region } = state.memory.find(address, 1)
  const bytes = region.bytes.subarray(offset, offset + 127)
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(bytes.slice(0, end < 0 ? bytes.length : end))
}

/** BPF_LOG_LEVEL2 */
const TELLS_INSTRUCTIONS = 2
/** BPF_LOG_STATS */
const TELLS_TIMES = 4

/** What stands at the end of every log (print_verification_stats). */
const statistics = (attr: Attr, processed: number): string => {
  const times = (attr.u32(bpf_attr_prog_load.fields.log_level) & TELLS_TIMES) !== 0
  return `${times ? "verification time 100 usec\nstack depth 0\n" : ""}processed ${processed} insns (limit 1000000) ` +
    "max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n"
}

/** What the verifier writes of a program that it accepts. */
const acceptance = (attr: Attr, code: Code): string => {
  let text = ""
  if ((attr.u32(bpf_attr_prog_load.fields.log_level) & TELLS_INSTRUCTIONS) !== 0) {
    text = "0: R1=ctx() R10=fp0\n"
    for (let pc = 0; pc < code.length; pc += code.opcodes[pc] === WIDE_LOAD ? 2 : 1) text += `${logLine(code, pc)}\n`
  }
  return text + statistics(attr, code.length)
}

/** The maps that programs which may sleep use (check_map_prog_compatibility). */
const maySleep: ReadonlySet<MapType> = new Set<MapType>([
  "hash",
  "lru_hash",
  "array",
  "percpu_hash",
  "percpu_array",
  "lru_percpu_hash",
  "array_of_maps",
  "hash_of_maps",
  "ringbuf",
  "user_ringbuf",
  "inode_storage",
  "sk_storage",
  "task_storage",
  "cgrp_storage",
  "queue",
  "stack",
  "arena"
])

/** True for a map that another program has for itself (`check_map_prog_compatibility`). */
const isForAnother = ({ attributes: { exclusive } }: SimulatedMap, bytes: Uint8Array): boolean =>
  exclusive !== undefined && !Buffer.from(exclusive).equals(digestOf(bytes))

/** What wide loads name, by slot: the maps and the addresses that they load, and what is wrong with those that name none. */
const resolveLoads = (state: KernelState, attr: Attr, bytes: Uint8Array, sleeps: boolean) => {
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
      return refuse(slot, "ENOENT", `ldimm64 insn specifies invalid btf_id ${low}.`)
    }
    const isIndex = src === pseudo.BPF_PSEUDO_MAP_IDX || src === pseudo.BPF_PSEUDO_MAP_IDX_VALUE
    const isValue = src === pseudo.BPF_PSEUDO_MAP_VALUE || src === pseudo.BPF_PSEUDO_MAP_IDX_VALUE
    if (!isIndex && !isValue && src !== pseudo.BPF_PSEUDO_MAP_FD) return immediate
    if (isIndex && fdArray === 0n) return refuse(slot, "EPROTO", "fd_idx without fd_array is invalid")
    const offset = Number(immediate >> 32n)
    const map = state.descriptors.get(isIndex ? fdAt(low) : low, "Map")
    if (map === undefined) return refuse(slot, "EBADF", `fd ${low} is not pointing to valid bpf_map`)
    if (isForAnother(map, bytes)) return refuse(slot, "EACCES", "program's hash doesn't match map's excl_prog_hash")
    if (sleeps && !maySleep.has(map.attributes.type)) {
      return refuse(slot, "EINVAL", "Sleepable programs can only use array, hash, ringbuf and local storage maps")
    }
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
  const request = readRequest(state, attr)
  if (typeof request === "number") return request
  const bytes = readUser(state.memory, attr.address(f.insns), request.count * 8)
  const license = readLicense(state, attr.address(f.license))
  const unnamed = checkNamed(state, attr, request)
  if (unnamed < 0) return unnamed
  const name = attr.text(f.prog_name)
  if (!isName(name) || !isLogRight(attr)) return -errno.EINVAL
  const rejected = ({ errno: code, log }: Rejection): number =>
    writeLog(state, attr, log + statistics(attr, 0), errno[code])
  const unheld = checkDescriptors(state, attr) ?? checkDebugInformation(state, attr)
  if (unheld !== undefined) return rejected(unheld)
  const { maps, resolve, wrong } = resolveLoads(state, attr, bytes, request.sleeps)
  const code = decode(name, bytes, resolve)
  const { attachType, number: type } = request
  const { followsPaths } = state.verifier
  const subject = {
    code,
    type,
    attachType,
    maps,
    wrongLoads: wrong,
    rules: state.verifier,
    hasFunctionInfo: attr.u32(f.func_info_cnt) > 0,
    kindRefusal: checkKind(state, request),
    callees: {
      version: state.version,
      caller: {
        type: request.type,
        attachType: attachTypeNameOf(request.type, attachType),
        sleepable: request.sleeps
      },
      isGpl: isGplCompatible(license)
    }
  }
  const checked = followsPaths ? check(subject) : wrong.values().next().value ?? { contextSize: 0 }
  if ("log" in checked) return rejected(checked)
  const accepted = attr.u32(f.log_level) === 0 ? 0 : writeLog(state, attr, acceptance(attr, code), 0)
  if (accepted < 0) return accepted
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
    isGpl: isGplCompatible(license),
    sleeps: request.sleeps,
    holds: held
  })
}
