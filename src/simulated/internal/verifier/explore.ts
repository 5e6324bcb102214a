// Follows all paths of a program, as the verifier does: what each register holds is carried along, branches that cannot
// be taken are left out, and a path ends where another went before with no less.
import { programTypes } from "../../../abi/names.ts"
import {
  alu,
  BPF_ADDR_SPACE_CAST,
  CALL,
  calls,
  classes,
  CONDITIONAL_JUMP,
  EXIT,
  fields,
  pseudo,
  sources,
  WIDE_LOAD
} from "../../../isa/opcodes.ts"
import { type Code, isGoto, isJump, targetOf } from "../interpreter/code.ts"
import { branch } from "./branches.ts"
import { effects } from "./effects.ts"
import { callHelper } from "./helperCalls.ts"
import { execute, isStraight } from "./instructions.ts"
import { liveness, meetingPoints } from "./liveness.ts"
import { logLine } from "./logLine.ts"
import { type Errno, type Path, Rejected, type Subject } from "./path.ts"
import { noneDecides } from "./precision.ts"
import { checkReturn } from "./returns.ts"
import { anything, copyState, makeFrame, none, pointer, type Register, STACK, type State } from "./state.ts"
import { malformed, wrongOperand } from "./structure.ts"
import { NO_STEP, Trail } from "./trail.ts"
import { roundBefore, Visited, widen } from "./visited.ts"

/** BPF_COMPLEXITY_LIMIT_INSNS */
const MOST_INSTRUCTIONS = 1_000_000
/** BPF_COMPLEXITY_LIMIT_JMP_SEQ: ways to go that are left for later. */
const MOST_LATER = 8192
const MOST_FRAMES = 8
/** So many instructions stand in the log of a rejection, the last ones. */
const MOST_LOGGED = 50_000
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

export interface Explored {
  /** Up to where the context is read. */
  readonly contextSize: number
  /** How many bytes of stack each function uses, by where it begins. */
  readonly depths: ReadonlyMap<number, number>
}

/** A load from the packet as classic BPF does it. */
const isPacketLoad = (opcode: number): boolean => (opcode & fields.CLASS) === classes.BPF_LD && opcode !== WIDE_LOAD

/** A cast between address spaces: a 64-bit move of offset 1. */
const isSpaceCast = (code: Code, pc: number): boolean =>
  code.opcodes[pc] === (classes.BPF_ALU64 | alu.BPF_MOV | sources.BPF_X) && code.offsets[pc] === BPF_ADDR_SPACE_CAST

class Explorer implements Path {
  readonly code
  readonly type
  readonly attachType
  readonly rules
  readonly callees
  contextSize = 0
  state: State
  readonly subject: Subject
  readonly trail = new Trail()
  /** The registers that each instruction reads, as sets of bits. */
  private readonly reads: Uint16Array
  private readonly points: Uint8Array
  private readonly visited: Uint8Array
  private readonly kept: Visited
  private readonly work: Array<State> = []
  private processed = 0
  private jumps = 0
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
    this.kept = new Visited(subject.code, liveness(subject.code), this.trail)
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
    this.kept.decide(this.state, deciding)
  }

  readonly reject = (...lines: ReadonlyArray<string>): never => this.refuse("EACCES", lines)
  readonly invalid = (...lines: ReadonlyArray<string>): never => this.refuse("EINVAL", lines)

  readonly refuse = (errno: Errno, lines: ReadonlyArray<string>): never => {
    const trace = Array.from(this.trail.last(MOST_LOGGED), (pc) => logLine(this.code, pc))
    throw new Rejected([...trace, ...lines], errno)
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
      step: NO_STEP,
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
          // No instruction is at fault.
          throw new Rejected([`BPF program is too large. Processed ${this.processed} insn`], "E2BIG")
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
    if (this.work.length > MOST_LATER) {
      this.refuse("EFAULT", [`The sequence of ${this.work.length} jumps is too complex.`])
    }
  }

  /** True if the path goes on. */
  private step(): boolean {
    const { state } = this
    const { pc } = state
    if (this.points[pc] === 1) {
      const found = this.kept.visit(state, this.processed, this.jumps)
      if (found === "known") return false
      if (found === "endless") this.invalid(`infinite loop detected at insn ${pc}`)
    }
    state.step = this.trail.add(pc, state.frames.length - 1, state.step)
    state.stretch++
    if (this.visited[pc] === 0) {
      this.visited[pc] = 1
      this.checkFields(pc)
    }
    this.checkReads(pc)
    if (!isStraight(this.code.opcodes[pc]!)) return this.control(pc)
    execute(this, pc)
    return true
  }

  /** The fields of an instruction, when a path leads to it first: in dead code they may be anything. */
  private checkFields(pc: number): void {
    const { code } = this
    const opcode = code.opcodes[pc]!
    if (isPacketLoad(opcode) && !takesPacketLoads.has(this.type)) {
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
    const opcode = this.code.opcodes[pc]!
    // Arguments are checked against what the callee takes; what a packet load or the end reads comes after other checks.
    if (opcode === CALL || opcode === EXIT || isPacketLoad(opcode)) return
    const { registers } = this.frame
    for (let r = 0; r <= 10; r++) {
      if ((reads & (1 << r)) !== 0 && registers[r]!.kind === "none") this.reject(`R${r} !read_ok`)
    }
  }

  private get frame() {
    return this.state.frames.at(-1)!
  }

  private control(pc: number): boolean {
    const { code, state } = this
    const opcode = code.opcodes[pc]!
    state.pc = pc + 1
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
      const before = roundBefore(state, pc)
      if (before !== undefined) widen(before, on)
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
    if (returned.kind === "none") this.reject("R0 !read_ok")
    if (!callbackFrame) checkReturn(this, returned)
    return false
  }
}

/** Checks all paths of a program whose structure is right. Throws `Rejected`. */
export const explore = (subject: Subject): Explored => new Explorer(subject).run()
