// The commands of bpf(2) on objects of any kind: names, ids, and what the kernel says of them (kernel/bpf/syscall.c,
// inode.c and btf.c).
import * as Result from "effect/Result"
import { errno } from "../../abi/errno.ts"
import { bpf_cmd, bpf_map_create_flags } from "../../abi/generated/enums.ts"
import {
  bpf_attr_btf_load,
  bpf_attr_get_id,
  bpf_attr_obj,
  bpf_attr_prog_bind_map
} from "../../abi/generated/structs.ts"
import * as Btf from "../../btf/Btf.ts"
import type { Attr } from "./attr.ts"
import type { KernelObject } from "./descriptors.ts"
import { accessOf } from "./mapCreate.ts"
import { FILE_FLAGS } from "./maps/flags.ts"
import type { IdentifiedTag } from "./objects.ts"
import { readUser, readUserText } from "./userMemory.ts"
import type { KernelState } from "./kernelState.ts"

const { BPF_F_PATH_FD } = bpf_map_create_flags
const PATH_MAX = 4096
const INT_MAX = 2 ** 31 - 1

/** Kinds that can be pinned. */
const pinnable: ReadonlySet<string> = new Set(["Map", "Program", "Link"])

interface PathRequest {
  readonly path: string
  /** Of a folder that the path begins from. */
  readonly fd: number | undefined
}

/** The path of a command, or `-errno`. */
const pathOf = (state: KernelState, attr: Attr): PathRequest | number => {
  const f = bpf_attr_obj.fields
  const flags = attr.u32(f.file_flags)
  const hasFolder = (flags & BPF_F_PATH_FD) !== 0
  if (!hasFolder && attr.u32(f.path_fd) !== 0) return -errno.EINVAL
  const path = readUserText(state.memory, attr.address(f.pathname), PATH_MAX)
  return path === undefined ? -errno.ENAMETOOLONG : { path, fd: hasFolder ? attr.i32(f.path_fd) : undefined }
}

/** BPF_OBJ_PIN */
export const pin = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_obj.fields
  if (!attr.endsWith(f.path_fd) || (attr.u32(f.file_flags) & ~BPF_F_PATH_FD) !== 0) return -errno.EINVAL
  if ((attr.u32(f.file_flags) & BPF_F_PATH_FD) === 0 && attr.u32(f.path_fd) !== 0) return -errno.EINVAL
  const object = state.descriptors.any(attr.i32(f.bpf_fd))
  if (object === undefined || !pinnable.has(object._tag)) return -errno.EINVAL // for descriptors of nothing, too
  const where = pathOf(state, attr)
  return typeof where === "number" ? where : state.mounts.pin(where.path, where.fd, object)
}

/** BPF_OBJ_GET: a new descriptor. */
export const get = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_obj.fields
  const flags = attr.u32(f.file_flags)
  if (!attr.endsWith(f.path_fd) || attr.u32(f.bpf_fd) !== 0) return -errno.EINVAL
  if ((flags & ~(FILE_FLAGS | BPF_F_PATH_FD)) !== 0) return -errno.EINVAL
  if ((flags & BPF_F_PATH_FD) === 0 && attr.u32(f.path_fd) !== 0) return -errno.EINVAL
  const access = accessOf(flags)
  if (typeof access === "number") return access
  const where = pathOf(state, attr)
  if (typeof where === "number") return where
  const object = state.mounts.get(where.path, where.fd)
  if (typeof object === "number") return object
  if (object._tag === "Link" && (flags & FILE_FLAGS) !== 0) return -errno.EINVAL
  return state.descriptors.open(object as KernelObject, object._tag === "Map" ? access : undefined)
}

const nextIdOf: { readonly [command: number]: IdentifiedTag } = {
  [bpf_cmd.BPF_PROG_GET_NEXT_ID]: "Program",
  [bpf_cmd.BPF_MAP_GET_NEXT_ID]: "Map",
  [bpf_cmd.BPF_BTF_GET_NEXT_ID]: "Btf",
  [bpf_cmd.BPF_LINK_GET_NEXT_ID]: "Link"
}

