// The files of the simulated /proc and /sys that this library reads.
import { errno } from "../../abi/errno.ts"
import type { Descriptors } from "./descriptors.ts"
import { vmlinux } from "./tasks.ts"

export interface FilesOptions {
  readonly possibleCpus: number
  readonly release: string
  readonly tracefs: "mounted" | "unmounted"
  /** Ids by `category/name`. */
  readonly tracepoints: ReadonlyMap<string, number>
  readonly descriptors: Descriptors
}

const TRACEFS = "/sys/kernel/tracing"

const ROOT_MOUNT = "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
const TRACEFS_MOUNT = `36 25 0:12 / ${TRACEFS} rw,nosuid,nodev,noexec,relatime shared:13 - tracefs tracefs rw`

/** `readFile` of the simulated kernel: a file's content, or `-errno`. */
export const makeFiles = (options: FilesOptions): (path: string) => Uint8Array | number => {
  const text = (content: string): Uint8Array => new TextEncoder().encode(content)
  const fixed = new Map<string, () => Uint8Array>([
    ["/sys/devices/system/cpu/possible", () => text(`0-${options.possibleCpus - 1}\n`)],
    ["/sys/kernel/btf/vmlinux", vmlinux],
    ["/proc/self/status", () => text("Name:\tnode\nCapEff:\t000001ffffffffff\n")],
    [
      "/proc/self/mountinfo",
      () => text(options.tracefs === "mounted" ? `${ROOT_MOUNT}\n${TRACEFS_MOUNT}\n` : `${ROOT_MOUNT}\n`)
    ]
  ])

  /** The part of a path inside tracefs, mounted in the tree or through a descriptor of a private mount. */
  const insideTracefs = (path: string): string | undefined => {
    if (options.tracefs === "mounted" && path.startsWith(`${TRACEFS}/`)) return path.slice(TRACEFS.length + 1)
    const match = /^\/proc\/self\/fd\/(\d+)\/(.+)$/.exec(path)
    const object = match === null ? undefined : options.descriptors.get(Number(match[1]), "FileSystem")
    return object?.type === "tracefs" && object.state === "mounted" ? match![2] : undefined
  }

  return (path) => {
    const content = fixed.get(path)
    if (content !== undefined) return content()
    const tracepoint = /^events\/(.+)\/id$/.exec(insideTracefs(path) ?? "")?.[1]
    const id = tracepoint === undefined ? undefined : options.tracepoints.get(tracepoint)
    return id === undefined ? -errno.ENOENT : text(`${id}\n`)
  }
}
