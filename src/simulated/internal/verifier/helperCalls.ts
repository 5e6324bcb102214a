// Calls of helpers: who may call them, what they are given, and what is known after them (check_helper_call).
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import type { Argument } from "../../../isa/Helper.ts"
import { conversionsOf, parseFormat } from "../helpers/format.ts"
import type { SimulatedMap } from "../maps.ts"
import { whyNotCallable } from "./callees.ts"
import { checkDynptrPlace, dropDynptr, makeDynptr, takeDynptr } from "./dynptrs.ts"
import { whyNotPassable } from "./mapCalls.ts"
import { checkAccess } from "./memoryAccess.ts"
import type { Path } from "./path.ts"
import { argumentsFor, callbacks, changesMap, type Prototype, prototypeOf, takesPackets } from "./prototypes.ts"
import * as Scalar from "./scalar.ts"
import {
  addReference,
  allOf,
  anything,
  byteOfSlot,
  bytes,
  dropReference,
  nameOf,
  none,
  number,
  pointer,
  type Register,
  replaceAll,
  setSlot,
  slotIndex,
  STACK,
  typeAt,
  unknownNumber
} from "./state.ts"

/** BPF_MAX_VAR_SIZ */
const MOST_SIZE = 2 ** 29
const MAX_ERRNO = 4095
/** `struct bpf_sock`, which a socket that was looked up may be read as. */
const SOCKET_SIZE = 80
/** BPF_F_RDONLY_PROG */
const READ_ONLY_PROGRAM = 128

/** What arguments tell of each other. */
interface Call {
  readonly id: number
  readonly prototype: Prototype
  readonly takes: ReadonlyArray<Argument>
  map: SimulatedMap | undefined
  /** The record that is given back. */
  released: number
  /** A constant argument. */
  constant: number | undefined
  /** The dynptr that is read, and where one is to be made. */
  dynptr: Register | undefined
  makes: { readonly r: number; readonly given: Register } | undefined
}

const isMemory = ({ kind }: Register): boolean =>
  ["stack", "value", "memory", "packet", "meta", "anything"].includes(kind)

const isNull = ({ kind, scalar }: Register): boolean => kind === "scalar" && Scalar.isZero(scalar)

const MEMORY = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"

/** What a register must hold for an argument of each kind that is no plain value. */
const wanted = (kind: Argument["kind"]): { readonly is: (given: Register) => boolean; readonly words: string } => {
  const of = (words: string, ...kinds: ReadonlyArray<Register["kind"]>) => ({
    is: (given: Register) => kinds.includes(given.kind),
    words
  })
  switch (kind) {
    case "context":
      return of("ctx", "ctx")
    case "map":
      return of("map_ptr", "map")
    case "mapKey":
    case "mapValue":
    case "mapValueOut":
    case "read":
    case "write":
    case "readWrite":
      return { is: isMemory, words: MEMORY }
    case "size":
    case "sizeOrZero":
    case "recordSize":
      return of("scalar", "scalar")
    case "ringbufRecord":
      return {
        is: (given) => given.kind === "memory" && given.reference !== 0 && given.dynptr === 0,
        words: "ringbuf_mem"
      }
    case "spinLock":
    case "timer":
    case "kptr":
      return of("map_value", "value")
    case "constString":
      return of("map_value", "value")
    case "dynptr":
    case "dynptrOut":
      return of("fp, dynptr_ptr", "stack")
    case "callback":
      return of("func", "function")
    case "stack":
      return of("fp", "stack")
    case "socketCommon":
    case "socketLike":
      return of("sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_")
    case "percpuBtf":
      return of("percpu_ptr_, percpu_rcu_ptr_, percpu_trusted_ptr_")
    default:
      return of("ptr_, trusted_ptr_, rcu_ptr_")
  }
}

/** A socket that was looked up, which is kept as memory that is only read. */
const isSocket = (given: Register): boolean =>
  given.kind === "memory" && !given.nullable && !given.writable && given.reference !== 0

