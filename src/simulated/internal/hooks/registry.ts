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

/** A cgroup counts its changes for ever; what a device knows of a direction goes with its last program. */
const countsForEver = (hook: string): boolean => hook.startsWith("cgroup ")

const perfEvents = new WeakMap<object, number>()
let lastPerfEvent = 0
const perfEventNumber = (event: object): number => {
  const known = perfEvents.get(event)
  if (known !== undefined) return known
  perfEvents.set(event, ++lastPerfEvent)
  return lastPerfEvent
}

/** Where a program goes among those of a hook: before the one of an index, or in the place of another. */
export interface Placing {
  readonly index: number
  readonly replaced: Attachment | undefined
}

interface Hook {
  attached: ReadonlyArray<Attachment>
  /** Counts the changes, from 1. */
  revision: number
  /** The flags that all programs of a cgroup's hook share: alone, overridable, or many. */
  mode: number
}

const UNUSED: Hook = { attached: [], revision: 1, mode: 0 }

export class Hooks {
  private readonly hooks = new Map<string, Hook>()

  /** What is attached to a hook, in the order in which it runs. */
  at(hook: string): ReadonlyArray<Attachment> {
    return this.get(hook).attached
  }

  /** Which state of a hook this is: what `expected_revision` is held against. */
  revision(hook: string): number {
    return this.get(hook).revision
  }

  /** The flags that all programs of a cgroup's hook were attached with; 0 while there is none. */
  mode(hook: string): number {
    return this.get(hook).mode
  }

  attach(hook: string, attachment: Attachment, placing?: Placing, mode = 0): void {
    const there = this.at(hook)
    const attached = placing?.replaced === undefined
      ? there.toSpliced(placing?.index ?? there.length, 0, attachment)
      : there.map((other) => other === placing.replaced ? attachment : other)
    this.change(hook, attached, mode)
  }

  /** An attachment runs another program, in its place. */
  replaceProgram(hook: string, attachment: Attachment, program: Attachment["program"]): void {
    attachment.program = program
    this.change(hook, this.at(hook), this.mode(hook))
  }

  detach(hook: string, attachment: Attachment): void {
    const there = this.at(hook)
    if (!there.includes(attachment)) return
    const rest = there.filter((other) => other !== attachment)
    if (rest.length === 0 && !countsForEver(hook)) this.hooks.delete(hook)
    else this.change(hook, rest, rest.length === 0 ? 0 : this.mode(hook))
  }

  private get(hook: string): Hook {
    return this.hooks.get(hook) ?? UNUSED
  }

  private change(hook: string, attached: ReadonlyArray<Attachment>, mode: number): void {
    this.hooks.set(hook, { attached, revision: this.revision(hook) + 1, mode })
  }
}
