// One epoll descriptor per Kernel serves every consumer: no thread is held and no call blocks. How the thread learns that it
// is readable is wait.ts's.
//
// koffi.node.poll aborts the process on a bad or repeated descriptor, and a handle that is collected stops silently.
// Hence exactly one handle, strongly held, on a descriptor of our own; a user's bad descriptor meets epoll_ctl, where
// it is an errno.
//
// A perf event tells epoll once that it is readable and then forgets it (perf_poll() exchanges its flag), and more than one
// asks: when libuv looks at our epoll descriptor, that asks what is in it, and our own epoll_wait after it finds nothing.
// So those who watch such a descriptor say themselves whether there is something, and are asked whenever our descriptor
// was readable for any reason: what libuv's look took away is followed by a call of `dispatch`. The one exception is the
// call with which libuv begins to watch our descriptor: its look is reported to nobody. Hence one more in the turn of the
// event loop after that.
//
// A user ring buffer is writable whenever a single byte is free, and level-triggered that would be reported without end to
// who needs more. So it is watched edge-triggered: the kernel tells of its state as it is armed, and then each time that a
// program took records. Who watches says whether the room is enough; until it is the watch stays armed, and with its report
// it is taken out of the kernel's hands, so that programs wake nobody who does not wait.
import { errno } from "../../abi/errno.ts"
import { epoll } from "../../abi/os.ts"
import type { Architecture } from "../../abi/syscalls.ts"
import type { Watch } from "../kernelService.ts"
import type { Block } from "../memory.ts"
import type { Libc } from "./libc.ts"
import type { Thread } from "./thread.ts"
import type { Wait } from "./wait.ts"

const BATCH = 64

/** The events of armed watches. */
const ARMED = { data: epoll.EPOLLIN | epoll.EPOLLONESHOT, room: epoll.EPOLLOUT | epoll.EPOLLET } as const

interface Memory {
  readonly control: Block
  readonly events: Block
}

interface Watched {
  readonly fd: number
  readonly onReport: (result: number) => void
  readonly isDue: (() => boolean) | undefined
  readonly awaits: "data" | "room"
  /** A descriptor number may be used again; the generation tells a late report for the old one. */
  readonly generation: number
  armed: boolean
}

export class Reactor {
  private readonly thread: Thread
  private readonly libc: Libc
  private readonly result: (r: number) => number
  private readonly allocate: (size: number) => Block | number
  private readonly watched = new Map<number, Watched>()
  /** Those whose descriptor forgets. */
  private readonly forgetful = new Set<Watched>()
  /** `struct epoll_event` is packed on x86-64 only: 12 bytes there, 16 with the data at 8 elsewhere. */
  private readonly eventSize: number
  private readonly dataOffset: number
  private generation = 0
  /** Memory for epoll_ctl and epoll_wait, kept from the first use on. */
  private memory: Memory | undefined
  private state: { readonly fd: number; readonly wait: Wait; readonly memory: Memory } | undefined

  constructor(
    thread: Thread,
    libc: Libc,
    architecture: Architecture,
    result: (r: number) => number,
    allocate: (size: number) => Block | number
  ) {
    this.thread = thread
    this.libc = libc
    this.result = result
    this.allocate = allocate
    this.eventSize = architecture === "x64" ? 12 : 16
    this.dataOffset = architecture === "x64" ? 4 : 8
  }

  watch(
    fd: number,
    onReport: (result: number) => void,
    isDue?: () => boolean,
    awaits: "data" | "room" = "data"
  ): Watch | number {
    const opened = this.open()
    if (opened < 0) return opened
    // Added with no event asked for: nothing is reported until armed.
    const generation = ++this.generation
    const added = this.control(epoll.EPOLL_CTL_ADD, fd, epoll.EPOLLONESHOT, generation)
    if (added < 0) {
      this.closeIfIdle()
      return added
    }
    const entry: Watched = { fd, onReport, isDue, awaits, generation, armed: false }
    this.watched.set(fd, entry)
    if (isDue !== undefined) this.forgetful.add(entry)
    const isOpen = (): boolean => this.watched.get(fd) === entry
    return {
      arm: () => {
        if (!isOpen()) return -errno.EBADF
        const armed = this.control(epoll.EPOLL_CTL_MOD, fd, ARMED[awaits], generation)
        if (armed < 0) return armed
        entry.armed = true
        this.state!.wait.expect()
        return armed
      },
      close: () => {
        if (isOpen()) this.remove(entry)
      }
    }
  }

