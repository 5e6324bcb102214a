// Calls of helpers: what they are given, and what is known after them.
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import type { SimulatedMap } from "../maps.ts"
import type { Argument, ArgumentKind } from "../../../isa/Helper.ts"
import { whyNotCallable } from "./callees.ts"
import { checkAccess } from "./memoryAccess.ts"
import { whyNotPassable } from "./mapCalls.ts"
import type { Path } from "./path.ts"
import { argumentsFor, callbacks, type Prototype, prototypeOf } from "./prototypes.ts"
import * as Scalar from "./scalar.ts"
import {
  anything,
  type Kind,
  nameOf,
  none,
  number,
  pointer,
  type Register,
  replaceAll,
  STACK,
  unknownNumber
} from "./state.ts"

/** BPF_MAX_VAR_SIZ */
const MOST_SIZE = 2n ** 29n
const MAX_ERRNO = 4095n

/** What arguments tell of each other. */
interface Call {
  map: SimulatedMap | undefined
  /** The record that is given back. */
  released: number
  /** A constant argument. */
  constant: bigint | undefined
}

const isMemory = ({ kind }: Register): boolean =>
  ["stack", "value", "memory", "packet", "meta", "anything"].includes(kind)

const isNull = ({ kind, scalar }: Register): boolean =>
  kind === "scalar" && Scalar.isConstant(scalar) && scalar.tnum.value === 0n

/** What else a kind of argument takes, in the words of check_reg_type(). */
const MEMORY = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"
const SOCKET = "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_"

/** The kinds of register that an argument may be, and how the kernel calls them; memory and keys are not among them. */
const taken: { readonly [K in ArgumentKind]?: readonly [kinds: ReadonlyArray<Kind>, expected: string] } = {
  context: [["ctx"], "ctx"],
  map: [["map"], "map_ptr"],
  callback: [["function"], "func"],
  spinLock: [["value"], "map_value, ptr_"],
  timer: [["value"], "map_value"],
  kptr: [["value"], "map_value, ptr_"],
  constString: [["value"], "map_value"],
  dynptr: [["stack"], "fp, dynptr_ptr"],
  dynptrOut: [["stack"], "fp, dynptr_ptr"],
  stack: [["stack"], "fp"],
  socketCommon: [[], SOCKET],
  socketLike: [[], SOCKET],
  btf: [[], "ptr_, trusted_ptr_, rcu_ptr_"],
  percpuBtf: [[], "percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_"]
}

/** `struct bpf_sock`, which a socket that was looked up may be read as. */
const SOCKET_SIZE = 80

/** A socket that was looked up, where one is taken. */
const isSocket = (given: Register, { kind }: Argument): boolean =>
  given.kind === "memory" && !given.nullable && !given.writable && (kind === "socketCommon" || kind === "socketLike")

const rejectType = (path: Path, given: Register, r: number, expected: string): never =>
  path.reject(`R${r} type=${nameOf(given)} expected=${expected}`)

/** The size of memory that the argument after it tells. */
const checkSize = (
  path: Path,
  registers: ReadonlyArray<Register>,
  r: number,
  argument: Argument,
  mayBeZero: boolean
): void => {
  const sizeAt = r + 1
  const given = registers[r]!
  const size = registers[sizeAt]
  if (size === undefined || size.kind === "anything") return
  if (size.kind === "none") path.reject(`R${sizeAt} !read_ok`)
  if (size.kind !== "scalar") rejectType(path, size, sizeAt, "scalar")
  const { smin, umax, umin } = size.scalar.wide
  if (smin < 0n) path.reject(`R${sizeAt} min value is negative, either use unsigned or 'var &= const'`)
  if (umin === 0n && !mayBeZero) path.reject(`R${sizeAt} invalid zero-sized read: u64=[0,${umax}]`)
  if (umax >= MOST_SIZE) {
    path.reject(`R${sizeAt} unbounded memory access, use 'var &= const' or 'if (var < const)'`)
  }
  if (umax === 0n) return
  // NULL is for no bytes at all.
  if (isNull(given)) return rejectType(path, given, r, MEMORY)
  const write = argument.kind !== "read"
  checkAccess(path, given, { register: r, offset: 0, size: Number(umax), write, argument: true })
}

