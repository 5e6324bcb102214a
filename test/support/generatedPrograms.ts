// Valid programs of every kind of instruction, for the test that runs them on two kernels. A program is a list of small
// steps, so that what fails shrinks to the steps at fault. Each step keeps what the verifier wants: r0 to r5 hold numbers,
// r6 the context, r7 (at least 32 bytes of) the packet, r9 an element of an array, and the 64 bytes below r10 are written.
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { bpf_func_id } from "../../src/abi/generated/enums.ts"
import { alu, atomics, classes, jumps, modes, pseudo, sizes, WIDE_LOAD } from "../../src/isa/opcodes.ts"

export const ELEMENT = 128
const { BPF_FUNC_csum_diff, BPF_FUNC_map_delete_elem, BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem } = bpf_func_id
const { BPF_FUNC_skb_load_bytes } = bpf_func_id

/** What a generated program may use. */
export interface Abilities {
  readonly cpuV4: boolean
  readonly loadAcquire: boolean
  readonly atomics: boolean
  /** Whether functions of maps give 64 bits: before 6.4 they gave an int, and the upper half of r0 was zero. */
  readonly longResults: boolean
  /** Whether csum_diff gives a folded sum, as from 6.13 on. */
  readonly foldedSums: boolean
}

export interface Step {
  readonly kind: number
  readonly dst: number
  readonly src: number
  readonly operation: number
  readonly wide: boolean
  readonly fromRegister: boolean
  readonly value: number
  readonly place: number
}

export interface Recipe {
  readonly type: "socket_filter" | "sched_cls" | "xdp"
  readonly packet: ReadonlyArray<number>
  readonly steps: ReadonlyArray<Step>
  readonly subprogram: ReadonlyArray<Step>
}

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Numbers at which arithmetic goes wrong, and any others. */
const interesting = Schema.Union([
  Schema.Literals([0, 1, -1, 2, 31, 32, 63, 64, 255, 0x7fff, 0x10000, 0x7fffffff, -0x80000000]),
  int(-0x80000000, 0x7fffffff)
])

const step = Schema.Struct({
  kind: int(0, 29),
  dst: int(0, 5),
  src: int(0, 5),
  operation: int(0, 15),
  wide: Schema.Boolean,
  fromRegister: Schema.Boolean,
  value: interesting,
  place: int(0, 255)
})

export const recipes: Arbitrary.Arbitrary<Recipe> = Arbitrary.all({
  type: Arbitrary.schema(Schema.Literals(["socket_filter", "sched_cls", "xdp"])),
  packet: Arbitrary.array(Arbitrary.schema(int(0, 255)), { minLength: 64, maxLength: 64 }),
  steps: Arbitrary.array(Arbitrary.schema(step), { maxLength: 40 }),
  subprogram: Arbitrary.array(Arbitrary.schema(step), { maxLength: 8 })
})

/** An instruction, or a jump to the beginning of a later step; -1 is the end. */
type Slot = Uint8Array | { readonly jump: Uint8Array; readonly to: number }

const slot = (opcode: number, dst = 0, src = 0, offset = 0, immediate = 0): Uint8Array => {
  const bytes = new Uint8Array(8)
  const view = new DataView(bytes.buffer)
  bytes[0] = opcode
  bytes[1] = dst | (src << 4)
  view.setInt16(2, offset, true)
  view.setInt32(4, immediate | 0, true)
  return bytes
}

const wideLoad = (dst: number, low: number, high: number, src = 0): ReadonlyArray<Uint8Array> => [
  slot(WIDE_LOAD, dst, src, 0, low),
  slot(0, 0, 0, 0, high)
]

const { BPF_ALU, BPF_ALU64, BPF_JMP, BPF_JMP32, BPF_LDX, BPF_ST, BPF_STX } = classes
const REGISTER = 0x08
const call = (helper: number) => slot(BPF_JMP | jumps.BPF_CALL, 0, 0, 0, helper)
const exit = slot(BPF_JMP | jumps.BPF_EXIT)
const mov = (dst: number, src: number) => slot(BPF_ALU64 | alu.BPF_MOV | REGISTER, dst, src)
const movImmediate = (dst: number, value: number) => slot(BPF_ALU64 | alu.BPF_MOV, dst, 0, 0, value)
const addImmediate = (dst: number, value: number) => slot(BPF_ALU64 | alu.BPF_ADD, dst, 0, 0, value)
const ldx = (size: number, dst: number, src: number, offset: number) =>
  slot(BPF_LDX | modes.BPF_MEM | size, dst, src, offset)
