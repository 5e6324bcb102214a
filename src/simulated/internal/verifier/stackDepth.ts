// How much stack the functions of a program use together (check_max_stack_depth).
import { bpf_func_id } from "../../../abi/generated/enums.ts"
import { programTypes } from "../../../abi/names.ts"
import { CALL, calls, pseudo, WIDE_LOAD } from "../../../isa/opcodes.ts"
import { type Code, endOf } from "../interpreter/code.ts"
import type { Errno, Rejection, Subject } from "./path.ts"

const MOST = 512
const MOST_FRAMES = 8
/** With a tail call below, the frames above it may be no larger, since 33 of those may follow each other. */
const MOST_ABOVE_TAIL_CALL = 256
/** Functions of less share the kernel's stack. */
const LEAST_PRIVATE = 64

/** Types whose functions get stacks of their own where they are large; kernel 6.13. */
const privateStacks: ReadonlySet<number> = new Set([
  programTypes.kprobe,
  programTypes.tracepoint,
  programTypes.perf_event,
  programTypes.raw_tracepoint
])

const refuse = (errno: Errno, why: string): Rejection => ({ log: `${why}\n`, errno })

interface Call {
  readonly callee: number
}

const callsOf = (code: Code, start: number): ReadonlyArray<Call> => {
  const found: Array<Call> = []
  for (let pc = start; pc < endOf(code, start); pc++) {
    const isCall = code.opcodes[pc] === CALL && code.src[pc] === calls.BPF_PSEUDO_CALL
    const isCallback = code.opcodes[pc] === WIDE_LOAD && code.src[pc] === pseudo.BPF_PSEUDO_FUNC
    if (isCall || isCallback) found.push({ callee: pc + 1 + code.immediates[pc]! })
    if (code.opcodes[pc] === WIDE_LOAD) pc++
  }
  return found
}

const hasTailCall = (code: Code, start: number): boolean => {
  for (let pc = start; pc < endOf(code, start); pc++) {
    if (code.opcodes[pc] === CALL && code.src[pc] === 0 && code.immediates[pc] === bpf_func_id.BPF_FUNC_tail_call) {
      return true
    }
  }
  return false
}

/** What is wrong with the stack of a program, if anything. `depths` are the bytes that each function uses. */
export const checkStackDepth = (
  { code, rules, type }: Subject,
  depths: ReadonlyMap<number, number>
): Rejection | undefined => {
  const tailCalls = new Set(code.functions.filter((start) => hasTailCall(code, start)))
  const isPrivate = rules.hasPrivateStacks && tailCalls.size === 0 && privateStacks.has(type)
  const callees = new Map(code.functions.map((start) => [start, callsOf(code, start)]))
  // The deepest that each function was reached with: a smaller depth tells nothing new.
  const reached = new Map<string, number>()
  const walk = (start: number, depthAbove: number, frame: number): Rejection | undefined => {
    const key = `${start} ${frame}`
    if ((reached.get(key) ?? -1) >= depthAbove) return undefined
    reached.set(key, depthAbove)
    if (start !== 0 && tailCalls.has(start) && depthAbove >= MOST_ABOVE_TAIL_CALL) {
      const what = `tail_calls are not allowed when call stack of previous frames is ${depthAbove} bytes. Too large`
      return refuse("EACCES", what)
    }
    const own = Math.ceil((depths.get(start) ?? 0) / 16) * 16
    const depth = isPrivate && own >= LEAST_PRIVATE ? depthAbove : depthAbove + own
    if (depth > MOST) {
      return refuse("EACCES", `combined stack size of ${frame + 1} calls is ${depth}. Too large`)
    }
    for (const { callee } of callees.get(start) ?? []) {
      if (frame + 1 >= MOST_FRAMES) return refuse("E2BIG", `the call stack of ${frame + 2} frames is too deep !`)
      const wrong = walk(callee, depth, frame + 1)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
  return walk(0, 0, 0)
}