const checkFixed = (path: Path, given: Register, r: number, size: number, write: boolean): void => {
  if (!isMemory(given)) rejectType(path, given, r, MEMORY)
  if (size > 0) checkAccess(path, given, { register: r, offset: 0, size, write, argument: true })
}

const checkRecord = (path: Path, given: Register, r: number): number => {
  if (given.kind === "anything") return 0
  if (given.kind !== "memory" || given.reference === 0 || given.nullable) rejectType(path, given, r, "ringbuf_mem")
  if (given.offset !== 0 || !Scalar.isConstant(given.scalar) || given.scalar.tnum.value !== 0n) {
    path.reject(`R${r} must have zero offset when passed to release func or trusted arg to kfunc`)
  }
  return given.reference
}

const checkArgument = (
  path: Path,
  arguments_: ReadonlyArray<Argument>,
  index: number,
  registers: ReadonlyArray<Register>,
  call: Call
): void => {
  const r = index + 1
  const argument = arguments_[index]!
  const given = registers[r]!
  if (given.kind === "none") path.reject(`R${r} !read_ok`)
  if (given.kind === "anything") return
  const takes = taken[argument.kind]
  if (takes !== undefined && !isSocket(given, argument)) {
    if (argument.nullable && isNull(given)) return
    if (!takes[0].includes(given.kind) || given.nullable) rejectType(path, given, r, takes[1])
  }
  switch (argument.kind) {
    case "map":
      call.map = given.map
      return
    case "mapKey":
      return call.map === undefined ? undefined : checkFixed(path, given, r, call.map.attributes.keySize, false)
    case "mapValue":
    case "mapValueOut": {
      if (argument.nullable && isNull(given) || call.map === undefined) return
      return checkFixed(path, given, r, call.map.attributes.valueSize, argument.kind === "mapValueOut")
    }
    case "read":
    case "write":
    case "readWrite": {
      if (argument.size !== undefined) return checkFixed(path, given, r, argument.size, argument.kind !== "read")
      if (!(argument.nullable && isNull(given)) && !isMemory(given)) rejectType(path, given, r, MEMORY)
      const next = arguments_[index + 1]?.kind
      const hasSize = next === "size" || next === "sizeOrZero"
      return hasSize ? checkSize(path, registers, r, argument, next === "sizeOrZero") : undefined
    }
    case "ringbufRecord":
      call.released = checkRecord(path, given, r)
      return
    case "recordSize":
      if (given.kind !== "scalar") rejectType(path, given, r, "scalar")
      if (!Scalar.isConstant(given.scalar)) path.invalid(`R${r} is not a known constant'`)
      call.constant = given.scalar.tnum.value
      return
    case "size":
    case "sizeOrZero":
      return given.kind === "scalar" ? undefined : rejectType(path, given, r, "scalar")
    default:
  }
}

const isPacketPointer = ({ kind }: Register): boolean => kind === "packet" || kind === "meta" || kind === "end"

/** The key of 4 bytes that a pointer into the stack points to, if it is known. Linux 6.15 looks at it too. */
const constantKey = (path: Path, key: Register): bigint | undefined => {
  if (key.kind !== "stack" || !Scalar.isConstant(key.scalar)) return undefined
  const at = STACK + key.offset + Number(BigInt.asIntN(64, key.scalar.tnum.value))
  const spill = path.state.frames[key.frame]!.spills.get(at)
  if (spill?.register.kind !== "scalar" || !Scalar.isConstantIn(spill.register.scalar, 32)) return undefined
  return BigInt.asUintN(32, spill.register.scalar.tnum.value)
}

