// Where programs are attached. A hook is named by what the kernel finds it by: a device and a direction, a cgroup and an
// attach type, a function, a tracepoint.
import type { Attachment } from "../descriptors.ts"

export const hookOf = {
  device: (attachType: number, ifindex: number): string => `device ${attachType} ${ifindex}`,
  cgroup: (attachType: number, cgroup: bigint): string => `cgroup ${attachType} ${cgroup}`,
  socketMap: (attachType: number, map: number): string => `sockets ${attachType} ${map}`,
  rawTracepoint: (name: string): string => `raw tracepoint ${name}`,
  /** fentry, fexit and the like, by the function's id in the kernel's BTF. */
  function: (attachType: number, btfId: number): string => `function ${attachType} ${btfId}`,
  perfEvent: (event: object): string => `perf event ${perfEventNumber(event)}`
}

const perfEvents = new WeakMap<object, number>()
let lastPerfEvent = 0
const perfEventNumber = (event: object): number => {
  const known = perfEvents.get(event)
  if (known !== undefined) return known
  perfEvents.set(event, ++lastPerfEvent)
  return lastPerfEvent
}

export class Hooks {
  /** The flags that all programs of a cgroup's hook share: alone, overridable, or many. */
  readonly modes = new Map<string, number>()
  private readonly attached = new Map<string, Array<Attachment>>()

  /** What is attached to a hook, in the order of attaching. */
  at(hook: string): ReadonlyArray<Attachment> {
    return this.attached.get(hook) ?? []
  }

  attach(hook: string, attachment: Attachment): void {
    const there = this.attached.get(hook)
    if (there === undefined) this.attached.set(hook, [attachment])
    else there.push(attachment)
  }

  detach(hook: string, attachment: Attachment): void {
    const rest = this.at(hook).filter((other) => other !== attachment)
    if (rest.length === 0) this.attached.delete(hook)
    else this.attached.set(hook, rest)
  }
}
