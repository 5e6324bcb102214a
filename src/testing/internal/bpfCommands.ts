// bpf(2) of the simulated kernel: decodes the same bytes of `union bpf_attr` that the real one is given, and answers with
// the same results and error numbers (kernel/bpf/syscall.c).
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import {
  bpf_attr_info,
  bpf_attr_map_create,
  bpf_attr_map_elem,
  bpf_attr_prog_load,
  bpf_attr_test,
  bpf_map_info,
  bpf_prog_info
} from "../../abi/generated/structs.ts"
import { type MapType, mapTypes, programTypes } from "../../abi/names.ts"
import { pseudo } from "../../isa/opcodes.ts"
import { ProgramTrap } from "../ProgramTrap.ts"
import { check } from "./check.ts"
import type { Descriptors, SimulatedProgram } from "./descriptors.ts"
import { decode, type Helper, run } from "./interpreter.ts"
import { type ElementMap, makeArray, makeHash, type MapAttributes, type SimulatedMap } from "./maps.ts"
import { AccessFault, addressOf, type AddressSpace, viewOf } from "./memory.ts"
import { SimulatedRingBuffer } from "./ringBuffer.ts"

/** What the commands work on. */
export interface World {
  readonly memory: AddressSpace
  readonly descriptors: Descriptors
  readonly helpers: ReadonlyMap<number, Helper>
  readonly pageSize: number
  readonly newId: () => number
  readonly addMap: (map: SimulatedMap) => void
  readonly trapped: (trap: ProgramTrap) => void
}

/** The size of `union bpf_attr` in this kernel. */
const ATTR_SIZE = bpf_attr_prog_load.size

/** A command's attr: fields by name, and zero for those that the caller did not pass. */
class Attr {
  readonly bytes = new Uint8Array(ATTR_SIZE)
  private readonly view = viewOf(this.bytes)
  constructor(bytes: Uint8Array) {
    this.bytes.set(bytes.subarray(0, ATTR_SIZE))
  }
  u32({ offset }: { readonly offset: number }): number {
    return this.view.getUint32(offset, true)
  }
  address({ offset }: { readonly offset: number }): bigint {
    return this.view.getBigUint64(offset, true)
  }
  set({ offset }: { readonly offset: number }, value: number): void {
    this.view.setUint32(offset, value, true)
  }
  text({ offset, size }: { readonly offset: number; readonly size: number }): string {
    const bytes = this.bytes.subarray(offset, offset + size)
    const end = bytes.indexOf(0)
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end))
  }
}

const nameOf = <T extends string>(table: { readonly [K in T]: number }, value: number): T | undefined =>
  (Object.keys(table) as Array<T>).find((name) => table[name] === value)

const isName = (name: string): boolean => /^[A-Za-z0-9_.]{0,15}$/.test(name)

// ---------------------------------------------------------------- maps

const createMap = (world: World, attr: Attr): number => {
  const f = bpf_attr_map_create.fields
  const type = nameOf<MapType>(mapTypes, attr.u32(f.map_type))
  if (type === undefined) return -errno.EINVAL
  const attributes: MapAttributes = {
    type,
    name: attr.text(f.map_name),
    keySize: attr.u32(f.key_size),
    valueSize: attr.u32(f.value_size),
    maxEntries: attr.u32(f.max_entries),
    flags: attr.u32(f.map_flags)
  }
  if (!isName(attributes.name) || attributes.maxEntries === 0) return -errno.EINVAL
  let elements: ElementMap | undefined
  let ring: SimulatedRingBuffer | undefined
  switch (type) {
    case "hash":
      if (attributes.keySize === 0 || attributes.valueSize === 0) return -errno.EINVAL
      elements = makeHash(world.memory, attributes)
      break
    case "array":
      if (attributes.keySize !== 4 || attributes.valueSize === 0) return -errno.EINVAL
      elements = makeArray(world.memory, attributes)
      break
    case "ringbuf": {
      const { keySize, maxEntries, valueSize } = attributes
      const isPower = (maxEntries & (maxEntries - 1)) === 0
      if (keySize !== 0 || valueSize !== 0 || !isPower || maxEntries % world.pageSize !== 0) return -errno.EINVAL
      ring = new SimulatedRingBuffer(world.memory, maxEntries, world.pageSize)
      break
    }
    default:
      return -errno.EINVAL
  }
  const pointer = world.memory.map(new Uint8Array(0))
  const map: SimulatedMap = { _tag: "Map", id: world.newId(), attributes, pointer, elements, ring }
  const fd = world.descriptors.open(map)
  if (fd >= 0) world.addMap(map)
  return fd
}

