// What a program is known by: SHA-256 of its instructions, but for the descriptors of maps (`bpf_prog_calc_tag`).
import { createHash } from "node:crypto"
import { pseudo, WIDE_LOAD } from "../../isa/opcodes.ts"
import { viewOf } from "./memory.ts"

const INSTRUCTION_SIZE = 8

/** The digest of a program's bytes as it was loaded. */
export const digestOf = (bytes: Uint8Array): Uint8Array => {
  const purged = bytes.slice()
  const view = viewOf(purged)
  for (let at = 0; at + INSTRUCTION_SIZE <= purged.length; at += INSTRUCTION_SIZE) {
    const source = purged[at + 1]! >> 4
    if (purged[at] !== WIDE_LOAD || (source !== pseudo.BPF_PSEUDO_MAP_FD && source !== pseudo.BPF_PSEUDO_MAP_VALUE)) {
      continue
    }
    view.setInt32(at + 4, 0, true)
    // The second half, if it is one.
    at += INSTRUCTION_SIZE
    if (at + INSTRUCTION_SIZE <= purged.length && view.getUint32(at, true) === 0) view.setInt32(at + 4, 0, true)
  }
  return createHash("sha256").update(purged).digest()
}
