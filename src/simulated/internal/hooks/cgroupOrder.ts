// The order of a cgroup's programs of one attach type, and of those of the cgroups above it, after kernel/bpf/cgroup.c.
import { errno } from "../../../abi/errno.ts"
import type { Attachment, SimulatedProgram } from "../descriptors.ts"
import type { KernelState } from "../kernelState.ts"
import { AFTER, ALLOW_MULTI, ALLOW_OVERRIDE, BEFORE, BY_ID, LINK, PREORDER, REPLACE } from "./attachable.ts"
import type { Order } from "./deviceOrder.ts"
import { hookOf, type Placing } from "./registry.ts"
import { anchorOf } from "./targets.ts"

/** BPF_CGROUP_MAX_PROGS */
const MOST_PROGRAMS = 64

/** The flags that all programs of a cgroup's hook share. */
export const modeOf = (flags: number): number => flags & (ALLOW_OVERRIDE | ALLOW_MULTI)

/** False where a cgroup above has a program that may not be overridden (`hierarchy_allows_attach`). */
const isAllowedAbove = ({ hooks, lineage }: KernelState, attachType: number, cgroup: bigint): boolean => {
  for (const above of lineage(cgroup).slice(1)) {
    const hook = hookOf.cgroup(attachType, above)
    if ((hooks.mode(hook) & ALLOW_MULTI) !== 0) return true
    if (hooks.at(hook).length > 0) return (hooks.mode(hook) & ALLOW_OVERRIDE) !== 0
  }
  return true
}

/** The index that a new program gets among those there (`get_prog_list`), or `-errno`. */
const insertion = (
  state: KernelState,
  there: ReadonlyArray<Attachment>,
  isLink: boolean,
  { flags, relative }: Order
): number => {
  const before = (flags & BEFORE) !== 0
  const after = (flags & AFTER) !== 0
  const namesLink = (flags & LINK) !== 0
  const isRelative = namesLink || (flags & BY_ID) !== 0 || relative !== 0
  // Programs have their place beside programs, and links beside links.
  if (isRelative ? before === after || namesLink !== isLink : there.length > 0 && before && after) return -errno.EINVAL
  const anchor = anchorOf(state, flags, relative)
  if (typeof anchor === "number") return anchor
  if (anchor === undefined) return before ? 0 : there.length
  const index = there.findIndex((other) =>
    anchor.link === undefined
      ? other.link === undefined && other.program === anchor.program
      : other.link === anchor.link
  )
  if (index < 0) return -errno.ENOENT
  if ((there[index]!.isPreordered === true) !== ((flags & PREORDER) !== 0)) return -errno.EINVAL
  return before ? index : index + 1
}

/** What a program that is attached without a link, or a link, is to replace where many are there; or `-errno`. */
const replacedOfMany = (
  there: ReadonlyArray<Attachment>,
  program: SimulatedProgram,
  old: SimulatedProgram | undefined
): Attachment | undefined | number => {
  const isDirect = ({ link }: Attachment) => link === undefined
  if (program !== old && there.some((other) => isDirect(other) && other.program === program)) return -errno.EINVAL
  if (old === undefined) return undefined
  return there.find((other) => isDirect(other) && other.program === old) ?? -errno.ENOENT
}

/** Where a program or a link is put (`__cgroup_bpf_attach`), or `-errno`. `old` is the program that it replaces. */
export const placeInCgroup = (
  state: KernelState,
  attachType: number,
  cgroup: bigint,
  given: { readonly program: SimulatedProgram; readonly isLink: boolean; readonly old?: SimulatedProgram | undefined },
  order: Order
): Placing | number => {
  const hook = hookOf.cgroup(attachType, cgroup)
  const { flags, revision } = order
  const mode = modeOf(flags)
  const replaces = (flags & REPLACE) !== 0
  if (mode === (ALLOW_OVERRIDE | ALLOW_MULTI) || (replaces && mode !== ALLOW_MULTI)) return -errno.EINVAL
  if (replaces && (flags & (BEFORE | AFTER)) !== 0) return -errno.EINVAL
  if (revision !== 0 && revision !== state.hooks.revision(hook)) return -errno.ESTALE
  const there = state.hooks.at(hook)
  if (!isAllowedAbove(state, attachType, cgroup)) return -errno.EPERM
  if (there.length > 0 && state.hooks.mode(hook) !== mode) return -errno.EPERM
  if (there.length >= MOST_PROGRAMS) return -errno.E2BIG
  const replaced = mode !== ALLOW_MULTI
    ? there[0]
    : given.isLink
    ? undefined
    : replacedOfMany(there, given.program, given.old)
  if (typeof replaced === "number") return replaced
  if (replaced !== undefined) return { index: there.indexOf(replaced), replaced }
  const index = insertion(state, there, given.isLink, order)
  return index < 0 ? index : { index, replaced: undefined }
}

/** Which attachment goes (`__cgroup_bpf_detach`), or `-errno`. Where there is one alone, it need not be named. */
export const leavingCgroup = (
  { hooks }: KernelState,
  hook: string,
  program: SimulatedProgram | undefined,
  revision: number
): Attachment | number => {
  if (revision !== 0 && revision !== hooks.revision(hook)) return -errno.ESTALE
  const there = hooks.at(hook)
  if ((hooks.mode(hook) & ALLOW_MULTI) === 0) return there[0] ?? -errno.ENOENT
  if (program === undefined) return -errno.EINVAL
  return there.find((other) => other.link === undefined && other.program === program) ?? -errno.ENOENT
}

/**
 * What runs for a cgroup, in order (`compute_effective_progs`): those that go first, from the outermost cgroup inwards;
 * then its own and those of the cgroups above it. Above one that has any, only cgroups count that allow many.
 */
export const effective = (
  { hooks, lineage }: KernelState,
  attachType: number,
  cgroup: bigint
): ReadonlyArray<Attachment> => {
  const levels: Array<ReadonlyArray<Attachment>> = []
  for (const each of lineage(cgroup)) {
    const hook = hookOf.cgroup(attachType, each)
    const isYielding = levels.some((level) => level.length > 0) && (hooks.mode(hook) & ALLOW_MULTI) === 0
    if (!isYielding) levels.push(hooks.at(hook))
  }
  const first = levels.toReversed().flatMap((level) => level.filter(({ isPreordered }) => isPreordered))
  return [...first, ...levels.flatMap((level) => level.filter(({ isPreordered }) => !isPreordered))]
}
