/**
 * Attaches programs of traffic control to network interfaces by tcx: each packet that an interface receives, or is about to
 * send, goes through the programs there in their order, until one decides. No qdisc is needed, and none is made. Kernel 6.6.
 *
 * `TC_ACT_UNSPEC` (-1) asks the next program; what the last one leaves open is passed. The programs of one interface and
 * direction stand in an order that new ones may choose their place in; a place relative to one that has gone is refused.
 *
 * Needs CAP_NET_ADMIN and CAP_BPF.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec, Tcx } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const next = ProgramSpec.make({
 *   type: "sched_cls",
 *   name: "next",
 *   instructions: [Asm.mov("r0", -1), Asm.exit()]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const one = yield* Tcx.attach(yield* Program.load(next), "veth1", { direction: "ingress" })
 *   yield* Tcx.attach(yield* Program.load(next), "veth1", { direction: "ingress", before: one })
 *   return yield* Tcx.programs("veth1", "ingress") // the second, then the first
 * }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_attach_type } from "../abi/generated/enums.ts"
import { createLink } from "../bpf/links.ts"
import { queryPrograms } from "../bpf/programs.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { assertArgument, type Checks, oneOf, readOptions, required, whenRight } from "../kernel/options.ts"
import type { Program } from "../program/Program.ts"
import type { AttachError, TargetNotFound } from "./AttachError.ts"
import { attaching } from "./internal/attaching.ts"
import { fromDescriptor } from "./internal/holding.ts"
import { nameOf, readInterface, toIndex } from "./internal/interfaces.ts"
import { type Order, orderChecks, orderFields } from "./internal/order.ts"
import type { Link } from "./Link.ts"

const directions = {
  ingress: bpf_attach_type.BPF_TCX_INGRESS,
  egress: bpf_attach_type.BPF_TCX_EGRESS
} as const

/** Packets that come in, or that go out. */
export type Direction = keyof typeof directions

/** The fields of `attach`'s options. */
export interface Options extends Order {
  readonly direction: Direction
}

const aDirection = required(oneOf(Object.keys(directions)))
const checks: Checks<Options> = { direction: aDirection, ...orderChecks }

/**
 * Attaches a program to an interface, by name or index, until the scope closes: behind those that are there, unless told.
 *
 * Fails with `AttachError`, for reasons of: `TargetNotFound` for a name that no interface has, `AlreadyAttached` if the
 * program is there already, `InvalidArgument` for what is no name or index, and for options that are none, and
 * `SystemCallError`: ENODEV for an index that no interface has, ENOENT for a place relative to what is not there, ESTALE
 * if `expectedRevision` has passed.
 */
export const attach = (
  program: Program<"sched_cls", any>,
  networkInterface: string | number,
  options: Options
): Effect.Effect<Link<"sched_cls">, AttachError, Kernel | Scope.Scope> =>
  attaching(program, "a network interface", () => {
    const place = readInterface(networkInterface)
    const { direction, ...order } = readOptions("options of tcx", options, checks)
    return { target: nameOf(place), place, direction, order: orderFields(order) }
  }, ({ about, kernel, owner, program }, { direction, order, place }) =>
    Effect.gen(function*() {
      const { expected_revision, flags, relative_fd } = yield* order
      const fields = {
        prog_fd: program,
        target_fd: yield* toIndex(kernel, place),
        attach_type: directions[direction],
        flags,
        "tcx.relative_fd": relative_fd,
        "tcx.expected_revision": expected_revision
      }
      const link = yield* Scope.provide(createLink(kernel, fields, { subject: about.target }), owner)
      return fromDescriptor(kernel, link, about)
    }))

/**
 * The ids of the programs of an interface and direction, in the order in which they run. Fails with `TargetNotFound` for a
 * name that no interface has, with `InvalidArgument` for what is none, and with `SystemCallError`: EINVAL before 6.6.
 */
export const programs = (
  networkInterface: string | number,
  direction: Direction
): Effect.Effect<ReadonlyArray<number>, InvalidArgument | SystemCallError | TargetNotFound, Kernel> =>
  Effect.flatMap(Kernel, (kernel) =>
    whenRight(() => {
      const place = readInterface(networkInterface)
      assertArgument("direction", direction, aDirection)
      const attachType = directions[direction]
      return Effect.flatMap(toIndex(kernel, place), (target) =>
        queryPrograms(kernel, { target, attachType }, { subject: nameOf(place) }))
    }))