const stx = (size: number, dst: number, src: number, offset: number) =>
  slot(BPF_STX | modes.BPF_MEM | size, dst, src, offset)

const allSizes = [sizes.BPF_B, sizes.BPF_H, sizes.BPF_W, sizes.BPF_DW]
const bytesOf = (size: number): number =>
  size === sizes.BPF_B ? 1 : size === sizes.BPF_H ? 2 : size === sizes.BPF_W ? 4 : 8
const operations = [
  alu.BPF_ADD,
  alu.BPF_SUB,
  alu.BPF_MUL,
  alu.BPF_DIV,
  alu.BPF_OR,
  alu.BPF_AND,
  alu.BPF_LSH,
  alu.BPF_RSH,
  alu.BPF_MOD,
  alu.BPF_XOR,
  alu.BPF_MOV,
  alu.BPF_ARSH
]
const comparisons = [
  jumps.BPF_JEQ,
  jumps.BPF_JGT,
  jumps.BPF_JGE,
  jumps.BPF_JSET,
  jumps.BPF_JNE,
  jumps.BPF_JSGT,
  jumps.BPF_JSGE,
  jumps.BPF_JLT,
  jumps.BPF_JLE,
  jumps.BPF_JSLT,
  jumps.BPF_JSLE
]
const atomicOperations = [atomics.BPF_ADD, atomics.BPF_OR, atomics.BPF_AND, atomics.BPF_XOR]

const arithmetic = (s: Step): ReadonlyArray<Uint8Array> => {
  const operation = operations[s.operation % operations.length]!
  const bits = s.wide ? 64 : 32
  const isShift = operation === alu.BPF_LSH || operation === alu.BPF_RSH || operation === alu.BPF_ARSH
  const divides = operation === alu.BPF_DIV || operation === alu.BPF_MOD
  const value = isShift ? s.value & (bits - 1) : divides && s.value === 0 ? 3 : s.value
  const opcode = (s.wide ? BPF_ALU64 : BPF_ALU) | operation
  return [s.fromRegister ? slot(opcode | REGISTER, s.dst, s.src) : slot(opcode, s.dst, 0, 0, value)]
}

const signedDivision = (s: Step): ReadonlyArray<Uint8Array> => {
  const operation = s.operation % 2 === 0 ? alu.BPF_DIV : alu.BPF_MOD
  const opcode = (s.wide ? BPF_ALU64 : BPF_ALU) | operation
  const value = s.value === 0 ? -1 : s.value
  return [s.fromRegister ? slot(opcode | REGISTER, s.dst, s.src, 1) : slot(opcode, s.dst, 0, 1, value)]
}

const signExtension = (s: Step): ReadonlyArray<Uint8Array> => {
  const widths = s.wide ? [8, 16, 32] : [8, 16]
  const opcode = (s.wide ? BPF_ALU64 : BPF_ALU) | alu.BPF_MOV | REGISTER
  return [slot(opcode, s.dst, s.src, widths[s.operation % widths.length]!)]
}

const swap = (s: Step, abilities: Abilities): ReadonlyArray<Uint8Array> => {
  const bits = [16, 32, 64][s.operation % 3]!
  if (s.wide && abilities.cpuV4) return [slot(BPF_ALU64 | alu.BPF_END, s.dst, 0, 0, bits)]
  return [slot(BPF_ALU | alu.BPF_END | (s.fromRegister ? REGISTER : 0), s.dst, 0, 0, bits)]
}

/** An aligned place among the written 64 bytes of the stack. */
const stackPlace = (s: Step, size: number): number => -64 + Math.floor((s.place % 64) / bytesOf(size)) * bytesOf(size)

const access = (s: Step, base: number, offset: number, size: number, abilities: Abilities): Uint8Array => {
  if (s.fromRegister) return stx(size, base, s.src, offset)
  if (s.operation % 3 === 0) return slot(BPF_ST | modes.BPF_MEM | size, base, 0, offset, s.value)
  const extends_ = s.wide && abilities.cpuV4 && size !== sizes.BPF_DW
  return slot(BPF_LDX | (extends_ ? modes.BPF_MEMSX : modes.BPF_MEM) | size, s.dst, base, offset)
}

