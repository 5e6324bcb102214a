// Follows all paths of a program, as the verifier does: what each register holds is carried along, branches that cannot
// be taken are left out, and a path ends where another went before with no less.
import {
  atomics,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  modes,
  pseudo,
  sizes,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import { isGoto, isJump, targetOf } from "../interpreter/code.ts"
import { branch } from "./branches.ts"
import { logLine } from "./logLine.ts"
import { callHelper } from "./helperCalls.ts"
import { effects } from "./effects.ts"
import { liveness, meetingPoints } from "./liveness.ts"
import { checkAccess } from "./memoryAccess.ts"
import { type Errno, type Path, Rejected, type Subject } from "./path.ts"
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
  type State,
  unknownNumber
} from "./state.ts"

/** BPF_COMPLEXITY_LIMIT_INSNS */
const MOST_INSTRUCTIONS = 1_000_000
/**
 * Beyond this, a program with many paths is taken as it is: the verifier forgets more of what does not matter than this
 * verifier does, and may well come to an end.
 */
const PATIENCE = 40_000
/** States that are kept for each meeting point. */
const MOST_STATES = 24
const MOST_FRAMES = 8

interface Seen {
  readonly state: State
  readonly node: Node
}

const bytesOf = (opcode: number): 1 | 2 | 4 | 8 =>
  (opcode & 0x18) === sizes.BPF_B ? 1 : (opcode & 0x18) === sizes.BPF_H ? 2 : (opcode & 0x18) === sizes.BPF_W ? 4 : 8

export interface Explored {
  /** Up to where the context is read. */
  readonly contextSize: number
}

class Explorer implements Path {
  readonly code
  readonly type
  readonly attachType
  readonly allowsUnwrittenStack
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
  private ids = 0

  constructor(subject: Subject) {
    this.subject = subject
    this.code = subject.code
    this.type = subject.type
    this.attachType = subject.attachType
    this.allowsUnwrittenStack = subject.allowsUnwrittenStack
    this.callees = subject.callees
    this.live = liveness(subject.code)
    this.reads = Uint16Array.from({ length: subject.code.length }, (_, pc) => effects(subject.code, pc).reads)
    this.points = meetingPoints(subject.code)
    this.visited = new Uint8Array(subject.code.length)
    this.state = this.begin(0, [pointer("ctx")])
  }