/** What a helper returns. */
const result = (
  path: Path,
  prototype: Prototype | undefined,
  call: Call,
  before: ReadonlyArray<Register>
): Register => {
  if (prototype?.acquires === true) {
    const id = path.newId()
    path.state.references.set(id, path.state.pc)
    return pointer("memory", { nullable: true, id, reference: id, size: SOCKET_SIZE, writable: false })
  }
  switch (prototype?.helper.returns.kind) {
    case "mapValue":
    case "mapValueOrNull": {
      if (call.map === undefined) return anything
      const { type } = call.map.attributes
      if (type === "array_of_maps" || type === "hash_of_maps") return anything
      const holdsValues = call.map.elements !== undefined || call.map.storage !== undefined
      if (!holdsValues || type === "sockmap" || type === "sockhash" || type === "xskmap") return anything
      const index = constantKey(path, before[2]!)
      const isThere = (type === "array" || type === "percpu_array") && index !== undefined &&
        index < BigInt(call.map.attributes.maxEntries)
      return pointer("value", {
        map: call.map,
        nullable: !isThere && prototype!.helper.returns.kind === "mapValueOrNull",
        id: path.newId()
      })
    }
    case "ringbufRecordOrNull": {
      const id = path.newId()
      path.state.references.set(id, path.state.pc)
      return pointer("memory", { nullable: true, id, reference: id, size: Number(call.constant ?? 0n) })
    }
    case "integer": {
      if (prototype.boundedBy === undefined) return unknownNumber
      const size = before[prototype.boundedBy + 1]!
      return size.kind === "scalar" && size.scalar.wide.umax < MOST_SIZE
        ? number(Scalar.between(-MAX_ERRNO, size.scalar.wide.umax))
        : unknownNumber
    }
    default:
      return anything
  }
}

/** Gives a reference back: what held it is a number from then on. */
export const release = (path: Path, reference: number): void => {
  if (!path.state.references.delete(reference)) return
  replaceAll(path.state, (register) => register.reference === reference, () => unknownNumber)
}

const lock = (path: Path, id: number): void => {
  const { state } = path
  const locks = id === bpf_func_id.BPF_FUNC_spin_lock
  if (locks && state.locked) path.invalid("Locking two bpf_spin_locks are not allowed")
  if (!locks && !state.locked) path.invalid("bpf_spin_unlock without taking a lock")
  state.locked = locks
}

/** Checks a call of a helper and does what it does to the state. */
export const callHelper = (path: Path, id: number): void => {
  const { state } = path
  const { registers } = state.frames.at(-1)!
  const why = whyNotCallable(path.callees, id)
  if (why !== undefined) path.invalid(why)
  const prototype = prototypeOf(id)
  const takes = prototype === undefined ? [] : argumentsFor(prototype, path.callees.caller)
  const call: Call = { map: undefined, released: 0, constant: undefined }
  const isLock = id === bpf_func_id.BPF_FUNC_spin_lock || id === bpf_func_id.BPF_FUNC_spin_unlock
  if (state.locked && !isLock) path.invalid("function calls are not allowed while holding a lock")
  for (let index = 0; index < takes.length; index++) checkArgument(path, takes, index, registers, call)
  const unpassable = call.map === undefined ? undefined : whyNotPassable(path.type, id, call.map.attributes.type)
  if (unpassable !== undefined) path.invalid(unpassable)
  if (isLock) lock(path, id)
  if (id === bpf_func_id.BPF_FUNC_tail_call && state.references.size > 0) {
    path.invalid("tail_call would lead to reference leak")
  }
  const before = [...registers]
  if (id === bpf_func_id.BPF_FUNC_sk_release && registers[1]!.kind !== "anything") {
    call.released = registers[1]!.reference
    if (call.released === 0) path.invalid("R1 must be referenced when passed to release function")
  }
  if (call.released !== 0) release(path, call.released)
  if (prototype?.helper.movesPacket === true) replaceAll(state, isPacketPointer, () => unknownNumber)
  if (callbacks.has(id) || prototype?.disturbs !== false) disturb(path)
  registers[0] = result(path, prototype, call, before)
  for (let r = 1; r <= 5; r++) registers[r] = none
}

/** A callback, or a helper that is not known, may have written what it was pointed to. */
const disturb = ({ state }: Path): void => {
  for (const frame of state.frames) {
    frame.written.fill(1)
    for (const [at, spill] of frame.spills) frame.spills.set(at, { ...spill, register: anything })
  }
}
