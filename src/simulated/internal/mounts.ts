// What is mounted where in the simulated file tree, and the few folders that there are. Only BPF file systems keep
// anything; the rest is there so that wrong paths fail as they do on Linux.
import { errno } from "../../abi/errno.ts"
import { magic as magicNumbers } from "../../abi/os.ts"
import { BpfFileTree } from "./bpffs.ts"
import type { DescriptorTable } from "./descriptors.ts"
import type { Objects } from "./objects.ts"

/** Numbers of file systems' types, include/uapi/linux/magic.h. */
const magic: { readonly [type: string]: number } = {
  bpf: magicNumbers.BPF_FS_MAGIC,
  tracefs: magicNumbers.TRACEFS_MAGIC,
  sysfs: 0x62656572,
  proc: 0x9fa0,
  cgroup2: magicNumbers.CGROUP2_SUPER_MAGIC,
  tmpfs: 0x01021994,
  ext4: 0xef53
}

/** File systems that can be mounted here, and of which contexts can be opened (`fsopen`). */
export const mountable: ReadonlySet<string> = new Set(["bpf", "tracefs"])

interface Mount {
  readonly target: string
  readonly type: string
  readonly tree: BpfFileTree | undefined
}

/** Where a path leads: the type of the file system, and the path inside. */
export interface Place {
  readonly type: string
  readonly tree: BpfFileTree | undefined
  readonly path: string
}

const PATH_MAX = 4096
const NO_PLACE = -errno.ENOENT

/** `path` from the root, without `.`, `..` and empty names. */
const normalize = (path: string): string => {
  const names: Array<string> = []
  for (const name of path.split("/")) {
    if (name === "..") names.pop()
    else if (name !== "" && name !== ".") names.push(name)
  }
  return `/${names.join("/")}`
}

const isIn = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder === "/" ? "/" : `${folder}/`)

export interface MountsOptions {
  readonly tracefs: "mounted" | "unmounted"
  readonly bpffs: "mounted" | "unmounted"
  readonly objects: Objects
  readonly descriptors: DescriptorTable
}

export class Mounts {
  private readonly options: MountsOptions
  private readonly mounts: Array<Mount> = []
  private readonly folders = new Set([
    "/",
    "/dev",
    "/mnt",
    "/proc",
    "/run",
    "/sys",
    "/sys/fs",
    "/sys/fs/bpf",
    "/sys/fs/cgroup",
    "/sys/kernel",
    "/sys/kernel/tracing",
    "/tmp"
  ])

  constructor(options: MountsOptions) {
    this.options = options
    for (const [type, target] of [["ext4", "/"], ["proc", "/proc"], ["sysfs", "/sys"], ["cgroup2", "/sys/fs/cgroup"]]) {
      this.mounts.push({ type: type!, target: target!, tree: undefined })
    }
    if (options.tracefs === "mounted") this.mount("tracefs", "/sys/kernel/tracing")
    if (options.bpffs === "mounted") this.mount("bpf", "/sys/fs/bpf")
  }

  /** /proc/self/mountinfo */
  get mountinfo(): string {
    return this.mounts.map(({ target, type }, i) => {
      const source = type === "ext4" ? "/dev/sda1" : type
      return `${21 + i} ${i === 0 ? 1 : 21} 0:${12 + i} / ${target} rw,relatime shared:${
        1 + i
      } - ${type} ${source} rw\n`
    }).join("")
  }

  /** Where a path leads, from a descriptor of a mount if it is relative; or `-errno`. */
  locate(path: string, fd?: number): Place | number {
    if (path === "") return NO_PLACE
    if (path.length >= PATH_MAX) return -errno.ENAMETOOLONG
    if (!path.startsWith("/")) return fd === undefined ? this.inTree(normalize(path)) : this.inMount(fd, path)
    const full = normalize(path)
    const through = /^\/proc\/self\/fd\/(\d+)(\/.*)?$/.exec(full)
    return through === null ? this.inTree(full) : this.inMount(Number(through[1]), through[2] ?? "/")
  }