const checkKind = (path: Path, { kind }: Argument, given: Register, r: number): void => {
  if (given.kind === "anything") return
  if ((kind === "socketCommon" || kind === "socketLike") && isSocket(given)) return
  const { is, words } = wanted(kind)
  if (given.nullable || !is(given)) path.reject(`R${r} type=${nameOf(given)} expected=${words}`)
}

const checkSize = (path: Path, call: Call, index: number, registers: ReadonlyArray<Register>): void => {
  const r = index + 1
  const size = registers[r]!
  const memory = call.takes[index - 1]!
  const given = registers[index]!
  if (size.kind === "anything") return
  const { scalar } = size
  const umax = Scalar.umax(scalar)
  if (Scalar.smin(scalar) < 0) path.reject(`R${r} min value is negative, either use unsigned or 'var &= const'`)
  if (Scalar.umin(scalar) === 0 && call.takes[index]!.kind !== "sizeOrZero") {
    path.reject(`R${r} invalid zero-sized read: u64=[0,${Scalar.exact(scalar).umax}]`)
  }
  if (umax >= MOST_SIZE) path.reject(`R${r} unbounded memory access, use 'var &= const' or 'if (var < const)'`)
  path.precise(r)
  if (isNull(given) || given.kind === "anything") {
    if (isNull(given) && umax > 0) path.reject(`R${index} type=scalar expected=fp`)
    return
  }
  const write = memory.kind === "write" || memory.kind === "readWrite"
  checkAccess(path, given, { register: index, offset: 0, size: umax, write, argument: true })
}

/** Memory of a size that is known. */
const checkFixed = (path: Path, given: Register, r: number, size: number, write: boolean): void => {
  if (given.kind === "anything") return
  checkAccess(path, given, { register: r, offset: 0, size, write, argument: true })
}

/** A key or a value: a map that has none cannot be given one. */
const checkPart = (path: Path, given: Register, r: number, size: number, write: boolean): void => {
  if (size === 0) path.reject(`R${r} invalid zero-sized read: u64=[0,0]`)
  checkFixed(path, given, r, size, write)
}

const checkZeroOffset = (path: Path, given: Register, r: number): void => {
  if (given.offset !== 0) {
    path.invalid(`R${r} must have zero offset when passed to release func or trusted arg to kfunc`)
  }
  if (!Scalar.isZero(given.scalar)) {
    const { mask, value } = Scalar.exact(given.scalar)
    path.reject(
      `variable ${nameOf(given)} access var_off=(0x${value.toString(16)}; 0x${mask.toString(16)}) disallowed`
    )
  }
}

const checkContextOffset = (path: Path, given: Register, r: number): void => {
  if (given.offset < 0) path.reject(`negative offset ctx ptr R${r} off=${given.offset} disallowed`)
  if (given.offset !== 0) path.reject(`dereference of modified ctx ptr R${r} off=${given.offset} disallowed`)
  if (!Scalar.isZero(given.scalar)) {
    const { mask, value } = Scalar.exact(given.scalar)
    path.reject(`variable ctx access var_off=(0x${value.toString(16)}; 0x${mask.toString(16)}) disallowed`)
  }
}

/** The field of a map's values that an argument must point to. */
const checkField = (path: Path, given: Register, r: number, kind: "spin_lock" | "timer"): void => {
  if (given.kind === "anything") return
  const name = `bpf_${kind}`
  const { attributes } = given.map!
  if (!Scalar.isConstant(given.scalar)) {
    path.invalid(`R${r} doesn't have constant offset. ${name} has to be at the constant offset`)
  }
  if (attributes.btf === undefined) path.invalid(`map '${attributes.name}' has to have BTF in order to use ${name}`)
  const field = attributes.hidden.find((each) => each.kind === kind)
  if (field === undefined) path.invalid(`map '${attributes.name}' has no valid ${name}`)
  const at = given.offset + Scalar.valueOf(given.scalar)
  if (at !== field!.offset) {
    path.invalid(`off ${at} doesn't point to 'struct ${name}' that is at ${field!.offset}`)
  }
}

