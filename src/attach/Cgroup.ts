/**
 * Attaches programs to cgroups (version 2): they decide about what the processes in one, and in those below it, do with
 * packets, sockets, devices and sysctls. Kernel 5.7, for the link that holds it; `sharing` is the way before links.
 *
 * A cgroup is named by its folder, or by a descriptor of it. Where cgroup2 is mounted differs: `/sys/fs/cgroup`, or
 * `/sys/fs/cgroup/unified` on hosts that have version 1 beside it; `Cgroup.root` finds it. What programs of a link
 * answer is combined: one that denies is enough.
 *
 * Needs CAP_NET_ADMIN and CAP_BPF, and a folder that may be opened.
 *
 * @example
 * ```ts
 * import { Asm, Cgroup, Program, ProgramSpec } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const mute = ProgramSpec.make({
 *   type: "cgroup_skb",
 *   name: "mute",
 *   expectedAttachType: "cgroup_inet_egress",
 *   instructions: [Asm.mov("r0", 0), Asm.exit()] // no packet leaves
 * })
 *
 * const program = Effect.gen(function*() {
 *   const root = yield* Cgroup.root
 *   yield* Cgroup.attach(yield* Program.load(mute), `${root}/my.slice`)
 *   yield* Effect.sleep("10 seconds")
 * }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { type AttachType, attachTypes } from "../abi/names.ts"
import { attachFlags } from "../abi/os.ts"
import { createLink } from "../bpf/links.ts"
import { attachProgram, detachProgram, queryPrograms } from "../bpf/programs.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { findMount } from "../kernel/mounts.ts"
import {
  anInteger,
  aPath,
  assertArgument,
  type Check,
  type Checks,
  oneOf,
  readOptions,
  whenRight
} from "../kernel/options.ts"
import { acquireDescriptor } from "../kernel/systemCall.ts"
import { shown } from "../kernel/validate.ts"
import type { Program } from "../program/Program.ts"
import { type AttachError, type Reason, TargetNotFound } from "./AttachError.ts"
import { type Attaching, attaching } from "./internal/attaching.ts"
import { acquireAtTarget, fromDescriptor } from "./internal/holding.ts"
import { type Order, orderChecks, orderFields } from "./internal/order.ts"
import type { Link } from "./Link.ts"

/** The types of program that belong to cgroups. */
export type CgroupType =
  | "cgroup_skb"
  | "cgroup_sock"
  | "cgroup_sock_addr"
  | "cgroup_device"
  | "cgroup_sysctl"
  | "cgroup_sockopt"
  | "sock_ops"

const sharings = {
  exclusive: 0,
  override: attachFlags.BPF_F_ALLOW_OVERRIDE,
  multi: attachFlags.BPF_F_ALLOW_MULTI
} as const

/** The fields of `attach`'s options. The place in an order, for links, needs kernel 6.17. */
export interface Options extends Order {
  /**
   * Without a link, as before 5.7: the cgroup holds the program itself, and one that is killed leaves it there. `"exclusive"`
   * lets cgroups below have none of this attach type, `"override"` one that runs in its place, `"multi"` more of them
   * beside it. All programs of a cgroup and attach type share in one way.
   */
  readonly sharing?: keyof typeof sharings | undefined
}

const anAttachType = oneOf(Object.keys(attachTypes))
const checks: Checks<Options> = { sharing: oneOf(Object.keys(sharings)), ...orderChecks }

const nameOf = (cgroup: string | number): string =>
  typeof cgroup === "string" ? `cgroup ${cgroup}` : `cgroup of descriptor ${cgroup}`

/** The highest descriptor: an `int`. */
const HIGHEST = 2 ** 31 - 1

const aCgroup: Check = {
  expected: "a cgroup's folder, or a descriptor of it",
  accepts: (value) => aPath.accepts(value) || anInteger(0, HIGHEST).accepts(value)
}

/** A descriptor of a cgroup's folder, closed with the scope; the caller's own stays the caller's. */
const acquireFolder = (
  kernel: KernelService,
  cgroup: string | number
): Effect.Effect<{ readonly fd: number }, SystemCallError | TargetNotFound, Scope.Scope> => {
  if (typeof cgroup === "number") return Effect.succeed({ fd: cgroup })
  const what = { call: "open", subject: nameOf(cgroup) }
  return acquireDescriptor(kernel, what, () => kernel.files.open(cgroup)).pipe(
    Effect.catchIf(
      ({ errno: number }) => number === errno.ENOENT || number === errno.ENOTDIR,
      () => Effect.fail(new TargetNotFound({ target: nameOf(cgroup), lookIn: "the folders of a cgroup2 mount" }))
    )
  )
}

