/**
 * Pieces of programs that most programs need: places on the stack, fields of a `Layout`, bounds checks of packets, maps,
 * ring buffers, memory of processes and of the kernel. Each gives back items for `ProgramSpec`, so that no offset is
 * counted by hand, and each is what one would write with `Asm`.
 *
 * Those that call a helper destroy `r0` to `r5`, as every call does: keep what you need in `r6` to `r9`. Mistakes, such as
 * a field that a layout has not, are reported by `Asm.assemble` with the line of the call.
 *
 * @example
 * ```ts
 * import { Asm, Layout, ProgramSpec, Snippets } from "effect-ebpf"
 *
 * const Event = Layout.struct({ pid: Layout.u32, comm: Layout.cstring(16) })
 *
 * const onExec = ProgramSpec.make({
 *   type: "tracepoint",
 *   name: "on_exec",
 *   instructions: [
 *     Snippets.ringbufReserve("events", Event, "full"), // r0 is the record
 *     Asm.mov("r6", "r0"),
 *     Asm.call("get_current_pid_tgid"),
 *     Asm.rsh("r0", 32),
 *     Snippets.writeField("r6", Event, "pid", "r0"),
 *     Asm.mov("r1", "r6"),
 *     Asm.add("r1", 4),
 *     Asm.mov("r2", 16),
 *     Asm.call("get_current_comm"),
 *     Snippets.ringbufSubmit("r6"),
 *     Asm.label("full"),
 *     Asm.mov("r0", 0),
 *     Asm.exit()
 *   ]
 * })
 * ```
 */
import { type Check, checkGiven, type Checks, readGiven, type Wrong } from "../abi/given.ts"
import { __sk_buff, xdp_md } from "../abi/generated/structs.ts"
import { isLayout, type Layout, type Type } from "../layout/Layout.ts"
import { add, mov, mov32 } from "./internal/arithmetic.ts"
import { atomicAdd } from "./internal/atomics.ts"
import { call, type Helper, jeq, jgt } from "./internal/control.ts"
import type { Item } from "./internal/item.ts"
import type { Range } from "./immediates.ts"
import { type Fault, isBetween, show } from "./internal/check.ts"
import { AsmError } from "./internal/error.ts"
import { faulty, mistake, read, write } from "./internal/layoutField.ts"
import { ldMapFd, ldMapValue, ldxw, type MapOperand, stdw } from "./internal/memory.ts"
import { isRegister, type Register } from "./internal/operand.ts"
import { type Builder, sequence } from "./internal/source.ts"

/** What is wrong with an operand of a snippet, if anything. */
type Checked = Fault | undefined

/** The items of a snippet whose operands are right; else the first that is wrong, for `assemble` to report. */
const snippet = (builder: Builder, checks: ReadonlyArray<(of: string) => Checked>, make: () => Item): Item =>
  sequence(builder, () => {
    for (const check of checks) {
      const wrong = check(builder.name)
      if (wrong !== undefined) return faulty(wrong)
    }
    return make()
  }, "Snippets")

const wrongOperand = (name: string, expected: string, actual: unknown) => (of: string): Fault => ({
  operand: `${name} of ${of}`,
  expected,
  actual: show(actual)
})

const right = (): undefined => undefined

/** Flags and lengths: what an immediate of a 64-bit move holds. */
const integer = (name: string, value: unknown, [minimum, maximum]: Range) =>
  isBetween(value, [minimum, maximum]) ? right : wrongOperand(name, `an integer from ${minimum} to ${maximum}`, value)

const flagsOf = (value: unknown) => integer("flags", value, [0, 0x7fffffff])

const registerOf = (name: string, value: unknown) =>
  isRegister(value) ? right : wrongOperand(name, "a register r0 to r10", value)

/** An index, in a register or as an immediate of a 64-bit move. */
const indexOf = (value: unknown) => isRegister(value) ? right : integer("index", value, [0, 0x7fffffff])

const labelOf = (name: string, value: unknown) =>
  typeof value === "string" && value !== "" ? right : wrongOperand(name, "the name of a label", value)

// ---------------------------------------------------------------- the stack