const checkArgument = (path: Path, index: number, registers: ReadonlyArray<Register>, call: Call): void => {
  const r = index + 1
  const argument = call.takes[index]!
  const { kind } = argument
  const given = registers[r]!
  if (given.kind === "none") path.reject(`R${r} !read_ok`)
  if (kind === "any") return
  if ((given.kind === "packet" || given.kind === "meta") && !(takesPackets.has(call.id) && path.mayReadPacket())) {
    path.reject("helper access to the packet is not allowed")
  }
  if (argument.nullable && isNull(given)) return
  checkKind(path, argument, given, r)
  if (kind === "ringbufRecord" && given.kind !== "anything") checkZeroOffset(path, given, r)
  switch (kind) {
    case "map":
      call.map = given.map
      return
    case "context":
      if (given.kind === "ctx") checkContextOffset(path, given, r)
      return
    case "mapKey":
      if (call.map !== undefined) checkPart(path, given, r, call.map.attributes.keySize, false)
      return
    case "mapValue":
    case "mapValueOut":
      if (call.map !== undefined) checkPart(path, given, r, call.map.attributes.valueSize, kind === "mapValueOut")
      return
    case "read":
    case "write":
    case "readWrite":
      if (argument.size !== undefined) checkFixed(path, given, r, argument.size, kind !== "read")
      return
    case "size":
    case "sizeOrZero":
      return checkSize(path, call, index, registers)
    case "recordSize":
      if (given.kind === "anything") return
      if (!Scalar.isConstant(given.scalar)) path.reject(`R${r} is not a known constant'`)
      path.precise(r)
      call.constant = Scalar.umax(given.scalar)
      return
    case "ringbufRecord":
      call.released = given.reference
      return
    case "spinLock":
    case "timer":
      return checkField(path, given, r, kind === "timer" ? "timer" : "spin_lock")
    case "dynptr":
      call.dynptr = takeDynptr(path, r, given, releasesDynptr.has(call.id))
      return
    case "dynptrOut":
      checkDynptrPlace(path, r, given)
      call.makes = { r, given }
      if (given.kind === "stack") {
        checkAccess(path, given, { register: r, offset: 0, size: 8, write: true, unknown: true })
      }
      if (given.kind === "stack") {
        checkAccess(path, given, { register: r, offset: 8, size: 8, write: true, unknown: true })
      }
      return
    case "constString":
      if (given.kind === "value" && !(given.map!.frozen && (given.map!.attributes.flags & READ_ONLY_PROGRAM) !== 0)) {
        path.reject(`R${r} does not point to a readonly map'`)
      }
      if (given.kind === "value") checkTerminated(path, given)
      return
    default:
  }
}

const releasesDynptr: ReadonlySet<number> = new Set([
  bpf_func_id.BPF_FUNC_ringbuf_submit_dynptr,
  bpf_func_id.BPF_FUNC_ringbuf_discard_dynptr
])

const isPacketPointer = ({ kind }: Register): boolean => kind === "packet" || kind === "meta" || kind === "end"

/** The key of 4 bytes that a pointer into the stack points to, if it is known (get_constant_map_key); Linux 6.15. */
const constantKey = (path: Path, key: Register): number | undefined => {
  if (key.kind !== "stack" || !Scalar.isConstant(key.scalar)) return undefined
  const at = STACK + key.offset + Scalar.valueOf(key.scalar)
  const slot = path.state.frames[key.frame]!.slots[slotIndex(at)]
  if (slot === undefined) return undefined
  const first = byteOfSlot(at)
  let zeros = 0
  for (let byte = first; byte < first + 4; byte++) if (typeAt(slot, byte) === bytes.ZERO) zeros++
  if (zeros === 4) return 0
  // A spill of just these 4 bytes.
  const isWhole = first === 0 && [0, 1, 2, 3].every((byte) => typeAt(slot, byte) === bytes.SPILL) &&
    typeAt(slot, 4) !== bytes.SPILL
  if (!isWhole || slot.register.kind !== "scalar" || !Scalar.isConstant(slot.register.scalar)) return undefined
  return Scalar.umax(slot.register.scalar)
}

