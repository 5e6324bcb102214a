// The commands of bpf(2) on programs: load, with its log, and test run (kernel/bpf/syscall.c, net/bpf/test_run.c).
import { errno } from "../../abi/errno.ts"
import { bpf_attr_prog_load, bpf_attr_test } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { pseudo } from "../../isa/opcodes.ts"
import { ProgramTrap } from "../ProgramTrap.ts"
import { type Attr, isName, nameOf } from "./attr.ts"
import { check } from "./check.ts"
import type { SimulatedProgram } from "./descriptors.ts"
import { decode, run } from "./interpreter.ts"
import { addressOf } from "./memory.ts"
import type { World } from "./world.ts"

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

/** BPF_PROG_LOAD */
export const loadProgram = (world: World, attr: Attr): number => {
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

/** BPF_PROG_TEST_RUN */
export const testRun = (world: World, attr: Attr): number => {
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
