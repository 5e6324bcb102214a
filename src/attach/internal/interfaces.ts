// Network interfaces as targets: by name, or by index.
import * as Effect from "effect/Effect"
import { errno } from "../../abi/errno.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { retrying, toError } from "../../kernel/systemCall.ts"
import { shown } from "../../kernel/validate.ts"
import { TargetNotFound } from "../AttachError.ts"

/** include/uapi/linux/if.h: IFNAMSIZ without the NUL. */
const LONGEST_NAME = 15
/** The highest that the kernel gives: it counts in an `int`. */
const HIGHEST = 2 ** 31 - 1

const isName = (name: unknown): name is string =>
  typeof name === "string" && name.length > 0 && !/[\s/\0]/.test(name) && name !== "." && name !== ".." &&
  new TextEncoder().encode(name).length <= LONGEST_NAME

/** Where the interfaces that there are can be seen. */
export const lookIn = "`ip link`, in the network namespace of this thread"

const isIndex = (index: unknown): index is number =>
  typeof index === "number" && Number.isInteger(index) && index > 0 && index <= HIGHEST

/** An interface as users name it. Throws `InvalidArgument` for what cannot be one. */
export const readInterface = (target: unknown): string | number => {
  if (isIndex(target) || isName(target)) return target
  const expected = `a network interface's name, of 1 to ${LONGEST_NAME} bytes, or its index, from 1`
  throw new InvalidArgument({ field: "interface", expected, actual: shown(target) })
}

/** An interface's index, of its name or of itself. */
export const toIndex = (
  kernel: KernelService,
  target: string | number
): Effect.Effect<number, SystemCallError | TargetNotFound> =>
  Effect.suspend((): Effect.Effect<number, SystemCallError | TargetNotFound> => {
    if (typeof target === "number") return Effect.succeed(target)
    const index = retrying(() => kernel.net.interfaceIndex(target))
    if (index > 0) return Effect.succeed(index)
    return Effect.fail(
      index === -errno.ENODEV
        ? new TargetNotFound({ target: nameOf(target), lookIn })
        : toError(kernel, { call: "if_nametoindex", subject: nameOf(target) }, index)
    )
  })

/** What an interface is called in errors. */
export const nameOf = (target: string | number): string =>
  typeof target === "number" ? `network interface of index ${target}` : `network interface ${target}`
