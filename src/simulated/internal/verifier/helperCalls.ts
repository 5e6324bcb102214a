// Calls of helpers: what they are given, and what is known after them.
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import { mapTypes } from "../../../abi/names.ts"
import { helperNameOf } from "../../../isa/print.ts"
import type { SimulatedMap } from "../maps.ts"
import { checkAccess } from "./memoryAccess.ts"
import type { Path } from "./path.ts"
import { callbacks, type Prototype, prototypeOf } from "./prototypes.ts"
import * as Scalar from "./scalar.ts"
import { anything, nameOf, none, number, pointer, type Register, replaceAll, STACK, unknownNumber } from "./state.ts"

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

const checkMemory = (
  path: Path,
  registers: ReadonlyArray<Register>,
  r: number,
  letter: string,
  sizeLetter: string
): void => {
  const sizeAt = r + 1
  const given = registers[r]!
  const size = registers[sizeAt]
  const write = letter === "w" || letter === "W"
  if ((letter === "R" || letter === "W") && isNull(given)) return
  if (!isMemory(given)) {
    path.reject(
      `R${r} type=${nameOf(given)} expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_`
    )
  }
  if (size === undefined || size.kind === "anything") return
  if (size.kind === "none") path.reject(`R${sizeAt} !read_ok`)
  if (size.kind !== "scalar") path.reject(`R${sizeAt} type=${nameOf(size)} expected=scalar`)
  const { smin, umax, umin } = size.scalar.wide
  if (smin < 0n) path.reject(`R${sizeAt} min value is negative, either use unsigned or 'var &= const'`)
  if (umin === 0n && sizeLetter !== "z") path.reject(`R${sizeAt} invalid zero-sized read: u64=[0,${umax}]`)
  if (umax >= MOST_SIZE) {
    path.reject(`R${sizeAt} unbounded memory access, use 'var &= const' or 'if (var < const)'`)
  }
  if (umax > 0n) checkAccess(path, given, { register: r, offset: 0, size: Number(umax), write, argument: true })
}

const checkFixed = (path: Path, given: Register, r: number, size: number, write: boolean): void => {
  if (!isMemory(given)) {
    path.reject(
      `R${r} type=${nameOf(given)} expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_`
    )
  }
  if (size > 0) checkAccess(path, given, { register: r, offset: 0, size, write, argument: true })
}

const checkRecord = (path: Path, given: Register, r: number): number => {
  if (given.kind === "anything") return 0
  if (given.kind !== "memory" || given.reference === 0 || given.nullable) {
    path.reject(`R${r} type=${nameOf(given)} expected=ringbuf_mem`)
  }
  if (given.offset !== 0 || !Scalar.isConstant(given.scalar) || given.scalar.tnum.value !== 0n) {
    path.reject(`R${r} must have zero offset when passed to release func or trusted arg to kfunc`)
  }
  return given.reference
}

