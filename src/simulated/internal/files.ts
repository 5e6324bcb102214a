// The files of the simulated /proc and /sys that this library reads.
import { errno } from "../../abi/errno.ts"
import { mapTypes } from "../../abi/names.ts"
import type { DescriptorTable, OpenFile, SimulatedLink, SimulatedProgram } from "./descriptors.ts"
import type { SimulatedMap } from "./maps.ts"
import type { Mounts } from "./mounts.ts"
import { vmlinux } from "./tasks.ts"

/** A map's lines of /proc/self/fdinfo (bpf_map_show_fdinfo). */
const mapLines = ({ attributes, frozen, id }: SimulatedMap): string =>
  [
    `map_type:\t${mapTypes[attributes.type]}`,
    `key_size:\t${attributes.keySize}`,
    `value_size:\t${attributes.valueSize}`,
    `max_entries:\t${attributes.maxEntries}`,
    `map_flags:\t0x${attributes.flags.toString(16)}`,
    `map_extra:\t0x${attributes.extra.toString(16)}`,
    "memlock:\t0",
    `map_id:\t${id}`,
    `frozen:\t${frozen ? 1 : 0}`,
    ""
  ].join("\n")

/** A program's lines of /proc/self/fdinfo, as far as this kernel knows (bpf_prog_show_fdinfo). */
const programLines = ({ id, type }: SimulatedProgram): string =>
  `prog_type:\t${type}\nprog_jited:\t0\nprog_id:\t${id}\n`

/** A link's lines of /proc/self/fdinfo (bpf_link_show_fdinfo). */
const linkLines = ({ attachment, facts, id }: SimulatedLink): string =>
  `link_type:\t${facts.type}\nlink_id:\t${id}\nprog_tag:\t${"0".repeat(16)}\nprog_id:\t${attachment.program.id}\n`

/** /proc/self/fdinfo of an open file. */
const fdinfo = ({ object, reads, writes }: OpenFile): string => {
  const mode = reads ? (writes ? 2 : 0) : 1
  const lines = object._tag === "Map" ? mapLines(object) : object._tag === "Program"
    ? programLines(object)
    : object._tag === "Link"
    ? linkLines(object)
    : ""
  return `pos:\t0\nflags:\t0200000${mode}\nmnt_id:\t15\nino:\t1\n${lines}`
}

export interface FilesOptions {
  /** The functions that the kernel's BTF names. */
  readonly functions: ReadonlyArray<string>
  readonly possibleCpus: number
  /** Ids by `category/name`. */
  readonly tracepoints: ReadonlyMap<string, number>
  readonly mounts: Mounts
  readonly descriptors: DescriptorTable
}

/** `readFile` of the simulated kernel: a file's content, or `-errno`. */
export const makeFiles = ({ descriptors, functions, mounts, possibleCpus, tracepoints }: FilesOptions) => {
  const text = (content: string): Uint8Array => new TextEncoder().encode(content)
  const fixed = new Map<string, () => Uint8Array>([
    ["/sys/devices/system/cpu/possible", () => text(`0-${possibleCpus - 1}\n`)],
    ["/sys/devices/system/cpu/online", () => text(`0-${possibleCpus - 1}\n`)],
    ["/sys/kernel/btf/vmlinux", () => vmlinux({ functions, tracepoints: [...tracepoints.keys()] })],
    ["/proc/self/status", () => text("Name:\tnode\nCapEff:\t000001ffffffffff\n")],
    ["/proc/self/mountinfo", () => text(mounts.mountinfo)]
  ])

  return (path: string): Uint8Array | number => {
    const content = fixed.get(path)
    if (content !== undefined) return content()
    const open = /^\/proc\/self\/fdinfo\/(\d+)$/.exec(path)
    const file = open === null ? undefined : descriptors.file(Number(open[1]))
    if (file !== undefined) return text(fdinfo(file))
    const place = mounts.locate(path)
    if (typeof place === "number") return place === -errno.EBADF ? -errno.ENOENT : place
    if (place.tree !== undefined) {
      const pinned = place.tree.get(place.path)
      // A pin can be opened by BPF_OBJ_GET alone (bpffs_obj_open).
      return typeof pinned !== "number" ? -errno.EIO : pinned === -errno.EACCES ? -errno.EISDIR : pinned
    }
    const tracepoint = place.type === "tracefs" ? /^events\/(.+)\/id$/.exec(place.path)?.[1] : undefined
    const id = tracepoint === undefined ? undefined : tracepoints.get(tracepoint)
    return id === undefined ? -errno.ENOENT : text(`${id}\n`)
  }
}
