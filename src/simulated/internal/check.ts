// What is checked when a program is loaded, in the manner of the kernel's verifier, in its order and with its words. It
// knows less than the verifier does: where it is in doubt it accepts, and what is wrong then is still caught as the program
// runs.
import { bpf_func_id } from "../../abi/generated/enums.ts"
import { CALL, calls, classes, fields, modes } from "../../isa/opcodes.ts"
import { logLine } from "./verifier/logLine.ts"
import { explore, type Explored } from "./verifier/explore.ts"
import { checkStackDepth } from "./verifier/stackDepth.ts"
import { Rejected, type Subject } from "./verifier/path.ts"
import { checkInstructions, checkReach, checkStructure, reject, type Rejection } from "./verifier/structure.ts"

export type { Subject } from "./verifier/path.ts"
export type { Rejection } from "./verifier/structure.ts"

/** Kernel functions do not exist here; the kernel looks for them before anything else. */
const checkKernelFunctions = ({ callees, code }: Subject): Rejection | undefined => {
  for (let pc = 0; pc < code.length; pc++) {
    if (code.opcodes[pc] !== CALL || code.src[pc] !== calls.BPF_PSEUDO_KFUNC_CALL) continue
    const id = code.immediates[pc]!
    if (id === 0 && code.offsets[pc] === 0) continue
    if (!callees.isGpl) return reject("cannot call kernel function from non-GPL compatible program")
    const why = reject(logLine(code, pc), `the simulated kernel has no kernel functions: kernel-function#${id}`)
    // An offset is for functions of modules, by an array of descriptors.
    return code.offsets[pc]! <= 0 ? why : { ...why, errno: "EPROTO" }
  }
  return undefined
}

/** What may leave a function without its caller's knowledge stands in functions only where their types are known. */
const checkAbnormalReturns = ({ code, hasFunctionInfo }: Subject): Rejection | undefined => {
  if (hasFunctionInfo || code.functions.length < 2) return undefined
  for (let pc = code.functions[1]!; pc < code.length; pc++) {
    const opcode = code.opcodes[pc]!
    const mode = opcode & fields.MODE
    if ((opcode & fields.CLASS) === classes.BPF_LD && (mode === modes.BPF_ABS || mode === modes.BPF_IND)) {
      return reject("LD_ABS is not allowed in subprogs without BTF")
    }
    if (opcode === CALL && code.src[pc] === 0 && code.immediates[pc] === bpf_func_id.BPF_FUNC_tail_call) {
      return reject("tail_call is not allowed in subprogs without BTF")
    }
  }
  return undefined
}

/** What is wrong with a program, or what was learnt of it. */
export const check = (subject: Subject): Rejection | Explored => {
  const { code } = subject
  const wrong = checkKernelFunctions(subject) ?? checkStructure(code) ?? checkAbnormalReturns(subject) ??
    checkInstructions(subject) ?? checkReach(code)
  if (wrong !== undefined) return wrong
  if (subject.kindRefusal !== undefined) return subject.kindRefusal
  try {
    const explored = explore(subject)
    return checkStackDepth(subject, explored.depths) ?? explored
  } catch (error) {
    if (!(error instanceof Rejected)) throw error
    return { ...reject(...error.lines), errno: error.errno }
  }
}