  mount(type: string, target: string): number {
    if (!mountable.has(type)) return -errno.ENODEV
    const place = normalize(target)
    if (target === "" || !this.isFolder(place)) return -errno.ENOENT
    const tree = type === "bpf" ? new BpfFileTree(this.options.objects) : undefined
    this.mounts.push({ type, target: place, tree })
    return 0
  }

  unmount(target: string): number {
    const place = normalize(target)
    const index = this.mounts.findLastIndex((mount) => mount.target === place)
    if (index < 0) return this.folders.has(place) ? -errno.EINVAL : -errno.ENOENT
    if (index === 0) return -errno.EBUSY // the root
    const [mount] = this.mounts.splice(index, 1)
    mount?.tree?.end()
    return 0
  }

  mkdir(path: string): number {
    const place = this.locate(path)
    if (typeof place === "number") return place
    if (place.tree !== undefined) return place.tree.mkdir(place.path)
    if (this.folders.has(place.path)) return -errno.EEXIST
    if (!this.hasParent(place.path)) return -errno.ENOENT
    if (place.type !== "ext4" && place.type !== "cgroup2") return -errno.EPERM
    this.folders.add(place.path)
    return 0
  }

  unlink(path: string): number {
    const place = this.locate(path)
    if (typeof place === "number") return place
    if (place.tree !== undefined) return place.tree.unlink(place.path)
    return this.folders.has(place.path) ? -errno.EISDIR : -errno.ENOENT
  }

  /** statfs(2): the number of the file system's type. */
  typeAt(path: string): number {
    const place = this.locate(path)
    if (typeof place === "number") return place
    const error = place.tree?.stat(place.path) ?? (this.isThere(place) ? 0 : -errno.ENOENT)
    return error < 0 ? error : magic[place.type] ?? 0
  }

  /** Gives an object a name (BPF_OBJ_PIN). */
  pin(path: string, fd: number | undefined, object: Parameters<BpfFileTree["pin"]>[1]): number {
    const place = this.locate(path, fd)
    if (typeof place === "number") return place
    if (place.tree !== undefined) return place.tree.pin(place.path, object)
    if (this.folders.has(place.path)) return -errno.EEXIST
    return this.hasParent(place.path) ? -errno.EPERM : -errno.ENOENT
  }

  /** The object with a name (BPF_OBJ_GET), or `-errno`. */
  get(path: string, fd: number | undefined): ReturnType<BpfFileTree["get"]> {
    const place = this.locate(path, fd)
    if (typeof place === "number") return place
    if (place.tree !== undefined) return place.tree.get(place.path)
    return this.isThere(place) ? -errno.EACCES : -errno.ENOENT
  }

  /** A path in the tree that all processes see; the mount that hides the others counts. */
  private inTree(full: string): Place {
    const mount = this.mounts.reduce((best, other) =>
      isIn(full, other.target) && other.target.length >= best.target.length ? other : best
    )
    const isPrivate = mount.tree !== undefined || mount.type === "tracefs"
    const path = isPrivate ? full.slice(mount.target.length + 1) : full
    return { type: mount.type, tree: mount.tree, path }
  }

  private inMount(fd: number, path: string): Place | number {
    const object = this.options.descriptors.any(fd)
    if (object === undefined) return -errno.EBADF
    if (object._tag !== "FileSystem" || object.state !== "mounted") return -errno.ENOTDIR
    return { type: object.type, tree: object.tree, path: normalize(path).slice(1) }
  }

  /** A folder of a BPF file system may be mounted on, too. */
  private isFolder(full: string): boolean {
    const { path, tree } = this.inTree(full)
    return this.folders.has(full) || tree?.get(path) === -errno.EACCES
  }

  private hasParent(path: string): boolean {
    return this.folders.has(path.slice(0, Math.max(1, path.lastIndexOf("/"))))
  }

  private isThere({ path, type }: Place): boolean {
    return this.folders.has(path) || (type === "tracefs" && (path === "" || path === "events"))
  }
}