const atomicAccess = (s: Step, base: number, offset: number, abilities: Abilities): ReadonlyArray<Uint8Array> => {
  const opcode = BPF_STX | modes.BPF_ATOMIC | (s.wide ? sizes.BPF_DW : sizes.BPF_W)
  const choice = s.operation % 12
  if (abilities.loadAcquire && choice >= 10) {
    return choice === 10
      ? [slot(opcode, s.dst, base, offset, atomics.BPF_LOAD_ACQ)]
      : [slot(opcode, base, s.src, offset, atomics.BPF_STORE_REL)]
  }
  const operation = !abilities.atomics || choice < 4
    ? atomicOperations[choice % 4]! & (abilities.atomics ? 0xff : 0)
    : choice < 8
    ? atomicOperations[choice - 4]! | atomics.BPF_FETCH
    : choice === 8
    ? atomics.BPF_XCHG
    : atomics.BPF_CMPXCHG
  return [slot(opcode, base, s.src, offset, operation)]
}

/** Numbers again in the registers that a call destroys. */
const refill = (from: number): ReadonlyArray<Uint8Array> =>
  [1, 2, 3, 4, 5].map((register) => ldx(sizes.BPF_DW, register, from, from === 10 ? -8 * register : 8 * register))

const onHash = (s: Step, abilities: Abilities): ReadonlyArray<Uint8Array> => {
  const narrow = abilities.longResults ? [] : [slot(BPF_ALU | alu.BPF_MOV | REGISTER, 0, 0, 0, 0)]
  const key = [stx(sizes.BPF_W, 10, s.src, -68), ...wideLoad(1, HASH, 0, pseudo.BPF_PSEUDO_MAP_FD), mov(2, 10)]
  // Few keys, so that they meet again.
  const few = [slot(BPF_ALU | alu.BPF_AND, s.src, 0, 0, 3)]
  switch (s.operation % 3) {
    case 0:
      return [
        ...few,
        ...key,
        addImmediate(2, -68),
        mov(3, 10),
        addImmediate(3, -64),
        movImmediate(4, s.place % 3),
        call(BPF_FUNC_map_update_elem),
        ...narrow,
        ...refill(10)
      ]
    case 1:
      return [...few, ...key, addImmediate(2, -68), call(BPF_FUNC_map_delete_elem), ...narrow, ...refill(10)]
    default:
      return [
        ...few,
        ...key,
        addImmediate(2, -68),
        call(BPF_FUNC_map_lookup_elem),
        slot(BPF_JMP | jumps.BPF_JEQ, 0, 0, 3, 0),
        ldx(sizes.BPF_DW, 1, 0, 0),
        addImmediate(1, 1),
        stx(sizes.BPF_DW, 0, 1, 0),
        movImmediate(0, s.value),
        ...refill(10)
      ]
  }
}

const onHelper = (s: Step, recipe: Recipe, abilities: Abilities): ReadonlyArray<Uint8Array> => {
  if (s.operation % 2 === 0 && recipe.type === "sched_cls" && abilities.foldedSums) {
    return [
      mov(1, 10),
      addImmediate(1, -64),
      movImmediate(2, 16),
      mov(3, 10),
      addImmediate(3, -32),
      movImmediate(4, 32),
      movImmediate(5, s.place),
      call(BPF_FUNC_csum_diff),
      ...refill(10)
    ]
  }
  if (recipe.type === "xdp") return [movImmediate(0, s.value)]
  return [
    mov(1, 6),
    movImmediate(2, s.place),
    mov(3, 10),
    addImmediate(3, -64),
    movImmediate(4, 1 + s.operation),
    call(BPF_FUNC_skb_load_bytes),
    ...refill(10)
  ]
}

/** An access at an offset that the verifier knows only bounds of. In a packet, its end must be looked at again. */
const variable = (s: Step, base: number, abilities: Abilities): ReadonlyArray<Slot> => {
  const size = allSizes[s.place % 4]!
  const index = s.src === 1 ? 2 : s.src
  const limit = index === 5 ? 4 : 5
  const offset = s.operation % 9
  const value = s.dst === 1 || s.dst === limit ? 0 : s.dst
  const check = [
    mov(limit, 1),
    addImmediate(limit, offset + bytesOf(size)),
    slot(BPF_JMP | jumps.BPF_JGT | REGISTER, limit, 8, 1)
  ]
  return [
    slot(BPF_ALU64 | alu.BPF_AND, index, 0, 0, base === 7 ? 15 : 63),
    mov(1, base),
    slot(BPF_ALU64 | alu.BPF_ADD | REGISTER, 1, index),
    ...(base === 7 ? check : []),
    access({ ...s, src: index, dst: value }, 1, offset, size, abilities),
    movImmediate(1, s.value),
    movImmediate(limit, s.value)
  ]
}