const element = (world: World, command: number, attr: Attr): number => {
  const { flags, key, map_fd, next_key, value } = bpf_attr_map_elem.fields
  const map = world.descriptors.get(attr.u32(map_fd), "Map")
  if (map === undefined) return -errno.EBADF
  if (map.elements === undefined) return -errno.EOPNOTSUPP
  const { memory } = world
  const { keySize, valueSize } = map.attributes
  const keyAddress = attr.address(key)
  switch (command) {
    case bpf_cmd.BPF_MAP_LOOKUP_ELEM: {
      const found = map.elements.find(memory.read(keyAddress, keySize))
      if (found === undefined) return -errno.ENOENT
      memory.write(attr.address(value), memory.read(found, valueSize))
      return 0
    }
    case bpf_cmd.BPF_MAP_UPDATE_ELEM:
      return map.elements.update(
        memory.read(keyAddress, keySize),
        memory.read(attr.address(value), valueSize),
        attr.u32(flags)
      )
    case bpf_cmd.BPF_MAP_DELETE_ELEM:
      // Bytes after the key must be zero: the attr is checked as one that ends there.
      if (attr.address(value) !== 0n || attr.address(flags) !== 0n) return -errno.EINVAL
      return map.elements.delete(memory.read(keyAddress, keySize))
    default: {
      const next = map.elements.next(keyAddress === 0n ? undefined : memory.read(keyAddress, keySize))
      if (next === undefined) return -errno.ENOENT
      memory.write(attr.address(next_key), next)
      return 0
    }
  }
}

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

// ---------------------------------------------------------------- programs

/** Writes the log of a rejection as the kernel does: cut to the buffer with a NUL, and then ENOSPC in place of the error. */
const writeLog = (world: World, attr: Attr, log: string, error: number): number => {
  const f = bpf_attr_prog_load.fields
  if (attr.u32(f.log_level) === 0) return -error
  const text = new TextEncoder().encode(`${log}\0`)
  const size = attr.u32(f.log_size)
  attr.set(f.log_true_size, text.length)
  const fits = text.length <= size
  const written = text.slice(0, size)
  written[written.length - 1] = 0
  world.memory.write(attr.address(f.log_buf), written)
  return fits ? -error : -errno.ENOSPC
}

const readString = (world: World, address: bigint, most: number): string => {
  const { offset, region } = world.memory.find(address, 1)
  const bytes = region.bytes.subarray(offset, offset + most)
  return new TextDecoder().decode(bytes.subarray(0, Math.max(0, bytes.indexOf(0))))
}

const loadProgram = (world: World, attr: Attr): number => {
  const f = bpf_attr_prog_load.fields
  const type = attr.u32(f.prog_type)
  const count = attr.u32(f.insn_cnt)
  const name = attr.text(f.prog_name)
  if (nameOf(programTypes, type) === undefined || count === 0 || !isName(name)) return -errno.EINVAL
  readString(world, attr.address(f.license), 128)
  let badMap = false
  const code = decode(name, world.memory.read(attr.address(f.insns), count * 8), (src, immediate) => {
    if (src !== pseudo.BPF_PSEUDO_MAP_FD) return immediate
    const map = world.descriptors.get(Number(immediate), "Map")
    badMap ||= map === undefined
    return map === undefined ? 0n : addressOf(map.pointer)
  })
  if (badMap) return writeLog(world, attr, "fd is not pointing to valid bpf_map\n", errno.EBADF)
  const rejection = check(code, new Set(world.helpers.keys()))
  if (rejection !== undefined) return writeLog(world, attr, rejection.log, errno.EINVAL)
  return world.descriptors.open({ _tag: "Program", id: world.newId(), name, type, code })
}

