// The place of a program among others of one hook, where the kernel keeps an order (BPF_F_BEFORE, BPF_F_AFTER): tcx and
// netkit, and cgroups since 6.17.
import * as Effect from "effect/Effect"
import type { ProgramType } from "../../abi/names.ts"
import { attachFlags } from "../../abi/os.ts"
import { isHandle, openFd } from "../../kernel/handle.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { type Check, type Checks, whenRight } from "../../kernel/options.ts"
import { programHandles } from "../../program/handles.ts"
import type { Program } from "../../program/Program.ts"
import { type Link, linkHandles } from "./holding.ts"

/** A program or link that is there, or all of them. */
export type Neighbour = Program<ProgramType, any> | Link | "all"

/** Where among the programs that are there. */
export interface Order {
  /** In front of this one, or of all. */
  readonly before?: Neighbour | undefined
  /** Behind this one, or all, which is the place of those that say none. */
  readonly after?: Neighbour | undefined
  /** Only if nothing has changed since: what a query said. 0, as when left out, is for any. */
  readonly expectedRevision?: bigint | undefined
}

const isLink = (value: unknown): value is Link => isHandle(linkHandles.link, value)

const neighbour: Check = {
  expected: "a program, a link or \"all\"",
  accepts: (value) => value === "all" || isHandle(programHandles, value) || isLink(value)
}

export const orderChecks: Checks<Order> = {
  before: neighbour,
  after: neighbour,
  expectedRevision: {
    expected: "a bigint of 64 bits",
    accepts: (value: unknown) => typeof value === "bigint" && BigInt.asUintN(64, value) === value
  }
}

/** As the fields of the attribute want it. */
export interface OrderFields {
  readonly flags: number
  readonly relative_fd: number
  readonly expected_revision: bigint
}

export const orderFields = (
  { after, before, expectedRevision = 0n }: Order
): Effect.Effect<OrderFields, InvalidArgument | SystemCallError> =>
  whenRight((): Effect.Effect<OrderFields, InvalidArgument | SystemCallError> => {
    if (before !== undefined && after !== undefined) {
      throw new InvalidArgument({ field: "after", expected: "nothing beside `before`", actual: "both" })
    }
    const one = before ?? after
    const { BPF_F_AFTER, BPF_F_BEFORE, BPF_F_LINK } = attachFlags
    const side = before !== undefined ? BPF_F_BEFORE : after !== undefined ? BPF_F_AFTER : 0
    const fields = { relative_fd: 0, expected_revision: expectedRevision }
    if (one === undefined || one === "all") return Effect.succeed({ ...fields, flags: side })
    const flags = side | (isLink(one) ? BPF_F_LINK : 0)
    return Effect.map(
      openFd(before === undefined ? "after" : "before", one, isLink(one) ? linkHandles.link : programHandles),
      (relative_fd) => ({ ...fields, flags, relative_fd })
    )
  })
