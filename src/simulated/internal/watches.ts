// Waiting for descriptors to become readable, as epoll reports it.
import { errno } from "../../abi/errno.ts"
import type { Watch } from "../../kernel/Kernel.ts"
import type { DescriptorTable } from "./descriptors.ts"

export class Watches {
  private readonly descriptors: DescriptorTable
  private readonly watches = new Set<Watch>()
  private readonly watched = new Map<number, { readonly watch: Watch; readonly onReport: (result: number) => void }>()

  constructor(descriptors: DescriptorTable) {
    this.descriptors = descriptors
  }

  get size(): number {
    return this.watches.size
  }

  watch(fd: number, onReport: (result: number) => void): Watch | number {
    const object = this.descriptors.any(fd)
    if (object === undefined) return -errno.EBADF
    if (object._tag !== "Map") return -errno.EPERM
    if (this.watched.has(fd)) return -errno.EEXIST
    const { ring, userRing } = object
    // A map that cannot be waited for is reported with EPOLLERR, at once; a user ring is never readable.
    const isReady = () => ring === undefined ? userRing === undefined : ring.available > 0
    let armed = false
    // A report comes in a later turn of the event loop, as epoll's does.
    const report = () =>
      setImmediate(() => {
        if (!armed || !this.watches.has(watch)) return
        armed = false
        onReport(0)
      })
    const watch: Watch = {
      arm: () => {
        if (!this.watches.has(watch)) return -errno.EBADF
        armed = true
        if (isReady()) report()
        return 0
      },
      close: () => {
        if (!this.watches.delete(watch)) return
        this.watched.delete(fd)
        ring?.wakers.delete(report)
      }
    }
    this.watches.add(watch)
    this.watched.set(fd, { watch, onReport })
    ring?.wakers.add(report)
    return watch
  }

  /** Ends the watch of a descriptor that is about to be closed, if there is one, and says so. */
  end(fd: number): void {
    const entry = this.watched.get(fd)
    if (entry === undefined) return
    entry.watch.close()
    entry.onReport(-errno.EBADF)
  }

  endAll(): void {
    for (const fd of [...this.watched.keys()]) this.end(fd)
  }
}
