// What BPF_PROG_LOAD is asked with, before a program's instructions are looked at (bpf_prog_load and what it calls, in
// kernel/bpf/syscall.c, offload.c and log.c), and what follows from the kind of program (check_attach_btf_id in verifier.c).
import * as Option from "effect/Option"
import { errno } from "../../abi/errno.ts"
import { bpf_attr_prog_load } from "../../abi/generated/structs.ts"
import { type AttachType, attachTypes, type ProgramType, programTypes } from "../../abi/names.ts"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import * as ProgramKind from "../../spec/ProgramKind.ts"
import type { Attr } from "./attr.ts"
import type { KernelState } from "./kernelState.ts"
import type { Rejection } from "./verifier/path.ts"
import { readUser } from "./userMemory.ts"

const f = bpf_attr_prog_load.fields

const flags = {
  BPF_F_STRICT_ALIGNMENT: 1 << 0,
  BPF_F_ANY_ALIGNMENT: 1 << 1,
  BPF_F_TEST_RND_HI32: 1 << 2,
  BPF_F_TEST_STATE_FREQ: 1 << 3,
  BPF_F_SLEEPABLE: 1 << 4,
  BPF_F_XDP_HAS_FRAGS: 1 << 5,
  BPF_F_XDP_DEV_BOUND_ONLY: 1 << 6,
  BPF_F_TEST_REG_INVARIANTS: 1 << 7,
  BPF_F_TOKEN_FD: 1 << 16
} as const

const KNOWN_FLAGS = Object.values(flags).reduce((all: number, flag) => all | flag, 0)

/** BPF_COMPLEXITY_LIMIT_INSNS */
const MOST_SLOTS = 1_000_000
/** BTF_MAX_TYPE */
const LAST_TYPE = 0xfffff

/** What is asked for, as far as it is right. */
export interface Request {
  readonly type: ProgramType
  readonly number: number
  /** `expected_attach_type`, as the kernel takes it. */
  readonly attachType: number
  readonly attachBtfId: number
  /** Whether it is made for a program in place of the kernel. */
  readonly isForProgram: boolean
  readonly flags: number
  readonly sleeps: boolean
  readonly count: number
}

/** Types whose attach type is checked at load, by the table of kinds (`bpf_prog_load_check_attach`). */
const checkedTypes: ReadonlySet<ProgramType> = new Set<ProgramType>([
  "cgroup_sock",
  "cgroup_sock_addr",
  "cgroup_skb",
  "cgroup_sockopt",
  "sk_lookup",
  "sk_reuseport",
  "netfilter"
])
/** Types that must have none. */
const bareTypes: ReadonlySet<ProgramType> = new Set<ProgramType>(["syscall", "ext"])
/** Types that are made for something that the kernel's BTF names. */
const typedTypes: ReadonlySet<ProgramType> = new Set<ProgramType>(["tracing", "lsm", "struct_ops", "ext"])

const typeNames = new Map(ProgramKind.types.map((name) => [programTypes[name], name]))
const namesOfAttachTypes = new Map(
  (Object.entries(attachTypes) as Array<[AttachType, number]>).map(([name, number]) => [number, name])
)

/** The name of an attach type, where the type of program has it. */
export const attachTypeNameOf = (type: ProgramType, number: number): AttachType | undefined => {
  const name = namesOfAttachTypes.get(number)
  return name !== undefined && Object.hasOwn(ProgramKind.of(type).attach, name) ? name : undefined
}

/** The attach type with what the kernel puts in for none (`bpf_prog_load_fixup_attach_type`). */
const fixedAttachType = (type: number, given: number): number => {
  if (given !== 0) return given
  return type === programTypes.cgroup_sock
    ? attachTypes.cgroup_inet_sock_create
    : type === programTypes.sk_reuseport
    ? attachTypes.sk_reuseport_select
    : 0
}

/** The name of a type; `undefined` for 0, which is none, and for numbers that there are not yet. */
const typeNameOf = (number: number): ProgramType | undefined => typeNames.get(number)

const isRightAttachType = (type: ProgramType, number: number): boolean =>
  bareTypes.has(type) ? number === 0 : !checkedTypes.has(type) || attachTypeNameOf(type, number) !== undefined

/** What `attach_prog_fd` and `attach_btf_id` say; 0 or `-errno`. */
const checkTarget = (state: KernelState, attr: Attr): number => {
  const type = typeNameOf(attr.u32(f.prog_type))
  const fd = attr.i32(f.attach_prog_fd)
  const id = attr.u32(f.attach_btf_id)
  const target = fd === 0 ? undefined : state.descriptors.any(fd)
  if (fd !== 0 && target?._tag !== "Program") return target?._tag === "Btf" ? -errno.ENOTSUPP : -errno.EINVAL
  if (id !== 0 && (id > LAST_TYPE || type === undefined || !typedTypes.has(type))) return -errno.EINVAL
  const takesProgram = type === "tracing" || type === "ext"
  return target !== undefined && !takesProgram ? -errno.EINVAL : 0
}