/** A place on the stack: `size` bytes at `r10 + offset`, aligned to 8. */
export interface StackSlot<in out A> {
  readonly offset: number
  readonly size: number
  readonly layout: Layout<A>
}

/** The stack of a function, MAX_BPF_STACK in the kernel's `include/linux/filter.h`. */
const STACK_SIZE = 512

const roundUp = (size: number): number => Math.ceil(size / 8) * 8

/** Where a set of places begins. */
export interface StackOptions {
  /** The offset from `r10` that it is below, at most 0: that of the last place of another set. */
  readonly below?: number
}

const stackChecks: Checks<StackOptions> = {
  below: { expected: "an integer of at most 0", accepts: (value) => isBetween(value, [-0x80000000, 0]) }
}

const aSetOfLayouts: Check = {
  expected: "an object of Layouts",
  accepts: (value) => typeof value === "object" && value !== null && Object.values(value).every(isLayout)
}

const unfit = ({ actual, expected, field }: Wrong): AsmError =>
  new AsmError({ index: 0, operand: field, expected, actual, cure: undefined, location: undefined })

/**
 * Places on the stack for values of layouts, by name: `stack({ key: Layout.u32, event: Event })`. They begin at the top of
 * the stack, 8-byte aligned, and do not overlap; a program uses one such set, or counts on after another by `below`.
 *
 * Throws `AsmError` for what is no layout, and for an option that is none or no offset.
 */
export const stack = <const L extends { readonly [name: string]: Layout<any> }>(
  layouts: L,
  options?: StackOptions
): { readonly [K in keyof L]: StackSlot<Type<L[K]>> } => {
  let { below: offset = 0 } = readGiven("options of stack", options, stackChecks, unfit)
  checkGiven("layouts", layouts, aSetOfLayouts, unfit)
  const slots = Object.entries(layouts).map(([name, layout]) => {
    offset -= roundUp(layout.size)
    return [name, { offset, size: layout.size, layout }]
  })
  return Object.fromEntries(slots) as { readonly [K in keyof L]: StackSlot<Type<L[K]>> }
}

const onStack = (slot: StackSlot<any>, make: () => Item): Item =>
  slot.offset < -STACK_SIZE ? mistake(`at most ${STACK_SIZE} bytes of stack`, `${-slot.offset} bytes`) : make()

/** A slot as `stack` makes them: below the frame pointer, and with a size. */
const slotOf = (name: string, slot: StackSlot<any>) => {
  try {
    return partsOf(name, slot)
  } catch {
    return wrongOperand(name, "a place that stack() gave", slot) // a Proxy, or a getter
  }
}

const partsOf = (name: string, slot: StackSlot<any>) => {
  if (typeof slot !== "object" || slot === null) return wrongOperand(name, "a place that stack() gave", slot)
  const { offset, size } = slot
  if (!isBetween(size, [1, STACK_SIZE])) return wrongOperand(`size of the ${name}`, `1 to ${STACK_SIZE} bytes`, size)
  return isBetween(offset, [-0x80000000, -size])
    ? right
    : wrongOperand(`offset of the ${name}`, `an integer of at most ${-size}, which is below r10`, offset)
}

const pointTo = (dst: Register, slot: StackSlot<any>): Item =>
  onStack(slot, () => [mov(dst, "r10"), add(dst, slot.offset)])

const clear = (slot: StackSlot<any>): Item =>
  onStack(slot, () => Array.from({ length: roundUp(slot.size) / 8 }, (_, i) => stdw("r10", slot.offset + i * 8, 0)))

/** `dst` = the address of a place on the stack. */
export const addressOf = (dst: Register, slot: StackSlot<any>): Item =>
  snippet(addressOf, [registerOf("dst", dst), slotOf("slot", slot)], () => pointTo(dst, slot))

/** Zeroes a place on the stack, padding and all: the verifier wants it written before a helper reads it. */
export const zero = (slot: StackSlot<any>): Item => snippet(zero, [slotOf("slot", slot)], () => clear(slot))

const valuesOf = (values: unknown) =>
  typeof values === "object" && values !== null ? right : wrongOperand("values", "an object of fields", values)

