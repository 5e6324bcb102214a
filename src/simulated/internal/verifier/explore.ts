// Follows all paths of a program, as the verifier does: what each register holds is carried along, branches that cannot
// be taken are left out, and a path ends where another went before with no less.
import { programTypes } from "../../../abi/names.ts"
import {
  alu,
  atomics,
  BPF_ADDR_SPACE_CAST,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  fields,
  modes,
  pseudo,
  sizes,
  sources,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import { type Code, isGoto, isJump, targetOf } from "../interpreter/code.ts"
import { branch } from "./branches.ts"
import { logLine } from "./logLine.ts"
import { callHelper } from "./helperCalls.ts"
import { effects } from "./effects.ts"
import { liveness, meetingPoints } from "./liveness.ts"
import { checkAccess } from "./memoryAccess.ts"
import { type Errno, type Path, Rejected, type Subject } from "./path.ts"
import { type Deciding, isNone, noneDecides, SLOTS, stepBack } from "./precision.ts"
import { arithmetic } from "./pointers.ts"
import { checkReturn } from "./returns.ts"
import * as Scalar from "./scalar.ts"
import { malformed, wrongOperand } from "./structure.ts"
import {
  anything,
  copyState,
  isStateWithin,
  makeFrame,
  type Node,
  none,
  number,
  pointer,
  type Register,
  spilledSize,
  STACK,
  type State,
  unknownNumber
} from "./state.ts"

/** BPF_COMPLEXITY_LIMIT_INSNS */
const MOST_INSTRUCTIONS = 1_000_000
/** BPF_COMPLEXITY_LIMIT_JMP_SEQ: ways to go that are left for later. */
const MOST_LATER = 8192
/** A path of more steps since its last kept state than this gets another. */
const LONGEST_STRETCH = 40
const MOST_FRAMES = 8
/** Program types that may load from their packet as classic BPF does (may_access_skb). */
const takesPacketLoads: ReadonlySet<number> = new Set([
  programTypes.socket_filter,
  programTypes.sched_cls,
  programTypes.sched_act
])
const readsPacket: ReadonlySet<number> = new Set([
  programTypes.lwt_in,
  programTypes.lwt_out,
  programTypes.lwt_seg6local,
  programTypes.lwt_xmit,
  programTypes.sk_reuseport,
  programTypes.flow_dissector,
  programTypes.cgroup_skb,
  programTypes.sched_cls,
  programTypes.sched_act,
  programTypes.xdp,
  programTypes.sk_skb,
  programTypes.sk_msg,
  programTypes.cgroup_sockopt
])

/** A state that is kept to compare with, as long as comparing pays. */
interface Seen {
  readonly state: State
  readonly node: Node
  hits: number
  misses: number
}

const bytesOf = (opcode: number): 1 | 2 | 4 | 8 =>
  (opcode & fields.SIZE) === sizes.BPF_B
    ? 1
    : (opcode & fields.SIZE) === sizes.BPF_H
    ? 2
    : (opcode & fields.SIZE) === sizes.BPF_W
    ? 4
    : 8

export interface Explored {
  /** Up to where the context is read. */
  readonly contextSize: number
  /** How many bytes of stack each function uses, by where it begins. */
  readonly depths: ReadonlyMap<number, number>
}

/** A cast between address spaces: a 64-bit move of offset 1. */
const isSpaceCast = (code: Code, pc: number): boolean =>
  code.opcodes[pc] === (classes.BPF_ALU64 | alu.BPF_MOV | sources.BPF_X) && code.offsets[pc] === BPF_ADDR_SPACE_CAST

const everything = (): number => 0x3ff

/** A quick look before states are compared: a loop leaves every register of its frame as it was, dead ones too. */
const mayLoop = (old: State, now: State): boolean => {
  if (old.frames.length !== now.frames.length) return false
  const before = old.frames.at(-1)!.registers
  return now.frames.at(-1)!.registers.every((register, r) =>
    register === before[r] || (register.id === before[r]!.id && register.kind === before[r]!.kind)
  )
}

const copyDeciding = ({ registers, slots }: Deciding): Deciding => ({
  registers: [...registers],
  slots: new Set(slots)
})

class Explorer implements Path {
  readonly code
  readonly type
  readonly attachType
  readonly rules
  readonly callees
  contextSize = 0
  state: State
  private readonly subject: Subject
  private readonly live: Uint16Array
  /** The registers that each instruction reads, as sets of bits. */
  private readonly reads: Uint16Array
  private readonly points: Uint8Array
  private readonly visited: Uint8Array
  private readonly seen = new Map<number, Array<Seen>>()
  private readonly work: Array<State> = []
  /** The instructions in the order they were looked at; a negative number begins another path. */
  private readonly trace: Array<number> = []
  private processed = 0
  private jumps = 0
  /** What was processed when a state was kept last. */
  private kept = { processed: 0, jumps: 0 }
  private ids = 0
  private readonly hasArena: boolean
  /** How deep the stack of each function is used, by where it begins. */
  private readonly depths = new Map<number, number>()

  constructor(subject: Subject) {
    this.subject = subject
    this.code = subject.code
    this.type = subject.type
    this.attachType = subject.attachType
    this.rules = subject.rules
    this.callees = subject.callees
    this.hasArena = [...subject.maps.values()].some(({ map }) => map.arena !== undefined)
    this.live = liveness(subject.code)
    this.reads = Uint16Array.from({ length: subject.code.length }, (_, pc) => effects(subject.code, pc).reads)
    this.points = meetingPoints(subject.code)
    this.visited = new Uint8Array(subject.code.length)
    this.state = this.begin(0, [pointer("ctx")])
  }

  readonly newId = (): number => ++this.ids

  readonly touch = (start: number, from: number): void => {
    const depth = STACK - from
    if (depth > (this.depths.get(start) ?? 0)) this.depths.set(start, depth)
  }

  readonly mayReadPacket = (): boolean => readsPacket.has(this.type)

  readonly precise = (register: number): void => {
    const deciding = noneDecides()
    deciding.registers[this.state.frames.length - 1] = 1 << register
    this.decide(deciding)
  }

  /** Follows what decides back to the first state that knows of it already. */
  private decide(deciding: Deciding): void {
    let { node } = this.state
    for (let step = this.state.step;; step = step.before) {
      while (node !== undefined && node.step === step) {
        this.markDeciding(node, deciding)
        node = node.parent
        if (isNone(deciding)) return
      }
      if (step === undefined || node === undefined) return
      stepBack(this.code, step, deciding)
      if (isNone(deciding)) return
    }
  }

  /** Marks what decides in a kept state, and takes off what is known already or is no number. */
  private markDeciding({ deciding: known, state }: Node, deciding: Deciding): void {
    for (const [index, frame] of state.frames.entries()) {
      const set = deciding.registers[index]!
      if (set === 0) continue
      let left = 0
      for (let r = 0; r < 10; r++) {
        const bit = 1 << r
        if ((set & bit) !== 0 && (known.registers[index]! & bit) === 0 && frame.registers[r]!.kind === "scalar") {
          left |= bit
        }
      }
      known.registers[index] = known.registers[index]! | left
      deciding.registers[index] = left
    }
    for (const slot of deciding.slots) {
      if (known.slots.has(slot)) deciding.slots.delete(slot)
      else known.slots.add(slot)
    }
  }

  readonly reject = (...lines: ReadonlyArray<string>): never => this.refuse("EACCES", lines)
  readonly invalid = (...lines: ReadonlyArray<string>): never => this.refuse("EINVAL", lines)

  private refuse(errno: Errno, lines: ReadonlyArray<string>): never {
    throw new Rejected([...this.trace.map((pc) => logLine(this.code, pc)), ...lines], errno)
  }

  /** Follows everything. Throws `Rejected`. */
  run(): Explored {
    this.follow(this.state)
    // Callbacks are looked at by themselves, with arguments that may be anything.
    for (const start of this.callbackStarts()) this.follow(this.begin(start, Array.from({ length: 5 }, () => anything)))
    return { contextSize: this.contextSize, depths: this.depths }
  }

  private begin(start: number, given: ReadonlyArray<Register>): State {
    const frame = makeFrame(0, start, -1)
    for (const [index, register] of given.entries()) frame.registers[index + 1] = register
    return {
      pc: start,
      frames: [frame],
      references: new Map(),
      locked: false,
      mayGotoDepth: 0,
      node: undefined,
      step: undefined,
      stretch: 0
    }
  }

  private callbackStarts(): ReadonlySet<number> {
    const starts = new Set<number>()
    for (const [pc, value] of this.code.wide) {
      if (this.code.src[pc] === pseudo.BPF_PSEUDO_FUNC) starts.add(Number(value & 0xffffffffn))
    }
    return starts
  }

  private follow(first: State): void {
    this.work.push(first)
    for (let next = this.work.pop(); next !== undefined; next = this.work.pop()) {
      this.state = next
      while (this.step()) {
        if (++this.processed > MOST_INSTRUCTIONS) {
          this.trace.length = 0
          this.refuse("E2BIG", [`BPF program is too large. Processed ${this.processed} insn`])
        }
      }
      this.end()
    }
  }

  /** A path is at its end: the states that it came through have one less to wait for. */
  private end(): void {
    let node = this.state.node
    while (node !== undefined && --node.branches === 0) node = node.parent
    // Nothing of this path leads on: what it knew is not needed any more.
    this.state.step = undefined
  }

  /** Leaves another way to go for later. */
  private later(state: State): void {
    if (state.node !== undefined) state.node.branches++
    this.work.push(state)
    if (this.work.length > MOST_LATER) {
      this.refuse("EFAULT", [`The sequence of ${this.work.length} jumps is too complex.`])
    }
  }

  /** True if the path goes on. */
  private step(): boolean {
    const { state } = this
    const { pc } = state
    if (this.points[pc] === 1 && !this.isNew()) return false
    this.trace.push(pc)
    if (this.trace.length > 50_000) this.trace.splice(0, 25_000)
    state.step = { pc, frame: state.frames.length - 1, slot: -1, linked: 0, before: state.step }
    state.stretch++
    if (this.visited[pc] === 0) {
      this.visited[pc] = 1
      this.checkFields(pc)
    }
    this.checkReads(pc)
    return this.execute(pc)
  }

  /** The fields of an instruction, when a path leads to it first: in dead code they may be anything. */
  private checkFields(pc: number): void {
    const { code } = this
    const opcode = code.opcodes[pc]!
    if ((opcode & fields.CLASS) === classes.BPF_LD && opcode !== WIDE_LOAD && !takesPacketLoads.has(this.type)) {
      this.invalid("BPF_LD_[ABS|IND] instructions not allowed for this program type")
    }
    const wrong = malformed(code, pc)
    if (isSpaceCast(code, pc) && wrong === undefined && !this.hasArena) {
      this.invalid("addr_space_cast insn can only be used in a program that has an associated arena")
    }
    if (wrong !== undefined) {
      // Of a comparison, the kernel looks at the register first.
      if (wrong.startsWith("BPF_JMP/")) this.checkRegister(code.dst[pc]!)
      this.invalid(wrong)
    }
    const operand = wrongOperand(code, pc)
    if (operand === undefined) return
    if (!operand.why.endsWith("is invalid")) this.checkReads(pc)
    this.refuse(operand.errno, [operand.why])
  }

  private checkRegister(r: number): void {
    if (r > 10) this.invalid(`R${r} is invalid`)
    if (this.frame.registers[r]!.kind === "none") this.reject(`R${r} !read_ok`)
  }

  private checkReads(pc: number): void {
    const reads = this.reads[pc]!
    if (this.code.opcodes[pc] === CALL) return // arguments are checked against what the callee takes
    const { registers } = this.frame
    for (let r = 0; r <= 10; r++) {
      if ((reads & (1 << r)) !== 0 && registers[r]!.kind === "none") this.reject(`R${r} !read_ok`)
    }
  }

  private get frame() {
    return this.state.frames.at(-1)!
  }

  /** False where an earlier state covers this one. Rejects a loop that changes nothing. */
  private isNew(): boolean {
    const { state } = this
    const live = (index: number): number =>
      this.live[index === state.frames.length - 1 ? state.pc : state.frames[index + 1]!.returnTo]!
    const seen = this.seen.get(state.pc) ?? []
    const mustKeep = state.stretch > LONGEST_STRETCH || this.code.opcodes[state.pc] === CONDITIONAL_JUMP
    const jumps = this.jumps - this.kept.jumps
    const processed = this.processed - this.kept.processed
    let keeps = mustKeep || (jumps >= 2 && processed >= 8)
    let i = 0
    while (i < seen.length) {
      const each = seen[i]!
      const { node, state: old } = each
      if (node.branches === 0) {
        if (isStateWithin(old, state, "within", live, node.deciding)) {
          each.hits++
          this.decide(copyDeciding(node.deciding))
          return false
        }
      } else {
        // This path came through that state: it is a loop.
        if (old.mayGotoDepth !== state.mayGotoDepth) {
          if (
            this.code.opcodes[state.pc] === CONDITIONAL_JUMP && isStateWithin(old, state, "within", live, undefined)
          ) {
            return false
          }
        } else if (mayLoop(old, state) && isStateWithin(old, state, "exact", everything, undefined)) {
          this.invalid(`infinite loop detected at insn ${state.pc}`)
        }
        if (!mustKeep && jumps < 20 && processed < 100) keeps = false
      }
      if (keeps) each.misses++
      // What never fits is not compared with any longer.
      if (
        each.misses > each.hits * (mustKeep && node.branches > 0 ? 64 : 3) + (mustKeep && node.branches > 0 ? 64 : 3)
      ) {
        seen.splice(i, 1)
      } else i++
    }
    if (!keeps) return true
    this.kept = { processed: this.processed, jumps: this.jumps }
    const node: Node = {
      parent: state.node,
      branches: 1,
      deciding: noneDecides(),
      step: state.step,
      state: copyState(state)
    }
    state.node = node
    state.stretch = 0
    seen.unshift({ state: node.state, node, hits: 0, misses: 0 })
    this.seen.set(state.pc, seen)
    return true
  }

  /** The state that this path had here in its round before. */
  private loopStart(pc: number): State | undefined {
    for (let node = this.state.node?.parent; node !== undefined; node = node.parent) {
      if (node.state.pc === pc) return node.state
    }
    return undefined
  }

  /** Forgets numbers that change from one round of a `may_goto` loop to the next, so that rounds become alike. */
  private widen(old: State, state: State): void {
    const before = old.frames.at(-1)!
    const { registers, slots } = state.frames.at(-1)!
    for (let r = 0; r < 10; r++) {
      const now = registers[r]!
      const then = before.registers[r]!
      if (now.kind !== "scalar" || then.kind !== "scalar") continue
      if (!Scalar.contains(then.scalar, now.scalar)) registers[r] = unknownNumber
    }
    for (const [at, slot] of slots.entries()) {
      const then = before.slots[at]!
      if (spilledSize(slot) === 0 || slot.register.kind !== "scalar" || then.register.kind !== "scalar") continue
      if (!Scalar.contains(then.register.scalar, slot.register.scalar)) slots[at] = { ...slot, register: unknownNumber }
    }
  }

  /** One instruction. True if the path goes on. */
  private execute(pc: number): boolean {
    const { code, frame, state } = this
    const opcode = code.opcodes[pc]!
    const { registers } = frame
    const dst = code.dst[pc]!
    const src = code.src[pc]!
    const access = { offset: code.offsets[pc]!, size: bytesOf(opcode) }
    state.pc = pc + 1
    switch (opcode & fields.CLASS) {
      case classes.BPF_ALU:
      case classes.BPF_ALU64:
        registers[dst] = arithmetic(this, pc)
        return true
      case classes.BPF_LD:
        if (opcode === WIDE_LOAD) {
          registers[dst] = this.wideLoad(pc)
          state.pc = pc + 2
        } else this.packetLoad(pc)
        return true
      case classes.BPF_LDX: {
        const from = registers[src]!
        const signed = (opcode & fields.MODE) === modes.BPF_MEMSX
        const loaded = checkAccess(this, from, { ...access, register: src, write: false, signed })
        this.noteSlot(from, access)
        const extends_ = signed && loaded.kind === "scalar"
        registers[dst] = extends_ ? number(Scalar.signExtended(loaded.scalar, access.size * 8)) : loaded
        return true
      }
      case classes.BPF_ST: {
        const value = number(Scalar.constant(BigInt(code.immediates[pc]!)))
        checkAccess(this, registers[dst]!, { ...access, register: dst, write: true }, value)
        this.noteSlot(registers[dst]!, access)
        return true
      }
      case classes.BPF_STX:
        if ((opcode & fields.MODE) === modes.BPF_ATOMIC) this.atomic(pc)
        else this.store(dst, src, access)
        return true
      default:
        return this.control(pc)
    }
  }

  private store(dst: number, src: number, access: { readonly offset: number; readonly size: number }): void {
    const { registers } = this.frame
    const target = registers[dst]!
    const value = registers[src]!
    // What the register and the slot hold is the same from then on: what is learnt of one is learnt of the other.
    const isSlot = target.kind === "stack" && Scalar.isConstant(target.scalar) && value.kind === "scalar" &&
      value.id === 0
    if (isSlot && !Scalar.isConstant(value.scalar)) registers[src] = { ...value, id: this.newId() }
    checkAccess(this, target, { ...access, register: dst, write: true }, registers[src]!)
    this.noteSlot(target, access)
  }

  /** The slot that a store of a register or its load goes to, for what decides. */
  private noteSlot(pointed: Register, { offset }: { readonly offset: number }): void {
    if (pointed.kind !== "stack" || !Scalar.isConstant(pointed.scalar)) return
    const at = STACK + pointed.offset + offset + Number(BigInt.asIntN(64, pointed.scalar.tnum.value))
    const slot = this.state.frames[pointed.frame]!.slots[at >> 3]
    if (slot !== undefined && spilledSize(slot) > 0) this.state.step!.slot = pointed.frame * SLOTS + (at >> 3)
  }

  private wideLoad(pc: number): Register {
    const src = this.code.src[pc]!
    if (src === 0) return number(Scalar.constant(this.code.wide.get(pc)!))
    if (src === pseudo.BPF_PSEUDO_FUNC) {
      if (!this.subject.hasFunctionInfo) this.invalid("missing btf func_info")
      return pointer("function")
    }
    const loaded = this.subject.maps.get(pc)
    if (loaded === undefined) return anything
    if (loaded.value === undefined) return pointer("map", { map: loaded.map })
    if (loaded.map.arena !== undefined) return anything
    return pointer("value", { map: loaded.map, offset: loaded.value })
  }

  private packetLoad(pc: number): void {
    const { registers } = this.frame
    if (registers[6]!.kind === "none") this.reject("R6 !read_ok")
    if (this.state.references.size > 0) this.invalid("BPF_LD_[ABS|IND] would lead to reference leak")
    if (this.state.locked) this.invalid("BPF_LD_[ABS|IND] cannot be used inside bpf_spin_lock-ed region")
    if (registers[6]!.kind !== "ctx" && registers[6]!.kind !== "anything") {
      this.invalid("at the time of BPF_LD_ABS|IND R6 != pointer to skb")
    }
    if ((this.code.opcodes[pc]! & 0xe0) === modes.BPF_IND) this.checkRegister(this.code.src[pc]!)
    if (registers[6]!.offset !== 0) {
      this.reject(`dereference of modified ctx ptr R6 off=${registers[6]!.offset} disallowed`)
    }
    for (let r = 1; r <= 5; r++) registers[r] = none
    registers[0] = unknownNumber
  }

  private atomic(pc: number): void {
    const { code } = this
    const { registers } = this.frame
    const [dst, src, operation] = [code.dst[pc]!, code.src[pc]!, code.immediates[pc]!]
    const access = { offset: code.offsets[pc]!, size: bytesOf(code.opcodes[pc]!), strict: true }
    if (operation === atomics.BPF_LOAD_ACQ) {
      const from = registers[src]!
      this.checkAtomicTarget("loads from", src, from)
      registers[dst] = checkAccess(this, from, { ...access, register: src, write: false })
      this.noteSlot(from, access)
      return
    }
    const target = registers[dst]!
    this.checkAtomicTarget("stores into", dst, target)
    if (operation === atomics.BPF_STORE_REL) {
      this.store(dst, src, access)
      return
    }
    const fetches = (operation & atomics.BPF_FETCH) !== 0
    const into = operation === atomics.BPF_CMPXCHG ? 0 : src
    // The register is given up before the memory is looked at, though it may be the one that points there.
    if (fetches) registers[into] = unknownNumber
    const loaded = checkAccess(this, registers[dst]!, { ...access, register: dst, write: false })
    this.noteSlot(target, access)
    if (fetches) registers[into] = loaded
    // The fetched value may have been a pointer's place.
    const at = fetches && into === dst ? target : registers[dst]!
    checkAccess(this, at, { ...access, register: dst, write: true, unknown: true })
  }

  private checkAtomicTarget(does: string, r: number, { kind }: Register): void {
    if (kind === "ctx" || kind === "packet" || kind === "meta") {
      this.reject(`BPF_ATOMIC ${does} R${r} ${kind === "ctx" ? "ctx" : "pkt"} is not allowed`)
    }
  }

  private control(pc: number): boolean {
    const { code, state } = this
    const opcode = code.opcodes[pc]!
    if (opcode === EXIT) return this.exit()
    if (opcode === CALL) return this.call(pc)
    if (isGoto(opcode)) {
      this.jumps++
      state.pc = targetOf(code, pc)
      return true
    }
    if (opcode === CONDITIONAL_JUMP) {
      this.jumps++
      const on = copyState(state)
      on.mayGotoDepth++
      const before = this.loopStart(pc)
      if (before !== undefined) this.widen(before, on)
      this.later(on)
      state.pc = targetOf(code, pc)
      return true
    }
    if (!isJump(opcode)) return this.invalid(`unknown opcode ${opcode.toString(16)}`)
    this.jumps++
    const other = branch(this, pc)
    if (other !== undefined) this.later(other)
    return true
  }

  private call(pc: number): boolean {
    const { code, state } = this
    const id = code.immediates[pc]!
    if (code.src[pc] === calls.BPF_PSEUDO_CALL) {
      if (state.locked) this.invalid("function calls are not allowed while holding a lock")
      if (state.frames.length >= MOST_FRAMES) {
        this.refuse("E2BIG", [`the call stack of ${MOST_FRAMES + 1} frames is too deep`])
      }
      const { registers } = this.frame
      const callee = makeFrame(state.frames.length, pc + 1 + id, pc + 1)
      for (let r = 1; r <= 5; r++) {
        callee.registers[r] = registers[r]!
        registers[r] = none
      }
      state.frames.push(callee)
      state.pc = pc + 1 + id
      return true
    }
    callHelper(this, id)
    return true
  }

  private exit(): boolean {
    const { state } = this
    const returned = this.frame.registers[0]!
    const callbackFrame = state.frames.length === 1 && this.frame.function !== 0
    if (state.frames.length > 1) {
      const { returnTo } = this.frame
      if (returned.kind === "stack") {
        this.invalid("cannot return stack pointer to the caller")
      }
      state.frames.pop()
      this.frame.registers[0] = returned
      state.pc = returnTo
      return true
    }
    for (const [id, instruction] of state.references) {
      this.invalid(
        `Unreleased reference id=${id} alloc_insn=${instruction}`,
        "BPF_EXIT instruction in main prog would lead to reference leak"
      )
    }
    if (state.locked) this.invalid("BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region")
    if (!callbackFrame) checkReturn(this, returned)
    return false
  }
}

/** Checks all paths of a program whose structure is right. Throws `Rejected`. */
export const explore = (subject: Subject): Explored => new Explorer(subject).run()
