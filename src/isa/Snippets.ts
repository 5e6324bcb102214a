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
import type { Layout, Type } from "../layout/Layout.ts"
import { add, mov, mov32 } from "./internal/arithmetic.ts"
import { call, type Helper, jeq, jgt } from "./internal/control.ts"
import type { Item } from "./internal/item.ts"
import { mistake, read, write } from "./internal/layoutField.ts"
import { ldMapFd, ldxw, type MapOperand, stdw } from "./internal/memory.ts"
import type { Register } from "./internal/operand.ts"
import { type Builder, sequence } from "./internal/source.ts"

const snippet = (builder: Builder, make: () => Item): Item => sequence(builder, make, "Snippets")

// ---------------------------------------------------------------- the stack

/** A place on the stack: `size` bytes at `r10 + offset`, aligned to 8. */
export interface Slot<in out A> {
  readonly offset: number
  readonly size: number
  readonly layout: Layout<A>
}

/** The stack of a function, MAX_BPF_STACK in the kernel's `include/linux/filter.h`. */
const STACK_SIZE = 512

const roundUp = (size: number): number => Math.ceil(size / 8) * 8

/**
 * Places on the stack for values of layouts, by name: `stack({ key: Layout.u32, event: Event })`. They begin at the top of
 * the stack, 8-byte aligned, and do not overlap; a program uses one such set, or counts on after another by `below`.
 */
export const stack = <const L extends { readonly [name: string]: Layout<any> }>(
  layouts: L,
  options?: { readonly below?: number }
): { readonly [K in keyof L]: Slot<Type<L[K]>> } => {
  let offset = options?.below ?? 0
  const slots = Object.entries(layouts).map(([name, layout]) => {
    offset -= roundUp(layout.size)
    return [name, { offset, size: layout.size, layout }]
  })
  return Object.fromEntries(slots) as { readonly [K in keyof L]: Slot<Type<L[K]>> }
}

const onStack = (slot: Slot<any>, make: () => Item): Item =>
  slot.offset < -STACK_SIZE ? mistake(`at most ${STACK_SIZE} bytes of stack`, `${-slot.offset} bytes`) : make()

const pointTo = (dst: Register, slot: Slot<any>): Item => onStack(slot, () => [mov(dst, "r10"), add(dst, slot.offset)])

const clear = (slot: Slot<any>): Item =>
  onStack(slot, () => Array.from({ length: roundUp(slot.size) / 8 }, (_, i) => stdw("r10", slot.offset + i * 8, 0)))

/** `dst` = the address of a place on the stack. */
export const addressOf = (dst: Register, slot: Slot<any>): Item => snippet(addressOf, () => pointTo(dst, slot))

/** Zeroes a place on the stack, padding and all: the verifier wants it written before a helper reads it. */
export const zero = (slot: Slot<any>): Item => snippet(zero, () => clear(slot))

/** What fields of a struct are set to: registers or numbers, by name or by path. */
export type Values = { readonly [path: string]: Register | number | bigint }

/**
 * Zeroes a place on the stack and sets fields of it. Numbers must fit in 32 bits; larger ones go through a register
 * (`Asm.lddw`). A register for a big-endian field destroys `r0`.
 */
export const storeStruct = (slot: Slot<any>, values: Values): Item =>
  snippet(storeStruct, () => [
    clear(slot),
    Object.entries(values).map(([path, value]) => write("r10", slot.offset, slot.layout, path, value))
  ])

/** Sets a place on the stack that holds a scalar, as map keys often are. */
export const store = (slot: Slot<any>, value: Register | number | bigint): Item =>
  snippet(store, () => [clear(slot), write("r10", slot.offset, slot.layout, "", value)])

/** `dst` = a scalar on the stack, or a field of a struct there. */
export const load = (dst: Register, slot: Slot<any>, path = ""): Item =>
  snippet(load, () => onStack(slot, () => read(dst, "r10", slot.offset, slot.layout, path)))

// ---------------------------------------------------------------- fields

/**
 * `dst` = a field of the struct at the address in `base`: an integer, boolean, enumeration or bit-field, in 64 bits with
 * its sign, in the processor's byte order. A path such as `"header.length"` leads into nested structs.
 */
export const readField = (dst: Register, base: Register, layout: Layout<any>, path: string): Item =>
  snippet(readField, () => read(dst, base, 0, layout, path))

/**
 * Sets a field of the struct at the address in `base` to a register, or to a number of up to 32 bits. A register for a
 * big-endian field destroys `r0`.
 */
export const writeField = (
  base: Register,
  layout: Layout<any>,
  path: string,
  value: Register | number | bigint
): Item => snippet(writeField, () => write(base, 0, layout, path, value))

// ---------------------------------------------------------------- packets

/** Where the contexts have the packet's ends: `struct xdp_md` and `struct __sk_buff` of `include/uapi/linux/bpf.h`. */
const packetFields = {
  xdp: { data: 0, end: 4 },
  skb: { data: 76, end: 80 }
} as const

/**
 * `data` and `end` = the ends of the packet, and a jump to the label `otherwise` if it has less than `length` bytes: the
 * bounds check that the verifier wants before a packet is read. `context` is `"xdp"` for XDP programs, and `"skb"` for
 * those that take a `struct __sk_buff` and may read packets directly (`sched_cls` and its like). It destroys `r0`.
 */
