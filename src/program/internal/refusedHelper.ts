// Why a call of a helper was refused, in words of its own: by the table of which program may call which helper. The
// verifier says no more than that the function is unknown.
import * as Option from "effect/Option"
import type { ProgramType } from "../../abi/names.ts"
import * as Helper from "../../isa/Helper.ts"
import { availability } from "../../isa/helperCallers.ts"
import { CALL } from "../../isa/opcodes.ts"
import type { KernelVersion } from "../../kernel/Kernel.ts"
import { parseVersion } from "../../kernel/version.ts"
import { isGplCompatible } from "../../spec/license.ts"
import type { ProgramSpec } from "../../spec/ProgramSpec.ts"

/** What the verifier says of a helper that it does not give to a program, by kernel. */
const REFUSALS = /unknown func|cannot use helper|invalid func|GPL-restricted|might sleep/

const MOST_NAMES = 6

const named = (types: ReadonlyArray<ProgramType>): string =>
  types.length <= MOST_NAMES
    ? types.join(", ")
    : `${types.slice(0, MOST_NAMES).join(", ")} and ${types.length - MOST_NAMES} more types`

const isFrom = (version: KernelVersion, since: string): boolean => {
  const { major, minor } = parseVersion(since)
  return version.major > major || (version.major === major && version.minor >= minor)
}

const INSTRUCTION_SIZE = 8
/** Where the source register stands in the byte of both; in a call it tells helpers (0) from functions. */
const SOURCE_SHIFT = 4

/** The id of the helper that an instruction calls. */
const calleeOf = (bytes: Uint8Array, instruction: number): number | undefined => {
  const at = instruction * INSTRUCTION_SIZE
  if (at + INSTRUCTION_SIZE > bytes.length || bytes[at] !== CALL || bytes[at + 1]! >> SOURCE_SHIFT !== 0) {
    return undefined
  }
  return new DataView(bytes.buffer, bytes.byteOffset).getInt32(at + 4, true)
}

/** Why the helper that an instruction calls was refused; `undefined` where that is not what the verifier complains of. */
export const whyRefused = (
  spec: ProgramSpec,
  bytes: Uint8Array,
  instruction: number | undefined,
  reason: string,
  version: KernelVersion
): string | undefined => {
  const id = instruction === undefined || !REFUSALS.test(reason) ? undefined : calleeOf(bytes, instruction)
  const helper = id === undefined ? undefined : Option.getOrUndefined(Helper.fromId(id))
  if (helper === undefined) return undefined
  const { name } = helper
  if (!isFrom(version, helper.since)) return `\`${name}\` needs Linux ${helper.since} or later`
  const types = helper.programTypes
  const sleepable = (spec.flags ?? []).includes("sleepable" as never)
  const kind = { type: spec.type, attachType: spec.expectedAttachType, sleepable }
  const found = availability(helper.id, kind)
  if (found === undefined) {
    return types.includes(spec.type)
      ? `\`${name}\` is not for ${spec.type} programs of this attach type`
      : `\`${name}\` is not for ${spec.type} programs, but for ${named(types)}`
  }
  if (!isFrom(version, found.since)) {
    return `\`${name}\` is for ${spec.type} programs in Linux ${found.since}, and may be in some before it, but not in this one`
  }
  if (helper.gplOnly && !isGplCompatible(spec.license)) {
    return `\`${name}\` is for programs under a licence compatible with the GPL, and this one's is "${spec.license}"`
  }
  if (helper.sleeps && !sleepable) return `\`${name}\` may wait: only programs with the flag "sleepable" may call it`
  return `\`${name}\` is for ${spec.type} programs, but an option of this kernel, or lockdown, takes it away`
}