const loop = (s: Step): ReadonlyArray<Uint8Array> => [
  movImmediate(5, 0),
  slot(BPF_ALU64 | operations[s.operation % 3]! | REGISTER, s.dst % 5, s.src % 5),
  addImmediate(5, 1),
  slot(BPF_JMP | jumps.BPF_JLT, 5, 0, -3, 1 + (s.place % 12))
]

const jumpOver = (s: Step): ReadonlyArray<Slot> => {
  const opcode = (s.wide ? BPF_JMP : BPF_JMP32) | comparisons[s.operation % comparisons.length]!
  const jump = s.fromRegister ? slot(opcode | REGISTER, s.dst, s.src) : slot(opcode, s.dst, 0, 0, s.value)
  return [{ jump, to: 1 + (s.place % 6) }]
}

/** Stands for the descriptors of the maps, which differ between kernels; and for the distances of calls. */
const ARRAY = 0x7ffffff0
const HASH = 0x7ffffff1
const CALL_SUBPROGRAM = slot(BPF_JMP | jumps.BPF_CALL, 0, 1, 0, 0)

const inMain = (s: Step, recipe: Recipe, abilities: Abilities): ReadonlyArray<Slot> => {
  const size = allSizes[s.place % 4]!
  const hasPacket = recipe.type !== "socket_filter"
  switch (s.kind) {
    case 16:
    case 17:
      return [access(s, 9, (s.place * 7) % 57, size, abilities)]
    case 18:
    case 19:
      return hasPacket ? [access(s, 7, (s.place * 5) % 25, size, abilities)] : [movImmediate(s.dst, s.value)]
    case 20:
      return atomicAccess(s, 9, (s.place % 8) * 8, abilities)
    case 21:
      return onHash(s, abilities)
    case 22:
      return onHelper(s, recipe, abilities)
    case 23:
      return variable(s, 9, abilities)
    case 24:
      return hasPacket ? variable(s, 7, abilities) : variable(s, 9, abilities)
    case 25:
      return [CALL_SUBPROGRAM, ...refill(9)]
    default:
      return anywhere(s, abilities)
  }
}

/** Steps that need no more than numbers and the stack. */
const anywhere = (s: Step, abilities: Abilities): ReadonlyArray<Slot> => {
  const size = allSizes[s.place % 4]!
  switch (s.kind) {
    case 6:
      return abilities.cpuV4 ? signedDivision(s) : arithmetic(s)
    case 7:
      return abilities.cpuV4 ? signExtension(s) : arithmetic(s)
    case 8:
      return swap(s, abilities)
    case 9:
      return [slot((s.wide ? BPF_ALU64 : BPF_ALU) | alu.BPF_NEG, s.dst)]
    case 10:
      return wideLoad(s.dst, s.value, Math.imul(s.value, s.place + 1))
    case 11:
    case 12:
      return jumpOver(s)
    case 13:
    case 14:
      return [access(s, 10, stackPlace(s, size), size, abilities)]
    case 15:
      return atomicAccess(s, 10, -64 + (s.place % 8) * 8, abilities)
    case 27:
      return loop(s)
    default:
      return arithmetic(s)
  }
}

const spill = [0, 1, 2, 3, 4, 5].map((register) => stx(sizes.BPF_DW, 10, register, -8 * (register + 1)))

const prologue = (type: Recipe["type"]): ReadonlyArray<Slot> => {
  const [data, end] = type === "xdp" ? [0, 4] : [76, 80]
  const packet = [
    ldx(sizes.BPF_W, 7, 6, data),
    ldx(sizes.BPF_W, 8, 6, end),
    mov(1, 7),
    addImmediate(1, 40),
    movImmediate(0, 1),
    { jump: slot(BPF_JMP | jumps.BPF_JGT | REGISTER, 1, 8), to: -1 }
  ]
  return [
    mov(6, 1),
    ...(type === "socket_filter" ? [] : packet),
    slot(BPF_ST | modes.BPF_MEM | sizes.BPF_W, 10, 0, -4, 0),
    ...wideLoad(1, ARRAY, 0, pseudo.BPF_PSEUDO_MAP_FD),
    mov(2, 10),
    addImmediate(2, -4),
    call(BPF_FUNC_map_lookup_elem),
    { jump: slot(BPF_JMP | jumps.BPF_JEQ, 0, 0, 0, 0), to: -1 },
    mov(9, 0),
    ...refill(9),
    ldx(sizes.BPF_DW, 0, 9, 0),
    ...spill,
    stx(sizes.BPF_DW, 10, 1, -56),
    stx(sizes.BPF_DW, 10, 2, -64)
  ]
}

