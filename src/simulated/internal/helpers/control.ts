// Helpers that call back or wait: loops, timers, spin locks.
import { errno } from "../../../abi/errno.ts"
import type { Executable } from "../interpreter/processor.ts"
import type { SimulatedMap } from "../maps.ts"
import { addressOf } from "../memory.ts"
import { type Environment, failed, type Helpers, u32 } from "./environment.ts"

/** BPF_MAX_LOOPS */
const MOST_LOOPS = 8 * 1024 * 1024
const STOP = 1n
const ABSOLUTE = 1n

interface Timer {
  readonly map: SimulatedMap
  readonly pointer: bigint
  readonly key: Uint8Array
  readonly value: bigint
  callback: { readonly program: Executable; readonly address: bigint } | undefined
  cancel: (() => void) | undefined
}

export const controlHelpers = ({ map, memory, now, processor, schedule }: Environment): Helpers => {
  /** By the address of the `bpf_timer` in its map's value. */
  const timers = new Map<bigint, Timer>()

  /** The element that an address lies in: the map knows its keys only. */
  const elementAt = (found: SimulatedMap, address: bigint) => {
    const { elements } = found
    for (let key = elements?.next(undefined); key !== undefined; key = elements?.next(key)) {
      const value = elements?.find(key)
      if (value !== undefined && address >= value && address < value + BigInt(found.attributes.valueSize)) {
        return { key, value }
      }
    }
    throw new RangeError("the timer is not in an element of the map")
  }

  const expire = (timer: Timer): void => {
    timer.cancel = undefined
    if (timer.callback === undefined) return
    const place = memory.map(timer.key.slice(), { writable: false })
    try {
      processor().runCallback(
        timer.callback.program,
        timer.callback.address,
        timer.pointer,
        addressOf(place),
        timer.value
      )
    } finally {
      memory.unmap(place)
    }
  }

  const lock = (address: bigint, to: number): bigint => {
    const { offset, region } = memory.find(address, 4)
    if (region.view.getUint32(offset, true) === to) {
      throw new RangeError(to === 1 ? "the lock is held" : "the lock is not held")
    }
    region.view.setUint32(offset, to, true)
    return 0n
  }

  return {
    BPF_FUNC_loop: (count, callback, context, flags) => {
      if (flags !== 0n) return failed(errno.EINVAL)
      const most = u32(count)
      if (most > MOST_LOOPS) return failed(errno.E2BIG)
      const program = processor().current!
      for (let i = 0; i < most; i++) {
        if (processor().callback(program, callback, BigInt(i), context) === STOP) return BigInt(i + 1)
      }
      return BigInt(most)
    },
    BPF_FUNC_spin_lock: (address) => lock(address, 1),
    BPF_FUNC_spin_unlock: (address) => lock(address, 0),
    BPF_FUNC_timer_init: (address, pointer, flags) => {
      const found = map(pointer)
      if (found === undefined) throw new RangeError("the second argument is no map")
      if (flags !== 0n && flags !== 1n && flags !== 7n) return failed(errno.EINVAL)
      const known = timers.get(address)
      const element = elementAt(found, address)
      if (known !== undefined && known.value === element.value && Buffer.compare(known.key, element.key) === 0) {
        return failed(errno.EBUSY)
      }
      known?.cancel?.()
      timers.set(address, { map: found, pointer, ...element, callback: undefined, cancel: undefined })
      return 0n
    },
    BPF_FUNC_timer_set_callback: (address, callback) => {
      const timer = timers.get(address)
      if (timer === undefined) return failed(errno.EINVAL)
      timer.callback = { program: processor().current!, address: callback }
      return 0n
    },
    BPF_FUNC_timer_start: (address, nanoseconds, flags) => {
      const timer = timers.get(address)
      if (timer?.callback === undefined || (flags & ~3n) !== 0n) return failed(errno.EINVAL)
      timer.cancel?.()
      const delay = (flags & ABSOLUTE) === 0n ? nanoseconds : nanoseconds - now()
      timer.cancel = schedule(delay < 0n ? 0n : delay, () => expire(timer))
      return 0n
    },
    BPF_FUNC_timer_cancel: (address) => {
      const timer = timers.get(address)
      if (timer === undefined) return failed(errno.EINVAL)
      const active = timer.cancel !== undefined
      timer.cancel?.()
      timer.cancel = undefined
      return active ? 1n : 0n
    }
  }
}
