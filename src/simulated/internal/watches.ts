// Waiting for descriptors to become readable, as epoll reports it.
import { errno } from "../../abi/errno.ts"
import type { Watch } from "../../kernel/Kernel.ts"
import type { DescriptorTable, KernelObject } from "./descriptors.ts"

/** What there is to wait for. */
interface Polled {
  /** Whether a watch reports at once that is armed. */
  readonly isReady: () => boolean
  readonly wakers: Set<() => void> | undefined
}

/** Of what can be waited for; others are refused with EPERM. */
const polledOf = (object: KernelObject, awaits: "data" | "room"): Polled | undefined => {
  if (object._tag === "PerfEvent") {
    const { output } = object
    // Who arms a watch asks, and the event forgets: nobody hears of what was before.
    return { isReady: () => false, wakers: output?.wakers }
  }
  if (object._tag !== "Map") return undefined
  const { ring, userRing } = object
  // Who watches for room says whether there is enough of it.
  if (awaits === "room") return { isReady: () => true, wakers: userRing?.wakers }
  // A map that cannot be waited for is reported with EPOLLERR, at once; a user ring is never readable.
  const isReady = () => ring === undefined ? userRing === undefined : ring.available > 0
  return { isReady, wakers: ring?.wakers }
}

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

  watch(
    fd: number,
    onReport: (result: number) => void,
    isDue?: () => boolean,
    awaits: "data" | "room" = "data"
  ): Watch | number {
    const object = this.descriptors.any(fd)
    if (object === undefined) return -errno.EBADF
    const polled = polledOf(object, awaits)
    if (polled === undefined) return -errno.EPERM
    if (this.watched.has(fd)) return -errno.EEXIST
    const { isReady, wakers } = polled
    let armed = false
    // A report comes in a later turn of the event loop, as epoll's does. A perf event has forgotten by then that it was
    // readable, which whoever watches it knows.
    const report = () =>
      setImmediate(() => {
        if (!armed || !this.watches.has(watch)) return
        if (isDue !== undefined && !isDue()) return
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
        wakers?.delete(report)
      }
    }
    this.watches.add(watch)
    this.watched.set(fd, { watch, onReport })
    wakers?.add(report)
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
