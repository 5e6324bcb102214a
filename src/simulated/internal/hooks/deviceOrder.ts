// The order of a device's programs in one direction, after kernel/bpf/mprog.c: each flag says by itself where a program
// is to go, and where they do not agree the request is refused.
import { errno } from "../../../abi/errno.ts"
import type { Attachment, SimulatedLink, SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { AFTER, BEFORE, REPLACE } from "./attachable.ts"
import type { Placing } from "./registry.ts"
import { type Anchor, anchorOf } from "./targets.ts"

/** BPF_MPROG_MAX */
const MOST_PROGRAMS = 64

/** What a command asks of the order. */
export interface Order {
  readonly flags: number
  /** A descriptor or an id, as the flags say. */
  readonly relative: number
  /** 0 for any. */
  readonly revision: number
}

type Attached = ReadonlyArray<Attachment>

const indexOf = (there: Attached, { link, program }: Anchor): number =>
  there.findIndex((other) => other.program === program && (link === undefined || other.link === link))

/** Before the first, of which there may be none, for no anchor; else one less than the anchor's index. */
const placeBefore = (there: Attached, anchor: Anchor | undefined): number => {
  if (anchor === undefined) return -1
  const index = indexOf(there, anchor)
  return index < 0 ? -errno.ENOENT : index - 1
}

const placeAfter = (there: Attached, anchor: Anchor | undefined): number => {
  if (anchor === undefined) return there.length
  const index = indexOf(there, anchor)
  return index < 0 ? -errno.ENOENT : index + 1
}

/** The index of exactly this program, alone or through this link. */
const exactly = (there: Attached, program: SimulatedProgram | undefined, link: SimulatedLink | undefined): number => {
  const index = there.findIndex((other) => other.program === program)
  return index < 0 ? -errno.ENOENT : there[index]!.link === link ? index : -errno.EBUSY
}

/** Where all that is asked for agrees: an index from -1 on; `undefined` if nothing was asked for; or `-errno`. */
const agreed = (
  there: Attached,
  anchor: Anchor | undefined,
  flags: number,
  exact: number | undefined
): number | undefined => {
  if (exact !== undefined && exact < -1) return exact
  let index = exact
  for (const [flag, place] of [[BEFORE, placeBefore], [AFTER, placeAfter]] as const) {
    if ((flags & flag) === 0) continue
    const at = place(there, anchor)
    if (at < -1) return at
    if (index !== undefined && at !== index) return -errno.ERANGE
    index = at
  }
  return index
}

/** The anchor, of the program's type; `undefined` for none, or `-errno`. */
const typedAnchor = (state: KernelState, { flags, relative }: Order, type: number | undefined) => {
  const anchor = anchorOf(state, flags, relative)
  if (anchor === undefined || typeof anchor === "number") return anchor
  return type !== undefined && anchor.program.type !== type ? -errno.EINVAL : anchor
}

/** Where a program is put (`bpf_mprog_attach`), or `-errno`. `old` is what it replaces. */
export const placeOnDevice = (
  state: KernelState,
  hook: string,
  program: SimulatedProgram,
  order: Order,
  old?: SimulatedProgram
): Placing | number => {
  const there = state.hooks.at(hook)
  const { flags, revision } = order
  if (revision !== 0 && revision !== state.hooks.revision(hook)) return -errno.ESTALE
  if (there.some((other) => other.program === program)) return -errno.EEXIST
  const anchor = typedAnchor(state, order, program.type)
  if (typeof anchor === "number") return anchor
  const replaces = (flags & REPLACE) !== 0
  if (!replaces && there.length === MOST_PROGRAMS) return -errno.ERANGE
  const index = agreed(there, anchor, flags, replaces ? exactly(there, old, undefined) : undefined)
  if (index === undefined) {
    return anchor !== undefined || flags !== 0 ? -errno.EINVAL : { index: there.length, replaced: undefined }
  }
  if (index < -1) return index
  if (replaces) return { index, replaced: there[index] }
  return { index: (flags & BEFORE) !== 0 ? index + 1 : index, replaced: undefined }
}

/** Which attachment goes (`bpf_mprog_detach`), or `-errno`. No program means the first, the last or an anchor's neighbour. */
export const leavingDevice = (
  state: KernelState,
  hook: string,
  program: SimulatedProgram | undefined,
  order: Order
): Attachment | number => {
  const there = state.hooks.at(hook)
  const { flags, revision } = order
  if (there.length === 0) return -errno.ENOENT
  if ((flags & REPLACE) !== 0) return -errno.EINVAL
  if (revision !== 0 && revision !== state.hooks.revision(hook)) return -errno.ESTALE
  const anchor = typedAnchor(state, order, program?.type)
  if (typeof anchor === "number") return anchor
  const index = agreed(there, anchor, flags, program === undefined ? undefined : exactly(there, program, undefined))
  if (index === undefined && (anchor !== undefined || flags !== 0)) return -errno.EINVAL
  if (index !== undefined && index < -1) return index
  const found = there[Math.min(Math.max(index ?? there.length, 0), there.length - 1)]!
  // Links are closed or detached, never from here.
  return found.link === undefined ? found : -errno.EBUSY
}
