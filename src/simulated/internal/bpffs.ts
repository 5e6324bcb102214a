// The files of one BPF file system, after kernel/bpf/inode.c: folders, and names of objects that live as long as they.
import { errno } from "../../abi/errno.ts"
import type { Lifetime, Objects } from "./objects.ts"

const MOST_NAME = 255

/** A path's folder and last name. */
const split = (path: string): readonly [folder: string, name: string] => {
  const slash = path.lastIndexOf("/")
  return slash < 0 ? ["", path] : [path.slice(0, slash), path.slice(slash + 1)]
}

/** Paths are relative to its root, without `.` and `..`; the root's is empty. Results are 0 or `-errno`. */
export class BpfFileTree {
  private readonly objects: Objects
  private readonly folders = new Set([""])
  private readonly pins = new Map<string, Lifetime>()

  constructor(objects: Objects) {
    this.objects = objects
  }

  mkdir(path: string): number {
    const error = this.checkNew(path)
    if (error === 0) this.folders.add(path)
    return error
  }

  pin(path: string, object: Lifetime): number {
    const error = this.checkNew(path)
    if (error < 0) return error
    this.objects.retain(object, true)
    this.pins.set(path, object)
    return 0
  }

  unlink(path: string): number {
    const object = this.get(path)
    if (typeof object === "number") return object === -errno.EACCES ? -errno.EISDIR : object
    this.pins.delete(path)
    this.objects.release(object, true)
    return 0
  }

  /** The object with a name, or `-errno`: EACCES for a folder. */
  get(path: string): Lifetime | number {
    const error = this.checkWay(path)
    if (error < 0) return error
    return this.pins.get(path) ?? (this.folders.has(path) ? -errno.EACCES : -errno.ENOENT)
  }

  /** 0 if there is something at a path. */
  stat(path: string): number {
    const found = this.get(path)
    return typeof found === "number" && found !== -errno.EACCES ? found : 0
  }

  /** Unmounted: all pins go. */
  end(): void {
    for (const path of [...this.pins.keys()]) this.unlink(path)
  }

  private checkNew(path: string): number {
    const error = this.checkWay(path)
    if (error < 0) return error
    return this.folders.has(path) || this.pins.has(path) ? -errno.EEXIST : 0
  }

  /** The folders on the way must be there. Names with dots are kept for the kernel (bpf_lookup). */
  private checkWay(path: string): number {
    if (path === "") return 0
    const [folder, name] = split(path)
    if (!this.folders.has(folder)) {
      const error = this.checkWay(folder)
      return error < 0 ? error : this.pins.has(folder) ? -errno.ENOTDIR : -errno.ENOENT
    }
    if (new TextEncoder().encode(name).length > MOST_NAME) return -errno.ENAMETOOLONG
    return name.includes(".") ? -errno.EPERM : 0
  }
}
