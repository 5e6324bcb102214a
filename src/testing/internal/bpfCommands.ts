// bpf(2) of the simulated kernel: decodes the same bytes of `union bpf_attr` that the real one is given, and answers with
// the same results and error numbers (kernel/bpf/syscall.c).
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_info, bpf_map_info, bpf_prog_info } from "../../abi/generated/structs.ts"
import { mapTypes } from "../../abi/names.ts"
import { Attr, ATTR_SIZE } from "./attr.ts"
import { createMap, element } from "./mapCommands.ts"
import { AccessFault, viewOf } from "./memory.ts"
import { loadProgram, testRun } from "./programCommands.ts"
import type { World } from "./world.ts"

const info = (world: World, attr: Attr): number => {
  const f = bpf_attr_info.fields
  const object = world.descriptors.any(attr.u32(f.bpf_fd))
  if (object === undefined) return -errno.EBADFD // not EBADF: bpf_obj_get_info_by_fd() differs
  const out = new Uint8Array(256)
  const view = viewOf(out)
  const set = ({ offset }: { readonly offset: number }, value: number) => view.setUint32(offset, value, true)
  const setName = ({ offset }: { readonly offset: number }, name: string) =>
    out.set(new TextEncoder().encode(name), offset)
  let size: number
  if (object._tag === "Map") {
    const { fields } = bpf_map_info
    size = bpf_map_info.size
    set(fields.type, mapTypes[object.attributes.type])
    set(fields.id, object.id)
    set(fields.key_size, object.attributes.keySize)
    set(fields.value_size, object.attributes.valueSize)
    set(fields.max_entries, object.attributes.maxEntries)
    set(fields.map_flags, object.attributes.flags)
    setName(fields.name, object.attributes.name)
  } else if (object._tag === "Program") {
    const { fields } = bpf_prog_info
    size = bpf_prog_info.size
    set(fields.type, object.type)
    set(fields.id, object.id)
    setName(fields.name, object.name)
  } else return -errno.EINVAL
  const length = Math.min(attr.u32(f.info_len), size)
  world.memory.write(attr.address(f.info), out.subarray(0, length))
  attr.set(f.info_len, length)
  return 0
}

/** One call of bpf(2). `bytes` are the caller's attr; results are written back into it. */
export const bpf = (world: World, command: number, bytes: Uint8Array): number => {
  if (bytes.subarray(ATTR_SIZE).some((byte) => byte !== 0)) return -errno.E2BIG
  const attr = new Attr(bytes)
  const dispatch = (): number => {
    switch (command) {
      case bpf_cmd.BPF_MAP_CREATE:
        return createMap(world, attr)
      case bpf_cmd.BPF_MAP_LOOKUP_ELEM:
      case bpf_cmd.BPF_MAP_UPDATE_ELEM:
      case bpf_cmd.BPF_MAP_DELETE_ELEM:
      case bpf_cmd.BPF_MAP_GET_NEXT_KEY:
        return element(world, command, attr)
      case bpf_cmd.BPF_PROG_LOAD:
        return loadProgram(world, attr)
      case bpf_cmd.BPF_PROG_TEST_RUN:
        return testRun(world, attr)
      case bpf_cmd.BPF_OBJ_GET_INFO_BY_FD:
        return info(world, attr)
      default:
        return -errno.EINVAL
    }
  }
  try {
    const result = dispatch()
    bytes.set(attr.bytes.subarray(0, bytes.length))
    return result
  } catch (error) {
    if (error instanceof AccessFault) return -errno.EFAULT
    throw error
  }
}
