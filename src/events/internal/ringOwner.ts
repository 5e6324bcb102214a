// One reader per ring, whoever it is: two would both get every record and move each other's position. epoll tells two apart
// only where they came by the same descriptor, so the reader writes itself into the ring: the kernel uses the first 8 bytes
// of the page that holds the consumer's position, and the rest is the process's to write. What is written is the reader's
// thread and when that began, so that a thread that died with the ring open, as workers may, holds nobody up.
//
// A user ring buffer has one producer for the same reasons, which writes itself into the page of the producer's position:
// there that page is the process's to write.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import type { KernelService, Mapping } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"

const decoder = new TextDecoder()

/** The bits below a thread's id: its start, in ticks of 10 ms since the machine began. Ids have 22 bits. */
const START_BITS = 41n

/** States of threads that have ended: of a zombie, for which nobody has waited yet, and of what is about to be no more. */
const ENDED: ReadonlySet<string | undefined> = new Set(["Z", "X"])

/**
 * Of a thread that lives. Field 1 of proc_pid_stat(5) is the id, field 3 the state and field 22 the start; field 2 is a name
 * that may hold anything.
 */
const parse = (content: Uint8Array | number): bigint | undefined => {
  if (typeof content === "number") return undefined
  const text = decoder.decode(content)
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const start = fields[19]
  return start === undefined || ENDED.has(fields[0])
    ? undefined
    : (BigInt(Number.parseInt(text)) << START_BITS) | BigInt(start)
}

/** A simulated kernel is within one thread. */
const ONLY = 1n

const own = (kernel: KernelService): bigint | undefined =>
  kernel.kind === "simulated" ? ONLY : parse(kernel.files.read("/proc/thread-self/stat"))

/** Any thread of the system is found by its id, though /proc lists processes only. */
const isAlive = (kernel: KernelService, owner: bigint): boolean =>
  owner === ONLY || parse(kernel.files.read(`/proc/${owner >> START_BITS}/stat`)) === owner

/** Makes this thread the ring's reader, or its producer, until the scope closes: `page` is that of its position. */
export const acquireOwnership = (
  kernel: KernelService,
  subject: string,
  page: Mapping,
  role: "reader" | "producer" = "reader"
): Effect.Effect<void, SystemCallError, Scope.Scope> => {
  const word = new BigInt64Array(page.buffer, kernel.pageSize - 8, 1)
  const claim = Effect.suspend(() => {
    const me = own(kernel)
    if (me === undefined) return Effect.succeed(undefined) // no /proc: epoll still tells same descriptors apart
    const found = Atomics.load(word, 0)
    if ((found === 0n || !isAlive(kernel, found)) && Atomics.compareExchange(word, 0, found, me) === found) {
      return Effect.succeed(me)
    }
    return Effect.fail(
      new SystemCallError({
        call: "mmap",
        command: undefined,
        subject,
        errno: errno.EEXIST,
        hint: `It has a ${role} already${
          found === me || found === 0n ? "" : `, in thread ${found >> START_BITS}`
        }, and a ${role === "reader" ? "" : "user "}ring buffer can have only one`
      })
    )
  })
  return Effect.asVoid(Effect.acquireRelease(claim, (me) =>
    Effect.sync(() => {
      if (me !== undefined && word.length > 0) Atomics.compareExchange(word, 0, me, 0n)
    })))
}
