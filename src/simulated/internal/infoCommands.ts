// BPF_OBJ_GET_INFO_BY_FD: what the kernel says of maps, programs, links and BTF (kernel/bpf/syscall.c, btf.c).
import { errno } from "../../abi/errno.ts"
import { bpf_attr_info, bpf_btf_info, bpf_link_info, bpf_map_info, bpf_prog_info } from "../../abi/generated/structs.ts"
import { mapTypes } from "../../abi/names.ts"
import type { Attr } from "./attr.ts"
import type { SimulatedBtf } from "./btfObject.ts"
import type { SimulatedLink, SimulatedProgram } from "./descriptors.ts"
import type { SimulatedMap } from "./maps.ts"
import { viewOf } from "./memory.ts"
import { readUser, writeUser } from "./userMemory.ts"
import type { KernelState } from "./kernelState.ts"

/** A struct of the answer, filled by the fields' names. */
class Answer<F extends { readonly [name: string]: { readonly offset: number; readonly size: number } }> {
  readonly bytes: Uint8Array
  private readonly fields: F

  constructor(layout: { readonly size: number; readonly fields: F }) {
    this.bytes = new Uint8Array(layout.size)
    this.fields = layout.fields
  }

  set(name: keyof F & string, value: number | bigint): void {
    const { offset, size } = this.fields[name]!
    if (size === 8) viewOf(this.bytes).setBigUint64(offset, BigInt(value), true)
    else viewOf(this.bytes).setUint32(offset, Number(value), true)
  }

  text(name: keyof F & string, value: string): void {
    this.bytes.set(new TextEncoder().encode(value), this.fields[name]!.offset)
  }
}

/** What the process put into the struct: where arrays are to be written, and how much room there is. */
const asked = (given: Uint8Array, { offset, size }: { readonly offset: number; readonly size: number }): bigint => {
  const bytes = new Uint8Array(8)
  bytes.set(given.subarray(offset, offset + size))
  return viewOf(bytes).getBigUint64(0, true)
}

const mapInfo = ({ attributes, id }: SimulatedMap): Uint8Array => {
  const answer = new Answer(bpf_map_info)
  answer.set("type", mapTypes[attributes.type])
  answer.set("id", id)
  answer.set("key_size", attributes.keySize)
  answer.set("value_size", attributes.valueSize)
  answer.set("max_entries", attributes.maxEntries)
  answer.set("map_flags", attributes.flags)
  answer.set("map_extra", attributes.extra)
  answer.text("name", attributes.name)
  answer.set("btf_vmlinux_value_type_id", attributes.btfVmlinuxValueType)
  if (attributes.btf !== undefined) {
    answer.set("btf_id", attributes.btf.id)
    answer.set("btf_key_type_id", attributes.btfKeyType)
    answer.set("btf_value_type_id", attributes.btfValueType)
  }
  return answer.bytes
}

const programInfo = (state: KernelState, program: SimulatedProgram, given: Uint8Array): Uint8Array => {
  const { fields } = bpf_prog_info
  const answer = new Answer(bpf_prog_info)
  const maps = state.objects.heldBy(program).filter((held) => held._tag === "Map")
  const room = Math.min(Number(asked(given, fields.nr_map_ids)), maps.length)
  const ids = Uint32Array.from(maps.slice(0, room), (map) => Number(map.id))
  writeUser(state.memory, asked(given, fields.map_ids), new Uint8Array(ids.buffer))
  answer.set("type", program.type)
  answer.set("id", program.id)
  answer.text("name", program.name)
  answer.set("xlated_prog_len", program.code.length * 8)
  answer.set("nr_map_ids", maps.length)
  answer.set("map_ids", asked(given, fields.map_ids))
  return answer.bytes
}

const btfInfo = (state: KernelState, btf: SimulatedBtf, given: Uint8Array): Uint8Array => {
  const { fields } = bpf_btf_info
  const answer = new Answer(bpf_btf_info)
  const room = Math.min(Number(asked(given, fields.btf_size)), btf.bytes.length)
  writeUser(state.memory, asked(given, fields.btf), btf.bytes.subarray(0, room))
  answer.set("btf", asked(given, fields.btf))
  answer.set("btf_size", btf.bytes.length)
  answer.set("id", btf.id)
  answer.set("name", asked(given, fields.name))
  return answer.bytes
}

const linkInfo = (state: KernelState, link: SimulatedLink, given: Uint8Array): Uint8Array => {
  const { fields } = bpf_link_info
  const answer = new Answer(bpf_link_info)
  const { fields: place, text, type } = link.facts
  answer.set("type", type)
  answer.set("id", link.id)
  answer.set("prog_id", link.attachment.program.id)
  for (const [field, value] of Object.entries(place)) {
    // A link that was detached by force is nowhere, but still of a kind.
    const isKind = field === "perf_event.type" || field.endsWith("attach_type")
    answer.set(field as keyof typeof fields, link.attached || isKind ? value : 0)
  }
  if (text !== undefined) {
    const at = fields[text.field as keyof typeof fields]
    const length = fields[text.length as keyof typeof fields]
    const bytes = new TextEncoder().encode(`${text.value}\0`)
    const room = Number(asked(given, length))
    const address = asked(given, at)
    if (address !== 0n && room > 0) writeUser(state.memory, address, bytes.subarray(0, room))
    answer.set(text.field as keyof typeof fields, address)
    answer.set(text.length as keyof typeof fields, bytes.length)
  }
  return answer.bytes
}

const sizes: { readonly [tag: string]: number } = {
  Map: bpf_map_info.size,
  Program: bpf_prog_info.size,
  Btf: bpf_btf_info.size,
  Link: bpf_link_info.size
}

/** BPF_OBJ_GET_INFO_BY_FD. A shorter struct than this kernel's is filled as far as it goes. */
export const info = (state: KernelState, attr: Attr): number => {
  const f = bpf_attr_info.fields
  if (!attr.endsWith(f.info)) return -errno.EINVAL
  const object = state.descriptors.any(attr.i32(f.bpf_fd))
  if (object === undefined) return -errno.EBADFD // not EBADF: bpf_obj_get_info_by_fd() differs
  const size = sizes[object._tag]
  if (size === undefined) return -errno.EINVAL
  const length = attr.u32(f.info_len)
  if (length > state.pageSize) return -errno.E2BIG
  const given = readUser(state.memory, attr.address(f.info), length)
  if (given.subarray(size).some((byte) => byte !== 0)) return -errno.E2BIG
  const answer = object._tag === "Map"
    ? mapInfo(object)
    : object._tag === "Program"
    ? programInfo(state, object, given)
    : object._tag === "Link"
    ? linkInfo(state, object, given)
    : btfInfo(state, object as SimulatedBtf, given)
  const written = Math.min(length, size)
  writeUser(state.memory, attr.address(f.info), answer.subarray(0, written))
  attr.set(f.info_len, written)
  return 0
}
