// Where tracefs is. It may be mounted anywhere, covered by something else, or nowhere: a minimal system mounts it only when someone asks. Then a
// private mount is made that appears in no file tree and goes with its descriptor (fsmount(2), kernel 5.2), so that
// tracing leaves the system as it was.
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { fsconfig_command } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import { findMount, mountPoints } from "../../kernel/mounts.ts"
import { acquireFd, run, withLocalScope } from "../../kernel/systemCall.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"

/** There is no tracefs that can be read, and none could be mounted. */
export class TracefsUnavailable extends Data.TaggedError("TracefsUnavailable")<{
  /** Why no mount could be made, or why the one there is cannot be entered. */
  readonly cause: SystemCallError
}> {
  override get message(): string {
    return this.cause.call === "statfs"
      ? `tracefs is mounted but cannot be entered: ${this.cause.message}. Only root may, unless it was mounted with a gid`
      : `tracefs is not mounted, and mounting it privately failed: ${this.cause.message}. ` +
        `As root: mount -t tracefs tracefs /sys/kernel/tracing`
  }
}

const mountPrivately = (kernel: KernelService): Effect.Effect<string, TracefsUnavailable, Scope.Scope> => {
  const features = ["fsopen"] as const
  const subject = "tracefs"
  return withLocalScope(Effect.fnUntraced(function*(owner) {
    const context = yield* acquireFd(
      kernel,
      { call: "fsopen", subject, features },
      () => kernel.files.fsopen("tracefs")
    )
    yield* run(
      kernel,
      { call: "fsconfig", subject },
      () => kernel.files.fsconfig(context, fsconfig_command.FSCONFIG_CMD_CREATE)
    )
    const mount = yield* acquireFd(kernel, { call: "fsmount", subject }, () => kernel.files.fsmount(context)).pipe(
      Scope.provide(owner)
    )
    return `/proc/self/fd/${mount}`
  })).pipe(Effect.mapError((cause) => new TracefsUnavailable({ cause })))
}

/** A path under which tracefs is found, as long as the scope lives. */
export const acquireTracefs = (
  kernel: KernelService
): Effect.Effect<string, TracefsUnavailable | SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    // debugfs mounts it on demand at `tracing`.
    const inDebugfs = (mountinfo: string) => mountPoints(mountinfo, "debugfs").map((path) => `${path}/tracing`)
    const found = yield* findMount(kernel, "tracefs", "events", inDebugfs)
    if (found.path !== undefined) return found.path
    const { refusal } = found
    const isDenied = refusal?.errno === errno.EACCES
    return yield* Effect.mapError(
      mountPrivately(kernel),
      (error) => isDenied ? new TracefsUnavailable({ cause: refusal }) : error
    )
  })
