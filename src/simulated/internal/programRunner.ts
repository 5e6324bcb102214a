// What runs programs: the helpers and their surroundings, the task that an event happens in, and the event itself.
import { type CurrentEvent, noEvent } from "./helpers/environment.ts"
import { makeHelpers } from "./helpers.ts"
import { type Executable, Processor } from "./interpreter/processor.ts"
import type { SimulatedMap } from "./maps.ts"
import { type AddressSpace, viewOf } from "./memory.ts"
import type { Packet } from "./packets.ts"
import { Records } from "./records.ts"
import { defaultTask, mapTask, type Task } from "./tasks.ts"

export interface RunnerOptions {
  readonly memory: AddressSpace
  readonly map: (pointer: bigint) => SimulatedMap | undefined
  readonly possibleCpus: number
  readonly hasDevice: (ifindex: number) => boolean
  readonly now: () => bigint
  readonly random: () => number
  /** Runs something once, so many nanoseconds from now; what it gives back cancels it. */
  readonly schedule: (delay: bigint, run: () => void) => () => void
}

const isExecutable = (object: unknown): object is Executable =>
  typeof object === "object" && object !== null && "code" in object

export class ProgramRunner {
  readonly processor: Processor
  readonly helperIds: ReadonlySet<number>
  /** The packets that programs are looking at, by the upper half of their context's address. */
  readonly packets = new Map<number, Packet>()
  readonly records = new Records()
  private readonly memory: AddressSpace
  private task: { readonly task: Task; readonly address: bigint } | undefined
  private event: CurrentEvent = noEvent()

  constructor(options: RunnerOptions) {
    const { map, memory } = options
    this.memory = memory
    const helpers = makeHelpers({
      ...options,
      task: () => this.task ??= { task: defaultTask, address: mapTask(memory, defaultTask).address },
      event: () => this.event,
      packets: this.packets,
      processor: () => this.processor,
      records: this.records
    })
    this.helperIds = new Set(helpers.keys())
    this.processor = new Processor({
      memory,
      helpers,
      programAt: (pointer, index) => {
        const key = new Uint8Array(4)
        viewOf(key).setUint32(0, index, true)
        const found = map(pointer)
        if (found === undefined || index >= found.attributes.maxEntries) return undefined
        const program = found.referent?.(key)
        return isExecutable(program) ? program : undefined
      },
      packetOf: (context) => this.packets.get(Number(context >> 32n))?.data
    })
  }

  /** Runs something on a CPU, in the current task. */
  onCpu<A>(cpu: number, run: () => A): A {
    return this.during({ ...this.task?.task ?? defaultTask, cpu }, this.event, run)
  }

  /** Runs what happens in a task, as part of an event; both are over when it returns. */
  during<A>(task: Task, event: CurrentEvent, run: () => A): A {
    const mapped = mapTask(this.memory, task)
    const outer = { task: this.task, event: this.event }
    this.task = { task, address: mapped.address }
    this.event = event
    try {
      return run()
    } finally {
      this.task = outer.task
      this.event = outer.event
      mapped.unmap()
    }
  }
}
