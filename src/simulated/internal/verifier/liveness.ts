// Which registers are read later, whatever happens before: two states that differ only in others are the same.
import { WIDE_LOAD } from "../../../isa/opcodes.ts"
import { type Code, isJump } from "../interpreter/code.ts"
import { effects } from "./effects.ts"
import { successors } from "./structure.ts"

/** For each slot, the registers that are read from there on before they are written. */
export const liveness = (code: Code): Uint16Array => {
  const live = new Uint16Array(code.length)
  for (let changed = true; changed;) {
    changed = false
    for (let pc = code.length - 1; pc >= 0; pc--) {
      if (code.opcodes[pc] === 0 && pc > 0 && code.opcodes[pc - 1] === WIDE_LOAD) continue
      const { reads, writes } = effects(code, pc)
      let after = 0
      for (const next of successors(code, pc)) after |= live[next] ?? 0
      const before = reads | (after & ~writes)
      if (before === live[pc]) continue
      live[pc] = before
      changed = true
    }
  }
  return live
}

/** The slots where states are compared: where paths meet. */
export const meetingPoints = (code: Code): Uint8Array => {
  const points = new Uint8Array(code.length)
  for (let pc = 0; pc < code.length; pc++) {
    if (isJump(code.opcodes[pc]!)) { for (const next of successors(code, pc)) points[next] = 1 }
    if (code.opcodes[pc] === WIDE_LOAD) pc++
  }
  return points
}