const ETHERNET_HEADER = 14
/** The packet types' return values are 32-bit; the rest of r0 is lost. */
const returnValue = (r0: bigint): number => Number(r0 & 0xffffffffn)

/** The context of a packet program: its fields for the packet's ends are 32 bits wide, and widen to pointers. */
const packetContext = (type: number, start: bigint, length: number) => {
  const end = start + BigInt(length)
  if (type === programTypes.xdp) return { size: 24, pointers: new Map([[0, start], [4, end], [8, start]]) }
  return { size: 192, pointers: new Map([[76, start], [80, end]]) }
}

const packetTypes: ReadonlySet<number> = new Set([
  programTypes.xdp,
  programTypes.socket_filter,
  programTypes.sched_cls,
  programTypes.sched_act
])

const testPacket = (world: World, program: SimulatedProgram, attr: Attr): number => {
  const f = bpf_attr_test.fields
  const length = attr.u32(f.data_size_in)
  if (length < ETHERNET_HEADER) return -errno.EINVAL
  const packet = world.memory.map(world.memory.read(attr.address(f.data_in), length))
  const { pointers, size } = packetContext(program.type, addressOf(packet), length)
  const context = world.memory.map(new Uint8Array(size), { pointers })
  if (program.type !== programTypes.xdp) context.view.setUint32(0, length, true) // __sk_buff.len
  try {
    const repeat = Math.max(1, attr.u32(f.repeat))
    let r0 = 0n
    for (let i = 0; i < repeat; i++) r0 = run(program.code, world.memory, world.helpers, addressOf(context))
    attr.set(f.retval, returnValue(r0))
    const room = attr.u32(f.data_size_out)
    const out = attr.address(f.data_out)
    if (out !== 0n) world.memory.write(out, packet.bytes.subarray(0, room === 0 ? length : Math.min(length, room)))
    attr.set(f.data_size_out, length)
    return out !== 0n && room !== 0 && room < length ? -errno.ENOSPC : 0
  } finally {
    world.memory.unmap(packet)
    world.memory.unmap(context)
  }
}

const testContext = (world: World, program: SimulatedProgram, attr: Attr): number => {
  const f = bpf_attr_test.fields
  if (attr.u32(f.data_size_in) !== 0 || attr.u32(f.repeat) !== 0) return -errno.EINVAL
  const size = attr.u32(f.ctx_size_in)
  const given = size === 0 ? new Uint8Array(0) : world.memory.read(attr.address(f.ctx_in), size)
  const context = world.memory.map(given)
  try {
    attr.set(f.retval, returnValue(run(program.code, world.memory, world.helpers, addressOf(context))))
    return 0
  } finally {
    world.memory.unmap(context)
  }
}

const testRun = (world: World, attr: Attr): number => {
  const program = world.descriptors.get(attr.u32(bpf_attr_test.fields.prog_fd), "Program")
  if (program === undefined) return -errno.EBADF
  try {
    if (packetTypes.has(program.type)) return testPacket(world, program, attr)
    if (program.type === programTypes.raw_tracepoint || program.type === programTypes.syscall) {
      return testContext(world, program, attr)
    }
    return -errno.ENOTSUPP
  } catch (error) {
    if (!(error instanceof ProgramTrap)) throw error
    world.trapped(error)
    return -errno.EFAULT
  }
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