/** The registers and the stack go into the map, where they are compared. */
const epilogue: ReadonlyArray<Uint8Array> = [
  ...[0, 1, 2, 3, 4, 5].map((register) => stx(sizes.BPF_DW, 9, register, 64 + 8 * register)),
  ldx(sizes.BPF_DW, 1, 10, -8),
  stx(sizes.BPF_DW, 9, 1, 112),
  ldx(sizes.BPF_DW, 1, 10, -48),
  stx(sizes.BPF_DW, 9, 1, 120)
]

const concat = (parts: ReadonlyArray<ReadonlyArray<Slot>>): Array<Slot> => {
  const out: Array<Slot> = []
  const starts: Array<number> = []
  const wanted: Array<readonly [slot: number, step: number]> = []
  for (const [index, part] of parts.entries()) {
    starts.push(out.length)
    for (const item of part) {
      if (!(item instanceof Uint8Array)) wanted.push([out.length, item.to < 0 ? parts.length - 1 : index + item.to])
      out.push(item)
    }
  }
  for (const [at, step] of wanted) {
    const { jump } = out[at] as { readonly jump: Uint8Array }
    const target = starts[Math.min(step, parts.length - 1)]!
    const bytes = Uint8Array.from(jump)
    new DataView(bytes.buffer).setInt16(2, target - at - 1, true)
    out[at] = bytes
  }
  return out
}

/** The bytes of a program, for maps of these descriptors. */
export const build = (
  recipe: Recipe,
  abilities: Abilities,
  maps: { readonly array: number; readonly hash: number }
): Uint8Array => {
  const main = concat([
    prologue(recipe.type),
    ...recipe.steps.map((s) => inMain(s, recipe, abilities)),
    epilogue,
    [exit]
  ]) as Array<Uint8Array>
  const callsSubprogram = main.includes(CALL_SUBPROGRAM)
  const start = main.length
  const subprogram = concat([
    [movImmediate(0, 7), ...spill, stx(sizes.BPF_DW, 10, 1, -56), stx(sizes.BPF_DW, 10, 2, -64)],
    ...recipe.subprogram.map((s) => anywhere({ ...s, kind: s.kind % 16 }, abilities)),
    [exit]
  ]) as Array<Uint8Array>
  const all = callsSubprogram ? [...main, ...subprogram] : main
  const bytes = new Uint8Array(all.length * 8)
  const view = new DataView(bytes.buffer)
  for (const [index, item] of all.entries()) {
    bytes.set(item, index * 8)
    if (item === CALL_SUBPROGRAM) view.setInt32(index * 8 + 4, start - index - 1, true)
    if (item[0] === WIDE_LOAD && item[1]! >> 4 === pseudo.BPF_PSEUDO_MAP_FD) {
      const which = view.getInt32(index * 8 + 4, true)
      view.setInt32(index * 8 + 4, which === ARRAY ? maps.array : maps.hash, true)
    }
  }
  return bytes
}

/** One field of one instruction, changed. Most such programs are wrong in a small way. */
export interface Mutation {
  readonly at: number
  readonly field: "opcode" | "dst" | "src" | "offset" | "immediate"
  readonly value: number
}

export const mutations: Arbitrary.Arbitrary<Mutation> = Arbitrary.schema(Schema.Struct({
  at: int(0, 1023),
  field: Schema.Literals(["opcode", "dst", "src", "offset", "immediate"]),
  value: Schema.Union([int(-16, 16), interesting])
}))

/** The program with the change. Its maps stay: a change there is left out. */
export const mutate = (bytes: Uint8Array, { at, field, value }: Mutation): Uint8Array => {
  const out = bytes.slice()
  const view = new DataView(out.buffer)
  const start = (at % (out.length / 8)) * 8
  if (out[start] === WIDE_LOAD || (start >= 8 && out[start - 8] === WIDE_LOAD)) return out
  switch (field) {
    case "opcode":
      out[start] = value & 0xff
      break
    case "dst":
      out[start + 1] = (out[start + 1]! & 0xf0) | (Math.abs(value) % 11)
      break
    case "src":
      out[start + 1] = (out[start + 1]! & 0x0f) | ((Math.abs(value) % 11) << 4)
      break
    case "offset":
      view.setInt16(start + 2, view.getInt16(start + 2, true) + (value % 64), true)
      break
    default:
      view.setInt32(start + 4, value, true)
  }
  return out
}

/** A program as text, for the message of a failure. */
export const print = (bytes: Uint8Array): string =>
  Array.from(
    { length: bytes.length / 8 },
    (_, i) => `${i}: ${Buffer.from(bytes.subarray(i * 8, i * 8 + 8)).toString("hex")}`
  )
    .join("\n")