  /** Ends the watch of a descriptor that is about to be closed, if there is one, and says so. */
  end(fd: number): void {
    const entry = this.watched.get(fd)
    if (entry === undefined) return
    this.remove(entry)
    this.report(entry, -errno.EBADF)
  }

  /** Ends all watches. */
  close(): void {
    for (const fd of [...this.watched.keys()]) this.end(fd)
  }

  private remove(entry: Watched): void {
    this.watched.delete(entry.fd)
    this.forgetful.delete(entry)
    this.control(epoll.EPOLL_CTL_DEL, entry.fd, 0, entry.generation)
    this.closeIfIdle()
  }

  private open(): number {
    if (this.state !== undefined) return 0
    const memory = this.memory ??= this.allocateMemory()
    if (memory === undefined) return -errno.ENOMEM
    const fd = this.thread.keep(this.result(this.libc.epoll_create1(epoll.EPOLL_CLOEXEC)))
    if (fd < 0) return fd
    const wait = this.thread.wait(fd, () => this.dispatch(), () => this.isExpecting())
    this.state = { fd, wait, memory }
    // The first may be of this turn, and libuv begins with the next.
    setImmediate(() => setImmediate(() => this.reportDue()))
    return 0
  }

  private allocateMemory(): Memory | undefined {
    const control = this.allocate(16)
    const events = this.allocate(BATCH * this.eventSize)
    return typeof control === "number" || typeof events === "number" ? undefined : { control, events }
  }

  /** With nothing to watch, waiting would keep the process alive. It ends before its descriptor does. */
  private closeIfIdle(): void {
    if (this.state === undefined || this.watched.size > 0) return
    const { fd, wait } = this.state
    this.state = undefined
    wait.close()
    this.thread.close(fd)
  }

  private control(operation: number, fd: number, events: number, generation: number): number {
    const { fd: epollFd, memory: { control } } = this.state!
    control.view.setUint32(0, events, true)
    control.view.setUint32(this.dataOffset, fd, true)
    control.view.setUint32(this.dataOffset + 4, generation, true)
    return this.result(this.libc.epoll_ctl(epollFd, operation, fd, control.address))
  }

  private isExpecting(): boolean {
    for (const entry of this.watched.values()) if (entry.armed) return true
    return false
  }

  /** Reports what is there, and says whether there was something. */
  private dispatch(): boolean {
    if (this.state === undefined) return false
    const { fd, memory: { events } } = this.state
    const count = this.result(this.libc.epoll_wait(fd, events.address, BATCH, 0))
    // Copied out first: a callback may close watches, and with the last one this state.
    const ready: Array<Watched> = []
    for (let i = 0; i < count; i++) {
      const at = i * this.eventSize + this.dataOffset
      const entry = this.watched.get(events.view.getUint32(at, true))
      if (entry?.generation === events.view.getUint32(at + 4, true)) ready.push(entry)
    }
    for (const entry of ready) {
      // Of room, `reportDue` asks whether it is enough.
      if (this.watched.get(entry.fd) === entry && entry.awaits === "data") this.report(entry, 0)
    }
    return this.reportDue() || ready.length > 0
  }

  /** Reports what has something though its descriptor has forgotten it, and says whether there was such. */
  private reportDue(): boolean {
    if (this.forgetful.size === 0) return false
    const due = [...this.forgetful].filter((entry) => entry.armed && entry.isDue!())
    for (const entry of due) if (this.forgetful.has(entry)) this.report(entry, 0)
    return due.length > 0
  }

  private report(entry: Watched, result: number): void {
    entry.armed = false
    try {
      entry.onReport(result)
    } catch (error) {
      // koffi swallows what a poll callback throws: hand it to the process, where a bug of ours belongs.
      process.nextTick(() => {
        throw error
      })
    }
    if (entry.awaits === "room" && !entry.armed && this.watched.get(entry.fd) === entry) {
      this.control(epoll.EPOLL_CTL_MOD, entry.fd, epoll.EPOLLONESHOT, entry.generation)
    }
  }
}