export const packet = (options: {
  readonly context: "xdp" | "skb"
  /** The register that holds the context. */
  readonly from: Register
  readonly data: Register
  readonly end: Register
  readonly length: number
  readonly otherwise: string
}): Item =>
  snippet(packet, () => {
    const { context, data, end, from, length, otherwise } = options
    if (data === end || data === "r0" || end === "r0") return mistake("two registers beside r0", `${data} and ${end}`)
    const fields = packetFields[context]
    const loads = [ldxw(data, from, fields.data), ldxw(end, from, fields.end)]
    return [
      data === from ? loads.toReversed() : loads, // the context is needed for both
      mov("r0", data),
      add("r0", length),
      jgt("r0", end, otherwise)
    ]
  })

// ---------------------------------------------------------------- maps

/** `r0` = the address of the value for the key on the stack, or a jump to the label `otherwise` if there is none. */
export const mapLookup = (map: MapOperand, key: Slot<any>, otherwise: string): Item =>
  snippet(mapLookup, () => [
    ldMapFd("r1", map),
    pointTo("r2", key),
    call("map_lookup_elem"),
    jeq("r0", 0, otherwise)
  ])

/** Sets the value for the key, both on the stack; `r0` = 0, or `-errno`. `flags` are `BPF_ANY` and its sisters. */
export const mapUpdate = (map: MapOperand, key: Slot<any>, value: Slot<any>, flags = 0): Item =>
  snippet(mapUpdate, () => [
    ldMapFd("r1", map),
    pointTo("r2", key),
    pointTo("r3", value),
    mov("r4", flags),
    call("map_update_elem")
  ])

/** Deletes the value for the key on the stack; `r0` = 0, or `-errno`. */
export const mapDelete = (map: MapOperand, key: Slot<any>): Item =>
  snippet(mapDelete, () => [ldMapFd("r1", map), pointTo("r2", key), call("map_delete_elem")])

/** Goes on in another program, that in the map at `index`, and never comes back; or goes on here, if there is none. */
export const tailCall = (context: Register, map: MapOperand, index: Register | number): Item =>
  snippet(tailCall, () => [argumentsOf(context, index), ldMapFd("r2", map), call("tail_call")])

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
  snippet(ringbufReserve, () => [
    ldMapFd("r1", map),
    mov("r2", layout.size),
    mov("r3", 0),
    call("ringbuf_reserve"),
    jeq("r0", 0, otherwise)
  ])

const finish = (helper: Helper, record: Register, flags: number): Item => [
  mov("r1", record),
  mov("r2", flags),
  call(helper)
]

/** Makes a reserved record visible to the reader. `flags` are `BPF_RB_NO_WAKEUP` (1) and `BPF_RB_FORCE_WAKEUP` (2). */
export const ringbufSubmit = (record: Register, flags = 0): Item =>
  snippet(ringbufSubmit, () => finish("ringbuf_submit", record, flags))

/** Gives a reserved record up. */
export const ringbufDiscard = (record: Register, flags = 0): Item =>
  snippet(ringbufDiscard, () => finish("ringbuf_discard", record, flags))

/** Copies a value from the stack into a ring buffer; `r0` = 0, or `-errno`. Kernel 5.8. */
export const ringbufOutput = (map: MapOperand, value: Slot<any>, flags = 0): Item =>
  snippet(ringbufOutput, () => [
    ldMapFd("r1", map),
    pointTo("r2", value),
    mov("r3", value.size),
    mov("r4", flags),
    call("ringbuf_output")
  ])

/** Copies a value from the stack into this CPU's perf buffer; `context` holds the program's. `r0` = 0, or `-errno`. */
export const perfOutput = (context: Register, map: MapOperand, value: Slot<any>): Item =>
  snippet(perfOutput, () => [
    mov("r1", context),
    ldMapFd("r2", map),
    mov32("r3", -1), // BPF_F_CURRENT_CPU
    pointTo("r4", value),
    mov("r5", value.size),
    call("perf_event_output")
  ])

// ---------------------------------------------------------------- memory of others

const probe = (helper: Helper, slot: Slot<any>, address: Register): Item => [
  mov("r3", address),
  pointTo("r1", slot),
  mov("r2", slot.size),
  call(helper)
]

/** Copies memory of the kernel at `address` to a place on the stack; `r0` = 0, or `-errno` and zeros there. Kernel 5.5. */
export const probeReadKernel = (slot: Slot<any>, address: Register): Item =>
  snippet(probeReadKernel, () => probe("probe_read_kernel", slot, address))

/** Copies memory of the current process to a place on the stack; `r0` = 0, or `-errno` and zeros there. Kernel 5.5. */
export const probeReadUser = (slot: Slot<any>, address: Register): Item =>
  snippet(probeReadUser, () => probe("probe_read_user", slot, address))

/** Copies a string of the kernel with its NUL, cut to the place; `r0` = its length with NUL, or `-errno`. Kernel 5.5. */
export const probeReadKernelString = (slot: Slot<any>, address: Register): Item =>
  snippet(probeReadKernelString, () => probe("probe_read_kernel_str", slot, address))

/** Copies a string of the process with its NUL, cut to the place; `r0` = its length with NUL, or `-errno`. Kernel 5.5. */
export const probeReadUserString = (slot: Slot<any>, address: Register): Item =>
  snippet(probeReadUserString, () => probe("probe_read_user_str", slot, address))
