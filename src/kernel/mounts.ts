// Where file systems are mounted. A mount table also lists what something else covers, and what this process may not enter,
// so a place counts when it can be reached and is of that file system.
import * as Effect from "effect/Effect"
import { magic } from "../abi/os.ts"
import type { KernelService } from "./kernelService.ts"
import { SystemCallError } from "./KernelError.ts"
import { readFile, toError } from "./systemCall.ts"

const numbers = {
  bpf: magic.BPF_FS_MAGIC,
  cgroup2: magic.CGROUP2_SUPER_MAGIC,
  tracefs: magic.TRACEFS_MAGIC
} as const

/** The file systems that are looked for. */
export type FileSystemType = keyof typeof numbers

/** Undoes mountinfo's octal escapes: `\040` is a space. */
const unescape = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))

/**
 * The mount points of a type of file system, in the order of the table, each once. A line of /proc/self/mountinfo
 * (proc(5)): the mount point is the fifth field, and the type the first after a lone `-`.
 */
export const mountPoints = (mountinfo: string, type: string): ReadonlyArray<string> => {
  const points = new Set<string>()
  for (const line of mountinfo.split("\n")) {
    const [place, fileSystem] = line.split(" - ")
    if (fileSystem?.split(" ")[0] === type) points.add(unescape(place!.split(" ")[4] ?? ""))
  }
  return [...points]
}

/** A place found, or why the first of those listed could not be entered. */
export type Found = { readonly path: string } | { readonly path: undefined; readonly refusal?: SystemCallError }

/**
 * The first mount of a file system that can be reached and has `entry` in it, which must be of that file system too. `more`
 * gives further places that are worth a try, from the mount table.
 */
export const findMount = (
  kernel: KernelService,
  type: FileSystemType,
  entry: string,
  more: (mountinfo: string) => ReadonlyArray<string> = () => []
): Effect.Effect<Found, SystemCallError> =>
  Effect.map(readFile(kernel, "/proc/self/mountinfo"), (content) => {
    const mountinfo = new TextDecoder().decode(content)
    let refusal: SystemCallError | undefined
    for (const path of [...mountPoints(mountinfo, type), ...more(mountinfo)]) {
      const result = kernel.files.fileSystemType(`${path}/${entry}`)
      if (result === numbers[type]) return { path }
      if (result < 0) refusal ??= toError(kernel, { call: "statfs", subject: `${path}/${entry}` }, result)
    }
    return refusal === undefined ? { path: undefined } : { path: undefined, refusal }
  })