  readonly newId = (): number => ++this.ids

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
    return { contextSize: this.contextSize }
  }

  private begin(start: number, given: ReadonlyArray<Register>): State {
    const frame = makeFrame(0, start, -1, this.allowsUnwrittenStack)
    for (const [index, register] of given.entries()) frame.registers[index + 1] = register
    const node: Node = { parent: undefined, branches: 1 }
    return {
      pc: start,
      frames: [frame],
      references: new Map(),
      locked: false,
      mayGotoDepth: 0,
      node,
      length: 0,
      keptAt: -8
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
        // Most of the work on one path is a loop that does not end; on many, it is their number.
        if (this.processed > PATIENCE && this.state.length < this.processed / 2) {
          this.work.length = 0
          return
        }
      }
      this.end()
    }
  }

  /** A path is at its end: the states that it came through have one less to wait for. */
  private end(): void {
    let node = this.state.node
    while (node !== undefined && --node.branches === 0) node = node.parent
  }

  /** Leaves another way to go for later. */
  private later(state: State): void {
    if (state.node !== undefined) state.node.branches++
    this.work.push(state)
  }

  /** True if the path goes on. */
  private step(): boolean {
    const { state } = this
    const { pc } = state
    if (this.points[pc] === 1 && !this.isNew()) return false
    this.trace.push(pc)
    if (this.trace.length > 50_000) this.trace.splice(0, 25_000)
    state.length++
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
    const wrong = malformed(code, pc)
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
    let seen = this.seen.get(state.pc)
    if (seen === undefined) this.seen.set(state.pc, seen = [])
    for (let i = seen.length - 1; i >= 0; i--) {
      const { node, state: old } = seen[i]!
      if (node.branches === 0) {
        if (isStateWithin(old, state, "within", live)) return false
        continue
      }
      // This path came through that state: it is a loop.
      if (old.mayGotoDepth !== state.mayGotoDepth) {
        if (isStateWithin(old, state, "within", live)) return false
        this.widen(old, live(state.frames.length - 1))
      } else if (isStateWithin(old, state, "exact", live)) {
        this.invalid(`infinite loop detected at insn ${state.pc}`)
      }
    }
    // As the verifier, not every state is kept: a short loop would cost more to compare than to follow.
    if (state.length - state.keptAt < 8 && seen.length > 0) return true
    state.keptAt = state.length
    const node: Node = { parent: state.node, branches: 1 }
    state.node = node
    seen.push({ state: copyState(state), node })
    if (seen.length > MOST_STATES) seen.splice(0, seen.length - MOST_STATES)
    return true
  }

  /** Forgets the numbers that change from one round of a `may_goto` loop to the next, so that rounds become alike. */
  private widen(old: State, live: number): void {
    const before = old.frames.at(-1)!
    const { registers, spills } = this.frame
    for (let r = 0; r < 10; r++) {
      const now = registers[r]!
      const then = before.registers[r]!
      if ((live & (1 << r)) === 0 || now.kind !== "scalar" || then.kind !== "scalar") continue
      if (!Scalar.contains(then.scalar, now.scalar)) registers[r] = unknownNumber
    }
    for (const [at, spill] of spills) {
      const then = before.spills.get(at)
      if (spill.register.kind !== "scalar" || then?.register.kind !== "scalar") continue
      if (!Scalar.contains(then.register.scalar, spill.register.scalar)) {
        spills.set(at, { ...spill, register: unknownNumber })
      }
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
    switch (opcode & 7) {
      case classes.BPF_ALU:
      case classes.BPF_ALU64:
        registers[dst] = arithmetic(this, pc)
        return true
      case classes.BPF_LD:
        if (opcode === WIDE_LOAD) {
          registers[dst] = this.wideLoad(pc)
          state.pc = pc + 2
        } else this.packetLoad()
        return true
      case classes.BPF_LDX: {
        const loaded = checkAccess(this, registers[src]!, { ...access, register: src, write: false })
        const extends_ = (opcode & 0xe0) === modes.BPF_MEMSX && loaded.kind === "scalar"
        registers[dst] = extends_ ? number(Scalar.signExtended(loaded.scalar, access.size * 8)) : loaded
        return true
      }
      case classes.BPF_ST: {
        const value = number(Scalar.constant(BigInt(code.immediates[pc]!)))
        checkAccess(this, registers[dst]!, { ...access, register: dst, write: true }, value)
        return true
      }
      case classes.BPF_STX:
        if ((opcode & 0xe0) === modes.BPF_ATOMIC) this.atomic(pc)
        else checkAccess(this, registers[dst]!, { ...access, register: dst, write: true }, registers[src]!)
        return true
      default:
        return this.control(pc)
    }
  }

  private wideLoad(pc: number): Register {
    const src = this.code.src[pc]!
    if (src === 0) return number(Scalar.constant(this.code.wide.get(pc)!))
    if (src === pseudo.BPF_PSEUDO_FUNC) return pointer("function")
    const loaded = this.subject.maps.get(pc)
    if (loaded === undefined) return anything
    if (loaded.value === undefined) return pointer("map", { map: loaded.map })
    if (loaded.map.arena !== undefined) return anything
    return pointer("value", { map: loaded.map, offset: loaded.value })
  }

  private packetLoad(): void {
    const { registers } = this.frame
    if (registers[6]!.kind !== "ctx" && registers[6]!.kind !== "anything") {
      this.invalid("at the time of BPF_LD_ABS|IND R6 != pointer to skb")
    }
    registers[0] = unknownNumber
    for (let r = 1; r <= 5; r++) registers[r] = none
  }

  private atomic(pc: number): void {
    const { code } = this
    const { registers } = this.frame
    const [dst, src, operation] = [code.dst[pc]!, code.src[pc]!, code.immediates[pc]!]
    const access = { offset: code.offsets[pc]!, size: bytesOf(code.opcodes[pc]!) }
    if (operation === atomics.BPF_LOAD_ACQ) {
      registers[dst] = checkAccess(this, registers[src]!, { ...access, register: src, write: false })
      return
    }
    const target = registers[dst]!
    if (["ctx", "packet", "meta"].includes(target.kind)) {
      this.reject(`BPF_ATOMIC stores into R${dst} ${target.kind === "ctx" ? "ctx" : "pkt"} is not allowed`)
    }
    if (operation !== atomics.BPF_STORE_REL) checkAccess(this, target, { ...access, register: dst, write: false })
    const stores = operation === atomics.BPF_STORE_REL ? registers[src]! : number(Scalar.ofBits(access.size * 8))
    checkAccess(this, target, { ...access, register: dst, write: true }, stores)
    const loaded = target.kind === "anything" ? anything : number(Scalar.ofBits(access.size * 8))
    if (operation === atomics.BPF_CMPXCHG) registers[0] = loaded
    else if (operation !== atomics.BPF_STORE_REL && (operation & atomics.BPF_FETCH) !== 0) registers[src] = loaded
  }

  private control(pc: number): boolean {
    const { code, state } = this
    const opcode = code.opcodes[pc]!
    if (opcode === EXIT) return this.exit()
    if (opcode === CALL) return this.call(pc)
    if (isGoto(opcode)) {
      state.pc = targetOf(code, pc)
      return true
    }
    if (opcode === CONDITIONAL_JUMP) {
      const out = copyState(state)
      out.pc = targetOf(code, pc)
      this.later(out)
      state.mayGotoDepth++
      return true
    }
    if (!isJump(opcode)) return this.invalid(`unknown opcode ${opcode.toString(16)}`)
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
      const callee = makeFrame(state.frames.length, pc + 1 + id, pc + 1, this.allowsUnwrittenStack)
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
      if (returned.kind === "stack" && returned.frame === state.frames.length - 1) {
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
