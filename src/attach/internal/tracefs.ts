// Where tracefs is. It may be mounted anywhere, or nowhere: a minimal system mounts it only when someone asks. Then a
// private mount is made that appears in no file tree and goes with its descriptor (fsmount(2), kernel 5.2), so that
// tracing leaves the system as it was.
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { fsconfig_command } from "../../abi/generated/enums.ts"
import { acquireFd, readFile, run, withLocalScope } from "../../kernel/systemCall.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"

/** There is no tracefs, and none could be mounted. */
export class TracefsUnavailable extends Data.TaggedError("TracefsUnavailable")<{
  readonly cause: SystemCallError
}> {
  override get message(): string {
    return `tracefs is not mounted, and mounting it privately failed: ${this.cause.message}. ` +
      `As root: mount -t tracefs tracefs /sys/kernel/tracing`
  }
}

/** Undoes mountinfo's octal escapes: `\040` is a space. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))

/**
 * The mount point of the first file system of a type. A line of /proc/self/mountinfo (proc(5)): the mount point is the
 * fifth field, and the type the first after a lone `-`.
 */
export const mountPoint = (mountinfo: string, type: string): string | undefined => {
  for (const line of mountinfo.split("\n")) {
    const [place, fileSystem] = line.split(" - ")
    if (fileSystem?.split(" ")[0] === type) return unescape(place!.split(" ")[4] ?? "")
  }
  return undefined
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
    const mountinfo = new TextDecoder().decode(yield* readFile(kernel, "/proc/self/mountinfo"))
    const tracefs = mountPoint(mountinfo, "tracefs")
    if (tracefs !== undefined) return tracefs
    // debugfs mounts it on demand at this place.
    const debugfs = mountPoint(mountinfo, "debugfs")
    return debugfs === undefined ? yield* mountPrivately(kernel) : `${debugfs}/tracing`
  })
