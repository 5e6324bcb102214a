// What is checked when a program is loaded, in the manner of the kernel's verifier and with its words. It knows less than
// the verifier does: where it is in doubt it accepts, and what is wrong then is still caught as the program runs.
import { helperNameOf } from "../../isa/print.ts"
import { CALL, calls } from "../../isa/opcodes.ts"
import { logLine } from "./verifier/logLine.ts"
import { explore, type Explored } from "./verifier/explore.ts"
import { Rejected, type Subject } from "./verifier/path.ts"
import { checkStructure, reject, type Rejection } from "./verifier/structure.ts"

export type { Subject } from "./verifier/path.ts"
export type { Rejection } from "./verifier/structure.ts"

/** Helpers that do not exist, or not here; and kernel functions, which do not exist here at all. */
const checkCallees = ({ code, helpers }: Subject): Rejection | undefined => {
  for (let pc = 0; pc < code.length; pc++) {
    if (code.opcodes[pc] !== CALL || code.src[pc] === calls.BPF_PSEUDO_CALL) continue
    const id = code.immediates[pc]!
    if (code.src[pc] === calls.BPF_PSEUDO_KFUNC_CALL) {
      return reject(logLine(code, pc), `the simulated kernel has no kernel functions: kernel-function#${id}`)
    }
    if (helpers.has(id)) continue
    const name = helperNameOf(id)
    return reject(
      logLine(code, pc),
      name === undefined ? `invalid func unknown#${id}` : `the simulated kernel has no helper ${name}#${id}`
    )
  }
  return undefined
}

/** What is wrong with a program, or what was learnt of it. `follow` is false where its paths are not looked at. */
export const check = (subject: Subject, follow: boolean): Rejection | Explored => {
  const wrong = checkStructure(subject.code, follow) ?? checkCallees(subject)
  if (wrong !== undefined) return wrong
  if (!follow) return { contextSize: 0 }
  try {
    return explore(subject)
  } catch (error) {
    if (!(error instanceof Rejected)) throw error
    return { ...reject(...error.lines), errno: "EACCES" }
  }
}
