/**
 * Network interfaces by name and by index, as programs of XDP and traffic control are attached to them. Both are those of the
 * network namespace that this thread is in.
 *
 * @example
 * ```ts
 * import { NetworkInterface } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const loopback = Effect.flatMap(NetworkInterface.index("lo"), NetworkInterface.name) // "lo"
 * ```
 */
import * as Effect from "effect/Effect"
import { errno } from "../abi/errno.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { whenRight } from "../kernel/options.ts"
import { retrying, toError } from "../kernel/systemCall.ts"
import { TargetNotFound } from "./AttachError.ts"
import { lookIn, nameOf, readInterface, toIndex } from "./internal/interfaces.ts"

type Failure = InvalidArgument | SystemCallError | TargetNotFound

/**
 * The index of an interface, unique in its network namespace. Fails with `TargetNotFound` where there is none of that name,
 * and with `InvalidArgument` for what cannot be one.
 */
export const index = (name: string): Effect.Effect<number, Failure, Kernel> =>
  Effect.flatMap(Kernel, (kernel) => whenRight(() => toIndex(kernel, readInterface(name))))

/** The name of an interface. Fails as `index`. */
export const name = (index: number): Effect.Effect<string, Failure, Kernel> =>
  Effect.flatMap(Kernel, (kernel) =>
    whenRight((): Effect.Effect<string, Failure> => {
      const target = readInterface(index)
      if (typeof target === "string") return Effect.as(toIndex(kernel, target), target)
      const found = retrying(() => kernel.net.interfaceName(target))
      if (typeof found === "string") return Effect.succeed(found)
      return Effect.fail(
        found === -errno.ENXIO
          ? new TargetNotFound({ target: nameOf(target), lookIn })
          : toError(kernel, { call: "if_indextoname", subject: nameOf(target) }, found)
      )
    }))