const valueOf = (path: Path, map: SimulatedMap, before: ReadonlyArray<Register>): Register => {
  const { attributes } = map
  const { type } = attributes
  if (type === "array_of_maps" || type === "hash_of_maps") return anything
  const holdsValues = map.elements !== undefined || map.storage !== undefined
  if (!holdsValues || type === "sockmap" || type === "sockhash" || type === "xskmap") return anything
  const index = type === "array" || type === "percpu_array" ? constantKey(path, before[2]!) : undefined
  const isThere = index !== undefined && index < attributes.maxEntries
  return pointer("value", { map, nullable: !isThere, id: path.newId() })
}

/** What a helper leaves in r0. */
const result = (path: Path, call: Call, before: ReadonlyArray<Register>): Register => {
  // A tail call comes back only where it failed: the verifier says that it gives nothing.
  if (call.id === bpf_func_id.BPF_FUNC_tail_call) return none
  if (call.prototype.acquires) {
    const id = path.newId()
    addReference(path.state, id, path.state.pc)
    return pointer("memory", { nullable: true, id, reference: id, size: SOCKET_SIZE, writable: false })
  }
  switch (call.prototype.helper.returns.kind) {
    case "void":
      return none
    case "mapValue":
    case "mapValueOrNull": {
      if (call.map === undefined) return anything
      const value = valueOf(path, call.map, before)
      return call.prototype.helper.returns.kind === "mapValue" ? { ...value, nullable: false } : value
    }
    case "ringbufRecordOrNull": {
      const id = path.newId()
      addReference(path.state, id, path.state.pc)
      return pointer("memory", { nullable: true, id, reference: id, size: call.constant ?? 0 })
    }
    case "dynptrDataOrNull": {
      if (call.dynptr === undefined) return anything
      const { id, reference } = call.dynptr
      return pointer("memory", {
        nullable: true,
        id: path.newId(),
        reference,
        dynptr: id,
        size: call.constant ?? 0
      })
    }
    case "integer": {
      const bounded = call.prototype.boundedBy
      if (bounded === undefined) return unknownNumber
      const size = before[bounded + 1]!
      return size.kind === "scalar" && Scalar.umax(size.scalar) < MOST_SIZE
        ? number(Scalar.between(-MAX_ERRNO, Scalar.umax(size.scalar)))
        : unknownNumber
    }
    default:
      return anything
  }
}

/** Gives a reference back: what held it is a number from then on. */
export const release = (path: Path, reference: number): void => {
  if (!dropReference(path.state, reference)) return
  replaceAll(path.state, (register) => register.reference === reference, () => unknownNumber)
}

const lock = (path: Path, id: number): void => {
  const { state } = path
  const locks = id === bpf_func_id.BPF_FUNC_spin_lock
  if (locks && state.locked) path.invalid("Locking two bpf_spin_locks are not allowed")
  if (!locks && !state.locked) path.invalid("bpf_spin_unlock without taking a lock")
  state.locked = locks
}

/** check_const_str(): the text ends within the value. */
const checkTerminated = (path: Path, given: Register): void => {
  if (!Scalar.isConstant(given.scalar)) return
  const value = given.map!.calls.lookup(new Uint8Array(4), () => new Uint8Array(0))
  if (typeof value === "number") return
  const at = given.offset + Scalar.valueOf(given.scalar)
  if (at < 0 || at >= value.length) {
    path.reject(`invalid access to map value, value_size=${value.length} off=${at} size=1`)
  }
  if (!value.subarray(at).includes(0)) path.invalid("string is not zero-terminated")
}

/** check_bpf_snprintf_call(): a format is known when a program is loaded, and so is the number of its values. */
const checkFormat = (path: Path, before: ReadonlyArray<Register>): void => {
  const [, , , given, , size] = before
  if (given?.kind !== "value" || size?.kind !== "scalar" || !Scalar.isConstant(given.scalar)) return
  const umax = Scalar.umax(size.scalar)
  if (umax % 8 !== 0) path.invalid("Invalid size of data")
  const at = given.offset + Scalar.valueOf(given.scalar)
  const value = given.map!.calls.lookup(new Uint8Array(4), () => new Uint8Array(0))
  if (typeof value === "number") return
  const text = Buffer.from(value.subarray(at)).toString("latin1")
  const pieces = parseFormat(text.slice(0, text.indexOf("\0")))
  if (pieces === undefined || conversionsOf(pieces) > umax / 8) path.invalid("Invalid format string")
}