/** EBADF is what the kernel says of a folder of another file system. */
const noCgroup = (cgroup: string | number) => (error: Reason): Reason =>
  error instanceof SystemCallError && error.errno === errno.EBADF && typeof cgroup === "string"
    ? new InvalidArgument({ field: "cgroup", expected: "a folder of a cgroup2 mount", actual: shown(cgroup) })
    : error

const attachByLink = <T extends CgroupType>(
  { about, kernel, owner, program }: Attaching<T>,
  attachType: number,
  cgroup: string | number,
  order: Order
) =>
  Effect.gen(function*() {
    const { expected_revision, flags, relative_fd } = yield* orderFields(order)
    const { fd } = yield* acquireFolder(kernel, cgroup)
    const fields = {
      prog_fd: program,
      target_fd: fd,
      attach_type: attachType,
      flags,
      ...(flags === 0 && expected_revision === 0n
        ? {}
        : { "cgroup.relative_fd": relative_fd, "cgroup.expected_revision": expected_revision })
    }
    const link = yield* Scope.provide(createLink(kernel, fields, { subject: about.target }), owner)
    return fromDescriptor(kernel, link, about)
  })

const attachToFolder = <T extends CgroupType>(
  { about, kernel, owner, program }: Attaching<T>,
  attachType: number,
  cgroup: string | number,
  flags: number
) =>
  Effect.gen(function*() {
    const { fd } = yield* Scope.provide(acquireFolder(kernel, cgroup), owner)
    const place = { target: fd, attachType, program }
    const purpose = { subject: about.target }
    const calls = {
      attach: attachProgram(kernel, { ...place, flags }, purpose),
      detach: detachProgram(kernel, place, purpose)
    }
    return yield* Scope.provide(acquireAtTarget(kernel, about, calls), owner)
  })

/**
 * Attaches a program to a cgroup until the scope closes, for the attach type that it was made for.
 *
 * Fails with `AttachError`, for reasons of: `TargetNotFound` for a folder that is not there, `InvalidArgument` for one that is
 * no cgroup, and for options that are none; `SystemCallError`: EPERM where a cgroup above, or this one, shares in another way,
 * EINVAL for a place in the order on kernels without.
 */
export const attach = <T extends CgroupType>(
  program: Program<T, any>,
  cgroup: string | number,
  options?: Options
): Effect.Effect<Link<T>, AttachError, Kernel | Scope.Scope> =>
  attaching(program, "a cgroup", () => {
    assertArgument("cgroup", cgroup, aCgroup)
    const { sharing, ...order } = readOptions("options of a cgroup", options, checks)
    const [ordered] = Object.keys(order)
    if (sharing !== undefined && ordered !== undefined) {
      throw new InvalidArgument({ field: ordered, expected: "no place in an order with `sharing`", actual: "one" })
    }
    return { target: nameOf(cgroup), sharing, order }
  }, (attaching, { order, sharing }) => {
    const attachType = attachTypes[program.attachType as AttachType] ?? 0
    const attached = sharing === undefined
      ? attachByLink(attaching, attachType, cgroup, order)
      : attachToFolder(attaching, attachType, cgroup, sharings[sharing])
    return Effect.mapError(attached, noCgroup(cgroup))
  })

/**
 * The ids of the programs of a cgroup and attach type, in the order in which they run. Fails with `TargetNotFound` for a
 * folder that is not there, and with `SystemCallError`.
 */
export const programs = (
  cgroup: string | number,
  attachType: AttachType
): Effect.Effect<ReadonlyArray<number>, InvalidArgument | SystemCallError | TargetNotFound, Kernel> =>
  Effect.flatMap(Kernel, (kernel) =>
    whenRight(() => {
      assertArgument("cgroup", cgroup, aCgroup)
      assertArgument("attachType", attachType, anAttachType)
      const query = ({ fd }: { readonly fd: number }) =>
        queryPrograms(kernel, { target: fd, attachType: attachTypes[attachType] }, { subject: nameOf(cgroup) })
      return Effect.scoped(Effect.flatMap(acquireFolder(kernel, cgroup), query))
    }))

/**
 * Where cgroup2 is mounted: the first mount that this process can reach. Fails with `TargetNotFound` where there is none.
 */
export const root: Effect.Effect<string, SystemCallError | TargetNotFound, Kernel> = Effect.gen(function*() {
  const kernel = yield* Kernel
  const found = yield* findMount(kernel, "cgroup2", "")
  if (found.path !== undefined) return found.path
  return yield* found.refusal ??
    new TargetNotFound({
      target: "cgroup2 mount",
      lookIn: "/proc/self/mountinfo; `mount -t cgroup2 none <folder>` makes one"
    })
})