/** Network cards may take programs; none of this kernel does (`bpf_prog_dev_bound_init`). */
const checkDevice = (state: KernelState, type: ProgramType, asked: number, device: number): number => {
  if (device === 0) return 0
  if (type !== "sched_cls" && type !== "xdp") return -errno.EINVAL
  const { BPF_F_XDP_DEV_BOUND_ONLY, BPF_F_XDP_HAS_FRAGS } = flags
  if ((asked & ~(BPF_F_XDP_DEV_BOUND_ONLY | BPF_F_XDP_HAS_FRAGS)) !== 0) return -errno.EINVAL
  const isBound = (asked & BPF_F_XDP_DEV_BOUND_ONLY) !== 0
  if (!isBound && (asked & BPF_F_XDP_HAS_FRAGS) !== 0 || isBound && type === "sched_cls") return -errno.EINVAL
  return state.hasDevice(device) ? -errno.EOPNOTSUPP : -errno.EINVAL
}

/** Types that need an option of the kernel which this one is built without. */
const absentTypes: ReadonlySet<ProgramType> = new Set<ProgramType>(["lirc_mode2"])

/** What is asked for, or `-errno`. What comes after the program's bytes and its licence were read is `checkNamed`. */
export const readRequest = (state: KernelState, attr: Attr): Request | number => {
  if (!attr.endsWith(f.keyring_id)) return -errno.EINVAL
  const asked = attr.u32(f.prog_flags)
  if ((asked & ~KNOWN_FLAGS) !== 0) return -errno.EINVAL
  if ((asked & flags.BPF_F_TOKEN_FD) !== 0) {
    // No token is given out.
    return state.descriptors.any(attr.i32(f.prog_token_fd)) === undefined ? -errno.EBADF : -errno.EINVAL
  }
  const number = attr.u32(f.prog_type)
  const attachType = fixedAttachType(number, attr.u32(f.expected_attach_type))
  const count = attr.u32(f.insn_cnt)
  if (count === 0 || count > MOST_SLOTS) return -errno.E2BIG
  const wrongTarget = checkTarget(state, attr)
  if (wrongTarget < 0) return wrongTarget
  const type = typeNameOf(number)
  if (type !== undefined && !isRightAttachType(type, attachType)) return -errno.EINVAL
  return {
    // A type that there is not is refused when the program was read.
    type: type ?? "lirc_mode2",
    number,
    attachType,
    attachBtfId: attr.u32(f.attach_btf_id),
    isForProgram: attr.u32(f.attach_prog_fd) !== 0,
    flags: asked,
    sleeps: (asked & flags.BPF_F_SLEEPABLE) !== 0,
    count
  }
}

/** What the kernel looks at once it has the program and its licence; 0 or `-errno`. */
export const checkNamed = (state: KernelState, attr: Attr, { flags: asked, type }: Request): number => {
  // Signatures are an option of the kernel (CONFIG_KEYS) that this one is built without.
  if (attr.address(f.signature) !== 0n) return -errno.EOPNOTSUPP
  const device = checkDevice(state, type, asked, attr.u32(f.prog_ifindex))
  if (device < 0) return device
  return absentTypes.has(type) ? -errno.EINVAL : 0
}

/** Log levels 1 and 2, statistics, and a log that keeps its beginning. */
const LOG_LEVELS = 15

/** Whether a log was asked for as it can be (`bpf_verifier_log_attr_valid`). */
export const isLogRight = (attr: Attr): boolean => {
  const level = attr.u32(f.log_level)
  const size = attr.u32(f.log_size)
  const hasBuffer = attr.address(f.log_buf) !== 0n
  return hasBuffer === (size !== 0) && !(hasBuffer && level === 0) && (level & ~LOG_LEVELS) === 0 && size <= 2 ** 30 - 1
}

/** The maps and BTF of `fd_array`, which the program holds whether it uses them or not; 0 or `-errno` (`process_fd_array`). */
export const checkDescriptors = (state: KernelState, attr: Attr): Rejection | undefined => {
  const count = attr.u32(f.fd_array_cnt)
  if (count >= 0xffffffff >>> 2) return { log: `fd_array_cnt is too big ${count}\n`, errno: "EINVAL" }
  const address = attr.address(f.fd_array)
  for (let i = 0; i < count; i++) {
    const bytes = readUser(state.memory, address + BigInt(i * 4), 4)
    const fd = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true)
    const object = state.descriptors.any(fd)
    if (object?._tag === "Map" && object.attributes.exclusive !== undefined) {
      // They are looked at before the program has a digest, so it is nobody's.
      return { log: "program's hash doesn't match map's excl_prog_hash\n", errno: "EACCES" }
    }
    if (object?._tag === "Map" || object?._tag === "Btf") continue
    const code = object === undefined ? "EBADF" : "EINVAL"
    return { log: `fd ${fd} is not pointing to valid bpf_map or btf\n`, errno: code }
  }
  return undefined
}