const checkArgument = (
  path: Path,
  prototype: Prototype,
  index: number,
  registers: ReadonlyArray<Register>,
  call: Call
): void => {
  const r = index + 1
  const letter = prototype.arguments[index]!
  const given = registers[r]!
  const expected = (what: string): never => path.reject(`R${r} type=${nameOf(given)} expected=${what}`)
  if (given.kind === "none") path.reject(`R${r} !read_ok`)
  switch (letter) {
    case "m":
      if (given.kind === "anything") return
      if (given.kind !== "map" || given.nullable) expected("map_ptr")
      call.map = given.map
      return
    case "k":
      if (call.map !== undefined) checkFixed(path, given, r, call.map.attributes.keySize, false)
      return
    case "v":
    case "V":
      if (call.map !== undefined) checkFixed(path, given, r, call.map.attributes.valueSize, letter === "V")
      return
    case "r":
    case "R":
    case "w":
    case "W":
      return checkMemory(path, registers, r, letter, prototype.arguments[index + 1] ?? "s")
    case "c":
      if (given.kind !== "ctx" && given.kind !== "anything") expected("ctx")
      return
    case "f":
      if (given.kind !== "function" && given.kind !== "anything") expected("func")
      return
    case "t":
      call.released = checkRecord(path, given, r)
      return
    case "n":
      if (given.kind === "anything") return
      if (given.kind !== "scalar" || !Scalar.isConstant(given.scalar)) path.invalid(`R${r} is not a known constant'`)
      call.constant = given.scalar.tnum.value
      return
    case "l":
      if (given.kind !== "value" && given.kind !== "anything") expected("map_value")
      return
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
  switch (prototype?.returns) {
    case "value": {
      if (call.map === undefined) return anything
      const { type } = call.map.attributes
      if (type === "array_of_maps" || type === "hash_of_maps") return anything
      const holdsValues = call.map.elements !== undefined || call.map.storage !== undefined
      if (!holdsValues || type === "sockmap" || type === "sockhash" || type === "xskmap") return anything
      const index = constantKey(path, before[2]!)
      const isThere = (type === "array" || type === "percpu_array") && index !== undefined &&
        index < BigInt(call.map.attributes.maxEntries)
      return pointer("value", { map: call.map, nullable: !isThere, id: path.newId() })
    }
    case "record": {
      const id = path.newId()
      path.state.references.set(id, path.state.pc)
      return pointer("memory", { nullable: true, id, reference: id, size: Number(call.constant ?? 0n) })
    }
    case "number": {
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
  const prototype = prototypeOf(id)
  const call: Call = { map: undefined, released: 0, constant: undefined }
  const isLock = id === bpf_func_id.BPF_FUNC_spin_lock || id === bpf_func_id.BPF_FUNC_spin_unlock
  if (state.locked && !isLock) path.invalid("function calls are not allowed while holding a lock")
  for (let index = 0; index < (prototype?.arguments.length ?? 0); index++) {
    checkArgument(path, prototype!, index, registers, call)
  }
  if (call.map !== undefined) checkMap(path, id, call.map)
  if (isLock) lock(path, id)
  if (id === bpf_func_id.BPF_FUNC_tail_call && state.references.size > 0) {
    path.invalid("tail_call would lead to reference leak")
  }
  const before = [...registers]
  if (call.released !== 0) release(path, call.released)
  if (prototype?.movesPacket === true) replaceAll(state, isPacketPointer, () => unknownNumber)
  if (callbacks.has(id) || prototype === undefined) disturb(path)
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

const ringHelpers = new Map<number, string>([
  [bpf_func_id.BPF_FUNC_ringbuf_output, "ringbuf"],
  [bpf_func_id.BPF_FUNC_ringbuf_reserve, "ringbuf"],
  [bpf_func_id.BPF_FUNC_ringbuf_query, "ringbuf"],
  [bpf_func_id.BPF_FUNC_perf_event_output, "perf_event_array"],
  [bpf_func_id.BPF_FUNC_tail_call, "prog_array"],
  [bpf_func_id.BPF_FUNC_get_stackid, "stack_trace"],
  [bpf_func_id.BPF_FUNC_user_ringbuf_drain, "user_ringbuf"]
])

/** Kinds of map that only certain helpers take (check_map_func_compatibility). */
const reserved: ReadonlySet<string> = new Set([
  "prog_array",
  "perf_event_array",
  "stack_trace",
  "ringbuf",
  "user_ringbuf",
  "cgroup_array"
])

const checkMap = (path: Path, id: number, map: SimulatedMap): void => {
  const wanted = ringHelpers.get(id)
  const { type } = map.attributes
  const generic = id === bpf_func_id.BPF_FUNC_map_lookup_elem || id === bpf_func_id.BPF_FUNC_map_update_elem ||
    id === bpf_func_id.BPF_FUNC_map_delete_elem
  const bad = wanted === undefined ? generic && reserved.has(type) && !(type === "stack_trace") : wanted !== type
  if (bad) path.invalid(`cannot pass map_type ${mapTypes[type]} into func ${helperNameOf(id)}#${id}`)
}
