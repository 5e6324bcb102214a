// Which helpers a program may call at all, by its kind and its licence, before its arguments are looked at
// (check_helper_call in kernel/bpf/verifier.c).
import { availability, type Caller } from "../../../isa/helperCallers.ts"
import type { KernelVersion } from "../../../kernel/Kernel.ts"
import { prototypeOf } from "./prototypes.ts"

/** What decides on a program's calls. */
export interface Callees {
  readonly version: KernelVersion
  readonly caller: Caller
  /** Whether the program's licence is compatible with the GPL. */
  readonly isGpl: boolean
}

const isFrom = ({ major, minor }: KernelVersion, text: string): boolean => {
  const [wantedMajor = 0, wantedMinor = 0] = text.split(".").map(Number)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

/** Whether a kernel offers a helper to a kind of program. */
const isOffered = ({ caller, version }: Callees, id: number): boolean => {
  if (caller.type === "ext") return true
  const found = availability(id, caller)
  return found !== undefined && isFrom(version, found.since) &&
    (found.withdrawn === undefined || !isFrom(version, found.withdrawn))
}

/** Why a helper may not be called, in the kernel's words; `undefined` where it may. */
export const whyNotCallable = (callees: Callees, id: number): string | undefined => {
  const prototype = prototypeOf(id)
  if (prototype === undefined) return `invalid func unknown#${id}`
  const { gplOnly, name, sleeps } = prototype.helper
  if (!isOffered(callees, id)) return `program of this type cannot use helper bpf_${name}#${id}`
  if (gplOnly && !callees.isGpl) return "cannot call GPL-restricted function from non-GPL compatible program"
  if (name === "d_path" && callees.caller.attachType === "trace_raw_tp") return "helper call is not allowed in probe"
  return sleeps && callees.caller.sleepable !== true ? "helper call might sleep in a non-sleepable prog" : undefined
}