/** The size of a record that an older or newer process may have (`MIN_BPF_FUNCINFO_SIZE` and the like). */
const isRecordSize = (size: number, least: number): boolean => size >= least && size <= 252 && size % 4 === 0

/** The debug information; `undefined` where there is nothing against it (`check_btf_info`). */
export const checkDebugInformation = (state: KernelState, attr: Attr): Rejection | undefined => {
  const functions = attr.u32(f.func_info_cnt)
  const lines = attr.u32(f.line_info_cnt)
  if (functions === 0 && lines === 0) return undefined
  const refused = (code: Rejection["errno"], log = ""): Rejection => ({ log, errno: code })
  const btf = state.descriptors.any(attr.i32(f.prog_btf_fd))
  if (btf === undefined) return refused("EBADF")
  if (btf._tag !== "Btf") return refused("EINVAL")
  const size = attr.u32(f.func_info_rec_size)
  if (functions > 0) {
    if (!isRecordSize(size, 8)) return refused("EINVAL", `invalid func info rec size ${size}\n`)
    const records = readUser(state.memory, attr.address(f.func_info), size)
    const first = new DataView(records.buffer, records.byteOffset).getUint32(0, true)
    if (first !== 0) {
      return refused("EINVAL", `nonzero insn_off ${first} for the first func info record\n`)
    }
  }
  if (lines > 0x7fffffff / 16 || lines > 0 && !isRecordSize(attr.u32(f.line_info_rec_size), 16)) {
    return refused("EINVAL")
  }
  return undefined
}

/** Kinds that may sleep: traced functions, uprobes, iterators, LSM hooks and struct_ops (`can_be_sleepable`). */
const maySleep = (type: ProgramType, attachType: number): boolean => {
  if (type === "tracing") {
    return [attachTypes.trace_fentry, attachTypes.trace_fexit, attachTypes.modify_return, attachTypes.trace_iter]
      .includes(attachType)
  }
  return type === "lsm" || type === "kprobe" || type === "struct_ops"
}

const functionTypes: ReadonlySet<number> = new Set([
  attachTypes.modify_return,
  attachTypes.lsm_mac,
  attachTypes.lsm_cgroup,
  attachTypes.trace_fentry,
  attachTypes.trace_fexit,
  attachTypes.trace_iter
])

const RAW_PREFIX = "btf_trace_"

const wrongTarget = (type: BtfType | undefined, id: number, attachType: number): string | undefined => {
  if (type === undefined) return `attach_btf_id ${id} is invalid`
  if (attachType === attachTypes.trace_raw_tp) {
    if (type._tag !== "Typedef") return `attach_btf_id ${id} is not a typedef`
    return type.name.startsWith(RAW_PREFIX) ? undefined : `attach_btf_id ${id} points to wrong type name ${type.name}`
  }
  if (!functionTypes.has(attachType)) return ""
  return type._tag === "Func" ? undefined : `attach_btf_id ${id} is not a function`
}

/** What the verifier says of the kind of program, once its structure is known to be right (`check_attach_btf_id`). */
export const checkKind = (state: KernelState, request: Request): Rejection | undefined => {
  const { attachBtfId, attachType, sleeps, type } = request
  const invalid = (line: string): Rejection => ({ log: line === "" ? "" : `${line}\n`, errno: "EINVAL" })
  if (type === "syscall") return sleeps ? undefined : invalid("Syscall programs can only be sleepable")
  if (sleeps && !maySleep(type, attachType)) {
    return invalid("Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable")
  }
  if (type === "struct_ops") {
    return { log: `attach_btf_id ${attachBtfId} is not a supported struct\n`, errno: "ENOTSUPP" }
  }
  if (type !== "tracing" && type !== "lsm" && type !== "ext") return undefined
  if (attachBtfId === 0) return invalid("Tracing programs must provide btf_id")
  // Programs here have no BTF by which one could be made for them.
  if (request.isForProgram) {
    return invalid("FENTRY/FEXIT program can only be attached to another program annotated with BTF")
  }
  if (type === "ext") return invalid("Cannot replace kernel functions")
  const wrong = wrongTarget(Option.getOrUndefined(Btf.type(state.kernelBtf(), attachBtfId)), attachBtfId, attachType)
  return wrong === undefined ? undefined : invalid(wrong)
}