/** What fields of a struct are set to: registers or numbers, by name or by path. */
export type Values = { readonly [path: string]: Register | number | bigint }

/**
 * Zeroes a place on the stack and sets fields of it. Numbers must fit in 32 bits; larger ones go through a register
 * (`Asm.lddw`). A register for a big-endian field destroys `r0`.
 */
export const storeStruct = (slot: StackSlot<any>, values: Values): Item =>
  snippet(storeStruct, [slotOf("slot", slot), valuesOf(values)], () => [
    clear(slot),
    Object.entries(values).map(([path, value]) => write("r10", slot.offset, slot.layout, path, value))
  ])

/** Sets a place on the stack that holds a scalar, as map keys often are. */
export const store = (slot: StackSlot<any>, value: Register | number | bigint): Item =>
  snippet(store, [slotOf("slot", slot)], () => [clear(slot), write("r10", slot.offset, slot.layout, "", value)])

/** `dst` = a scalar on the stack, or a field of a struct there. */
export const load = (dst: Register, slot: StackSlot<any>, path = ""): Item =>
  snippet(
    load,
    [registerOf("dst", dst), slotOf("slot", slot)],
    () => onStack(slot, () => read(dst, "r10", slot.offset, slot.layout, path))
  )

// ---------------------------------------------------------------- fields

/**
 * `dst` = a field of the struct at the address in `base`: an integer, boolean, enumeration or bit-field, in 64 bits with
 * its sign, in the processor's byte order. A path such as `"header.length"` leads into nested structs.
 */
export const readField = (dst: Register, base: Register, layout: Layout<any>, path: string): Item =>
  snippet(readField, [registerOf("dst", dst), registerOf("base", base)], () => read(dst, base, 0, layout, path))

/**
 * Sets a field of the struct at the address in `base` to a register, or to a number of up to 32 bits. A register for a
 * big-endian field destroys `r0`.
 */
export const writeField = (
  base: Register,
  layout: Layout<any>,
  path: string,
  value: Register | number | bigint
): Item => snippet(writeField, [registerOf("base", base)], () => write(base, 0, layout, path, value))

// ---------------------------------------------------------------- packets

/** The contexts that have the packet's ends. */
const packetFields = { xdp: xdp_md.fields, skb: __sk_buff.fields } as const

/** The registers that the packet's ends are put into, and how much of it is looked for. */
export interface PacketOptions {
  readonly context: "xdp" | "skb"
  /** The register that holds the context. */
  readonly from: Register
  readonly data: Register
  readonly end: Register
  readonly length: number
  readonly otherwise: string
}

const aRegister: Check = { expected: "a register r0 to r10", accepts: isRegister, required: true }

const packetChecks: Checks<PacketOptions> = {
  context: {
    expected: "\"xdp\" or \"skb\"",
    accepts: (value) => typeof value === "string" && Object.hasOwn(packetFields, value),
    required: true
  },
  from: aRegister,
  data: aRegister,
  end: aRegister,
  length: {
    expected: "an integer from 0 to 2147483647",
    accepts: (value) => isBetween(value, [0, 0x7fffffff]),
    required: true
  },
  otherwise: {
    expected: "the name of a label",
    accepts: (value) => typeof value === "string" && value !== "",
    required: true
  }
}

/**
 * `data` and `end` = the ends of the packet, and a jump to the label `otherwise` if it has less than `length` bytes: the
 * bounds check that the verifier wants before a packet is read. `context` is `"xdp"` for XDP programs, and `"skb"` for
 * those that take a `struct __sk_buff` and may read packets directly (`sched_cls` and its like). It destroys `r0`.
 */
export const packet = (options: PacketOptions): Item =>
  sequence(packet, () => {
    const read = readOr(options ?? null, packetChecks)
    if ("fault" in read) return faulty(read.fault)
    const { context, data, end, from, length, otherwise } = read
    if (data === end || data === "r0" || end === "r0") return mistake("two registers beside r0", `${data} and ${end}`)
    const fields = packetFields[context]
    const loads = [ldxw(data, from, fields.data.offset), ldxw(end, from, fields.data_end.offset)]
    return [
      data === from ? loads.toReversed() : loads, // the context is needed for both
      mov("r0", data),
      add("r0", length),
      jgt("r0", end, otherwise)
    ]
  }, "Snippets")

