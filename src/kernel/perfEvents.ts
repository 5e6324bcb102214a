// Opening perf events: what those that run a program and those that take a program's output have in common.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { perf_event_attr } from "../abi/generated/structs.ts"
import { perf } from "../abi/os.ts"
import { type FieldValue, fill } from "./attribute.ts"
import type { SystemCallError } from "./KernelError.ts"
import type { KernelService } from "./kernelService.ts"
import { acquireBlock, acquireDescriptor, type Descriptor, withLocalScope } from "./systemCall.ts"

/** PERF_ATTR_SIZE_VER5: known to every kernel since 4.1. */
const ATTR_SIZE = 112

/** A perf event by the fields of its `perf_event_attr`, and whom and where it watches. */
export interface PerfEvent {
  readonly fields: { readonly [F in keyof typeof perf_event_attr["fields"]]?: FieldValue | undefined }
  /** A process, or -1 for all. */
  readonly pid: number
  /** A CPU, or -1 for all that the process runs on. */
  readonly cpu: number
}

/** Opens an event, which is closed with the scope. */
export const acquirePerfEvent = (
  kernel: KernelService,
  subject: string,
  { cpu, fields, pid }: PerfEvent
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  withLocalScope((owner) =>
    Effect.flatMap(acquireBlock(kernel, perf_event_attr.size), (attr) => {
      fill(attr, perf_event_attr, { size: ATTR_SIZE, ...fields })
      const call = () => kernel.perf.open(attr, pid, cpu, -1, perf.PERF_FLAG_FD_CLOEXEC)
      return Scope.provide(acquireDescriptor(kernel, { call: "perf_event_open", subject }, call), owner)
    })
  )
