// What is left of a kernel whose layer was released: handles may outlive it, and what they ask for then is refused, in words
// that name the cause. What they still hold can be given back.
import { errno } from "../abi/errno.ts"

/** The hint of whatever fails because its kernel was released. */
export const releasedHint =
  "The Kernel layer that this was made with has been released: provide the layer around everything that uses it"

/**
 * A group of calls that answer EBADF once their kernel is released, but for `others`: those that give something back, or see
 * to it themselves.
 */
export const refuseReleased = <Calls extends object>(
  calls: Calls,
  isReleased: () => boolean,
  others: ReadonlyArray<keyof Calls>
): Calls => {
  const refusing: Record<string, unknown> = {}
  for (const [method, call] of Object.entries(calls) as Array<[string, (...args: ReadonlyArray<unknown>) => unknown]>) {
    refusing[method] = others.includes(method as keyof Calls)
      ? call
      : (...args: ReadonlyArray<unknown>) => isReleased() ? -errno.EBADF : call(...args)
  }
  return refusing as Calls
}
