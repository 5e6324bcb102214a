/**
 * Attaches XDP programs to network interfaces: each packet that one receives is seen before the network stack has it, and
 * passed, dropped, changed, sent back or sent elsewhere. Kernel 5.9, for the link that holds it.
 *
 * An interface has room for one program of one process; `Link.update` puts another in its place with no packet missed. It is
 * gone with the scope, and with the process.
 *
 * Needs CAP_NET_ADMIN and CAP_BPF.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec, ReturnCode, Xdp } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const dropAll = ProgramSpec.make({
 *   type: "xdp",
 *   name: "drop_all",
 *   instructions: [Asm.mov("r0", ReturnCode.xdp.XDP_DROP), Asm.exit()]
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* Xdp.attach(yield* Program.load(dropAll), "veth1")
 *   yield* Effect.sleep("10 seconds") // nothing comes in meanwhile
 * }).pipe(Effect.scoped)
 * ```
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_attach_type } from "../abi/generated/enums.ts"
import { xdpFlags } from "../abi/os.ts"
import { createLink } from "../bpf/links.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import { type Checks, oneOf, readOptions } from "../kernel/options.ts"
import type { Program } from "../program/Program.ts"
import type { AttachError } from "./AttachError.ts"
import { attaching } from "./internal/attaching.ts"
import { fromDescriptor } from "./internal/holding.ts"
import { nameOf, readInterface, toIndex } from "./internal/interfaces.ts"
import type { Link } from "./Link.ts"

const modes = {
  skb: xdpFlags.XDP_FLAGS_SKB_MODE,
  drv: xdpFlags.XDP_FLAGS_DRV_MODE,
  hw: xdpFlags.XDP_FLAGS_HW_MODE
} as const

/** The fields of `attach`'s options. */
export interface Options {
  /**
   * Who runs the program: the network stack, on packets that it has already (`"skb"`, any interface can); the driver
   * (`"drv"`), which must know how; the hardware (`"hw"`). Left out, the driver if it can, and else the stack.
   */
  readonly mode?: keyof typeof modes | undefined
}

const checks: Checks<Options> = { mode: oneOf(Object.keys(modes)) }

/**
 * Attaches a program to an interface, by name or index, until the scope closes.
 *
 * Fails with `AttachError`, for reasons of: `TargetNotFound` for a name that no interface has, `AlreadyAttached` where a
 * program is there, `InvalidArgument` for what is no name or index, and for options that are none; `SystemCallError`
 * EOPNOTSUPP for a mode that the interface does not have, ENODEV for an index that none has.
 */
export const attach = (
  program: Program<"xdp", any>,
  networkInterface: string | number,
  options?: Options
): Effect.Effect<Link<"xdp">, AttachError, Kernel | Scope.Scope> =>
  attaching(program, "a network interface", () => {
    const place = readInterface(networkInterface)
    return { target: nameOf(place), place, ...readOptions("options of XDP", options, checks) }
  }, ({ about, kernel, owner, program }, { mode, place }) =>
    Effect.gen(function*() {
      const fields = {
        prog_fd: program,
        target_fd: yield* toIndex(kernel, place),
        attach_type: bpf_attach_type.BPF_XDP,
        flags: mode === undefined ? 0 : modes[mode]
      }
      const link = yield* Scope.provide(createLink(kernel, fields, { subject: about.target }), owner)
      return fromDescriptor(kernel, link, about)
    }))