/** What the verifier asks of some helpers alone. */
const checkSpecial = (path: Path, { id, map }: Call, before: ReadonlyArray<Register>): void => {
  switch (id) {
    case bpf_func_id.BPF_FUNC_tail_call:
      if (path.state.references.size > 0) path.invalid("tail_call would lead to reference leak")
      return
    case bpf_func_id.BPF_FUNC_dynptr_from_mem: {
      const given = before[1]!
      if (given.kind === "value" || given.kind === "anything") return
      path.reject(`Unsupported reg type ${nameOf(given)} for bpf_dynptr_from_mem data`)
      return
    }
    case bpf_func_id.BPF_FUNC_snprintf:
      return checkFormat(path, before)
    case bpf_func_id.BPF_FUNC_get_local_storage:
      if (!isNull(before[2]!)) path.invalid("get_local_storage() doesn't support non-zero flags")
      return
    default:
      if (map !== undefined && changesMap.has(id) && (map.attributes.flags & READ_ONLY_PROGRAM) !== 0) {
        path.reject("write into map forbidden")
      }
  }
}

/** Checks a call of a helper and does what it does to the state. */
export const callHelper = (path: Path, id: number): void => {
  const { state } = path
  const { registers } = state.frames.at(-1)!
  if (state.locked && id !== bpf_func_id.BPF_FUNC_spin_unlock) {
    path.invalid("function calls are not allowed while holding a lock")
  }
  const why = whyNotCallable(path.callees, id)
  if (why !== undefined) path.invalid(why)
  const prototype = prototypeOf(id)!
  const { helper } = prototype
  const isLock = id === bpf_func_id.BPF_FUNC_spin_lock || id === bpf_func_id.BPF_FUNC_spin_unlock
  const call: Call = {
    id,
    prototype,
    takes: argumentsFor(prototype, path.callees.caller),
    map: undefined,
    released: 0,
    constant: undefined,
    dynptr: undefined,
    makes: undefined
  }
  for (let index = 0; index < call.takes.length; index++) checkArgument(path, index, registers, call)
  const before = [...registers]
  checkSpecial(path, call, before)
  if (isLock) lock(path, id)
  if (id === bpf_func_id.BPF_FUNC_sk_release && before[1]!.kind !== "anything") {
    call.released = before[1]!.reference
    if (call.released === 0) path.invalid("R1 must be referenced when passed to release function")
  }
  if (call.released !== 0) release(path, call.released)
  if (releasesDynptr.has(id) && call.dynptr !== undefined) {
    dropDynptr(path, call.dynptr.id)
    release(path, call.dynptr.reference)
  }
  if (helper.movesPacket && id !== bpf_func_id.BPF_FUNC_tail_call) {
    replaceAll(state, isPacketPointer, () => unknownNumber)
  }
  if (callbacks.has(id)) disturb(path)
  if (call.makes !== undefined) {
    const reserves = id === bpf_func_id.BPF_FUNC_ringbuf_reserve_dynptr
    const reference = reserves ? path.newId() : 0
    if (reserves) addReference(state, reference, state.pc)
    makeDynptr(path, call.makes.given, call.makes.r, reference)
  }
  registers[0] = result(path, call, before)
  for (let r = 1; r <= 5; r++) registers[r] = none
  const unpassable = call.map === undefined ? undefined : whyNotPassable(path.type, id, call.map.attributes.type)
  if (unpassable !== undefined) path.invalid(unpassable)
}

/** A callback may have written what it was pointed to. */
const disturb = ({ state }: Path): void => {
  for (const frame of state.frames) {
    for (const [at, slot] of frame.slots.entries()) {
      const type = typeAt(slot, 0)
      if (type === bytes.DYNPTR) continue
      setSlot(frame, at, { register: anything, types: allOf(bytes.SPILL) })
    }
  }
}