/** The options of a snippet, or what is wrong with them. */
const readOr = <O extends object>(given: unknown, checks: Checks<O>): O | { readonly fault: Fault } => {
  try {
    return readGiven("options", given, checks, unfitFor(packet))
  } catch (error) {
    if (error instanceof AsmError) {
      return { fault: { operand: error.operand, expected: error.expected, actual: error.actual } }
    }
    throw error
  }
}

const unfitFor = ({ name }: Builder) => ({ actual, expected, field }: Wrong): AsmError =>
  unfit({ field: `${field} of ${name}`, expected, actual })

// ---------------------------------------------------------------- maps

/** `r0` = the address of the value for the key on the stack, or a jump to the label `otherwise` if there is none. */
export const mapLookup = (map: MapOperand, key: StackSlot<any>, otherwise: string): Item =>
  snippet(mapLookup, [slotOf("key", key), labelOf("otherwise", otherwise)], () => [
    ldMapFd("r1", map),
    pointTo("r2", key),
    call("map_lookup_elem"),
    jeq("r0", 0, otherwise)
  ])

/** Sets the value for the key, both on the stack; `r0` = 0, or `-errno`. `flags` are `BPF_ANY` and its sisters. */
export const mapUpdate = (map: MapOperand, key: StackSlot<any>, value: StackSlot<any>, flags = 0): Item =>
  snippet(mapUpdate, [slotOf("key", key), slotOf("value", value), flagsOf(flags)], () => [
    ldMapFd("r1", map),
    pointTo("r2", key),
    pointTo("r3", value),
    mov("r4", flags),
    call("map_update_elem")
  ])

/** Deletes the value for the key on the stack; `r0` = 0, or `-errno`. */
export const mapDelete = (map: MapOperand, key: StackSlot<any>): Item =>
  snippet(mapDelete, [slotOf("key", key)], () => [ldMapFd("r1", map), pointTo("r2", key), call("map_delete_elem")])

/** Goes on in another program, that in the map at `index`, and never comes back; or goes on here, if there is none. */
export const tailCall = (context: Register, map: MapOperand, index: Register | number): Item =>
  snippet(
    tailCall,
    [registerOf("context", context), indexOf(index)],
    () => [argumentsOf(context, index), ldMapFd("r2", map), call("tail_call")]
  )

/** `r1 = first` and `r3 = third`, whichever registers they are. */
const argumentsOf = (first: Register, third: Register | number): Item => {
  if (third !== "r1") return [mov("r1", first), mov("r3", third)]
  return first === "r3"
    ? [mov("r0", "r1"), mov("r1", "r3"), mov("r3", "r0")]
    : [mov("r3", "r1"), mov("r1", first)]
}

// ---------------------------------------------------------------- events

/**
 * `r0` = the address of a new record of a ring buffer, not yet visible, or a jump to the label `otherwise` if it is full.
 * Every path must then submit or discard it. Its bytes are those of older records until they are written. Kernel 5.8.
 */
export const ringbufReserve = (map: MapOperand, layout: { readonly size: number }, otherwise: string): Item =>
  snippet(ringbufReserve, [sizeOf(layout), labelOf("otherwise", otherwise)], () => [
    ldMapFd("r1", map),
    mov("r2", layout.size),
    mov("r3", 0),
    call("ringbuf_reserve"),
    jeq("r0", 0, otherwise)
  ])

const sizeOf = (layout: { readonly size: number }) => {
  try {
    return integer("size of the layout", (layout as { readonly size: number } | undefined)?.size, [1, 0x7fffffff])
  } catch {
    return wrongOperand("layout", "a Layout", layout)
  }
}

const finish = (helper: Helper, record: Register, flags: number): Item => [
  mov("r1", record),
  mov("r2", flags),
  call(helper)
]

/** Makes a reserved record visible to the reader. `flags` are `BPF_RB_NO_WAKEUP` (1) and `BPF_RB_FORCE_WAKEUP` (2). */
export const ringbufSubmit = (record: Register, flags = 0): Item =>
  snippet(ringbufSubmit, [registerOf("record", record), flagsOf(flags)], () => finish("ringbuf_submit", record, flags))

