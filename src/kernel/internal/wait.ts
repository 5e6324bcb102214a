// How a thread learns that an epoll descriptor is readable.
//
// The main thread: by libuv's own poll, through koffi (37 µs from event to callback, no thread held).
//
// A worker: by Node's timers. A worker ends at any instruction, and koffi's poll does not survive that: a report between
// `terminate()` and the end calls into an environment that can no longer run JavaScript, which aborts the process, and so
// does its handle's own end once the addon is unloaded. Calls on the thread pool end the same way. Timers are Node's own and
// end with their thread.
import type { Koffi } from "./libc.ts"

/** Waits for a descriptor until closed. */
export interface Wait {
  /** Says that a report is waited for from now on. */
  readonly expect: () => void
  readonly close: () => void
}

/** `look` handles what is there, and says whether there was something; `isExpected` says whether anyone waits. */
export type MakeWait = (fd: number, look: () => boolean, isExpected: () => boolean) => Wait

/** The handle must be strongly held, and be closed before its descriptor. It keeps the process alive. */
export const pollWait = (koffi: Koffi): MakeWait => (fd, look) => {
  const handle = koffi.node.poll(fd, { readable: true }, () => look())
  return { expect: () => {}, close: () => handle.close() }
}

/** Milliseconds between two looks, while there was something lately and after it. */
const QUICK = 1
const SLOW = 4
/** So many looks in vain end "lately". */
const LATELY = 100

export const timerWait: MakeWait = (_fd, look, isExpected) => {
  let timer: NodeJS.Timeout | undefined
  let immediate: NodeJS.Immediate | undefined
  let vain = 0
  const lookAgain = (): void => {
    vain = look() ? 0 : vain + 1
    if (isExpected()) timer ??= setTimeout(onTimer, vain < LATELY ? QUICK : SLOW)
  }
  const onTimer = (): void => {
    timer = undefined
    lookAgain()
  }
  return {
    // What is there already is found in this turn of the event loop.
    expect: () => {
      immediate ??= setImmediate(() => {
        immediate = undefined
        lookAgain()
      })
    },
    close: () => {
      clearTimeout(timer)
      clearImmediate(immediate)
    }
  }
}