/** BPF_*_GET_NEXT_ID */
export const nextId = (state: KernelState, command: number, attr: Attr): number => {
  const f = bpf_attr_get_id.fields
  if (!attr.endsWith(f.next_id) || attr.u32(f.start_id) >= INT_MAX) return -errno.EINVAL
  const id = state.objects.idAfter(nextIdOf[command]!, attr.u32(f.start_id))
  if (id === undefined) return -errno.ENOENT
  attr.answer(f.next_id, id)
  return 0
}

const byIdOf: { readonly [command: number]: IdentifiedTag } = {
  [bpf_cmd.BPF_PROG_GET_FD_BY_ID]: "Program",
  [bpf_cmd.BPF_MAP_GET_FD_BY_ID]: "Map",
  [bpf_cmd.BPF_BTF_GET_FD_BY_ID]: "Btf",
  [bpf_cmd.BPF_LINK_GET_FD_BY_ID]: "Link"
}

/** The last field that each kind's command has. */
const lastOfById = { Program: "prog_id", Map: "open_flags", Btf: "fd_by_id_token_fd", Link: "link_id" } as const

/** BPF_*_GET_FD_BY_ID: a new descriptor. */
export const byId = (state: KernelState, command: number, attr: Attr): number => {
  const f = bpf_attr_get_id.fields
  const tag = byIdOf[command]!
  const flags = attr.u32(f.open_flags)
  if (!attr.endsWith(f[lastOfById[tag]]) || (tag === "Map" && (flags & ~FILE_FLAGS) !== 0)) return -errno.EINVAL
  const access = tag === "Map" ? accessOf(flags) : undefined
  if (typeof access === "number") return access
  const object = state.objects.byId(tag, attr.u32(f.map_id))
  return object === undefined ? -errno.ENOENT : state.descriptors.open(object, access)
}

const BTF_MAGIC = 0xeb9f
/** BTF_MAX_SIZE */
const MOST_BTF = 16 << 20

/** What the header of BTF says before all else; 0 or `-errno` (`btf_parse_hdr`). */
const checkHeader = (bytes: Uint8Array): number => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 8 || view.getUint32(4, true) > bytes.length) return -errno.EINVAL
  if (bytes.length < 24 || view.getUint16(0, true) !== BTF_MAGIC) return -errno.EINVAL
  return view.getUint8(2) !== 1 || view.getUint8(3) !== 0 ? -errno.ENOTSUPP : 0
}

/** BPF_BTF_LOAD: a descriptor. What the kernel checks of each type is not checked here, beyond that it can be read. */
export const loadBtf = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_btf_load.fields
  if (!attr.endsWith(f.btf_token_fd) || attr.u32(f.btf_flags) !== 0) return -errno.EINVAL
  const size = attr.u32(f.btf_size)
  if (size > MOST_BTF) return -errno.E2BIG
  const bytes = readUser(state.memory, attr.address(f.btf), size)
  const error = checkHeader(bytes)
  if (error < 0) return error
  const types = Result.getOrElse(Btf.parse(bytes), () => undefined)
  if (types === undefined || types.lastId < types.firstId) return -errno.EINVAL
  return state.descriptors.open({ _tag: "Btf", id: state.newId(), bytes, types })
}

/** BPF_PROG_BIND_MAP: the map lives as long as the program, though no instruction names it. */
export const bindMap = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_prog_bind_map.fields
  if (!attr.endsWith(f.flags) || attr.u32(f.flags) !== 0) return -errno.EINVAL
  const program = state.descriptors.any(attr.i32(f.prog_fd))
  const map = state.descriptors.any(attr.i32(f.map_fd))
  if (program === undefined) return -errno.EBADF
  if (program._tag !== "Program") return -errno.EINVAL
  if (map === undefined) return -errno.EBADF
  if (map._tag !== "Map") return -errno.EINVAL
  state.objects.bind(program, map)
  return 0
}