/** Gives a reserved record up. */
export const ringbufDiscard = (record: Register, flags = 0): Item =>
  snippet(
    ringbufDiscard,
    [registerOf("record", record), flagsOf(flags)],
    () => finish("ringbuf_discard", record, flags)
  )

/** Copies a value from the stack into a ring buffer; `r0` = 0, or `-errno`. Kernel 5.8. */
export const ringbufOutput = (map: MapOperand, value: StackSlot<any>, flags = 0): Item =>
  snippet(ringbufOutput, [slotOf("value", value), flagsOf(flags)], () => [
    ldMapFd("r1", map),
    pointTo("r2", value),
    mov("r3", value.size),
    mov("r4", flags),
    call("ringbuf_output")
  ])

/**
 * Adds 1 to the count of 8 bytes at `offset` of the one value of an array map: what a program does with an event that found no
 * room, since nobody else learns of it. It changes `r1` and `r2`. Kernel 5.2.
 *
 * @example
 * ```ts
 * import { ArrayMap, Asm, Layout, Snippets } from "effect-ebpf"
 *
 * const lost = ArrayMap.define({ name: "lost", value: Layout.u64, maxEntries: 1 })
 *
 * const instructions = [
 *   Snippets.ringbufReserve("events", Layout.u32, "full"),
 *   Asm.stw("r0", 0, 1),
 *   Snippets.ringbufSubmit("r0"),
 *   Asm.ja("out"),
 *   Asm.label("full"),
 *   Snippets.countLost("lost"), // later: yield* lost.lookup(0)
 *   Asm.label("out"),
 *   Asm.mov("r0", 0),
 *   Asm.exit()
 * ]
 * ```
 */
export const countLost = (map: MapOperand, offset = 0): Item =>
  snippet(countLost, [integer("offset", offset, [0, 0x7fffffff])], () => [
    ldMapValue("r1", map, offset),
    mov("r2", 1),
    atomicAdd("r1", 0, "r2")
  ])

/** Copies a value from the stack into this CPU's perf buffer; `context` holds the program's. `r0` = 0, or `-errno`. */
export const perfOutput = (context: Register, map: MapOperand, value: StackSlot<any>): Item =>
  snippet(perfOutput, [registerOf("context", context), slotOf("value", value)], () => [
    mov("r1", context),
    ldMapFd("r2", map),
    mov32("r3", -1), // BPF_F_CURRENT_CPU
    pointTo("r4", value),
    mov("r5", value.size),
    call("perf_event_output")
  ])

// ---------------------------------------------------------------- memory of others

const probing = (builder: Builder, helper: Helper, slot: StackSlot<any>, address: Register): Item =>
  snippet(builder, [slotOf("slot", slot), registerOf("address", address)], () => [
    mov("r3", address),
    pointTo("r1", slot),
    mov("r2", slot.size),
    call(helper)
  ])

/** Copies memory of the kernel at `address` to a place on the stack; `r0` = 0, or `-errno` and zeros there. Kernel 5.5. */
export const probeReadKernel = (slot: StackSlot<any>, address: Register): Item =>
  probing(probeReadKernel, "probe_read_kernel", slot, address)

/** Copies memory of the current process to a place on the stack; `r0` = 0, or `-errno` and zeros there. Kernel 5.5. */
export const probeReadUser = (slot: StackSlot<any>, address: Register): Item =>
  probing(probeReadUser, "probe_read_user", slot, address)

/** Copies a string of the kernel with its NUL, cut to the place; `r0` = its length with NUL, or `-errno`. Kernel 5.5. */
export const probeReadKernelString = (slot: StackSlot<any>, address: Register): Item =>
  probing(probeReadKernelString, "probe_read_kernel_str", slot, address)

/** Copies a string of the process with its NUL, cut to the place; `r0` = its length with NUL, or `-errno`. Kernel 5.5. */
export const probeReadUserString = (slot: StackSlot<any>, address: Register): Item =>
  probing(probeReadUserString, "probe_read_user_str", slot, address)
