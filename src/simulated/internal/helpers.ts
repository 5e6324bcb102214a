// The helper functions of the simulated kernel, by their numbers. Results are those of the kernel's own: addresses, or
// -errno as a 64-bit number. A program that calls what is not among them loads as it
// does on Linux, and traps when it calls it.
import { bpf_func_id } from "../../abi/generated/enums.ts"
import { controlHelpers } from "./helpers/control.ts"
import type { Environment, Helpers } from "./helpers/environment.ts"
import { mapHelpers } from "./helpers/maps.ts"
import { packetHelpers } from "./helpers/packets.ts"
import { probeHelpers } from "./helpers/probe.ts"
import { ringHelpers } from "./helpers/rings.ts"
import { socketHelpers } from "./helpers/sockets.ts"
import { stringHelpers } from "./helpers/strings.ts"
import { taskHelpers, timeHelpers } from "./helpers/time.ts"
import { tracingHelpers } from "./helpers/tracing.ts"
import type { Helper } from "./interpreter/helper.ts"

export const makeHelpers = (environment: Environment): ReadonlyMap<number, Helper> => {
  const parts = [
    controlHelpers,
    mapHelpers,
    packetHelpers,
    probeHelpers,
    ringHelpers,
    socketHelpers,
    stringHelpers,
    taskHelpers,
    timeHelpers,
    tracingHelpers
  ]
  const table: Helpers = Object.assign({}, ...parts.map((make) => make(environment)))
  return new Map(
    (Object.keys(table) as Array<keyof Helpers>).map((name) => [bpf_func_id[name], table[name]!])
  )
}
