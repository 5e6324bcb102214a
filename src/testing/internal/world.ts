// What the commands of bpf(2) work on.
import type { ProgramTrap } from "../ProgramTrap.ts"
import type { Descriptors } from "./descriptors.ts"
import type { Helper } from "./interpreter.ts"
import type { SimulatedMap } from "./maps.ts"
import type { AddressSpace } from "./memory.ts"

/** What the commands work on. */
export interface World {
  readonly memory: AddressSpace
  readonly descriptors: Descriptors
  readonly helpers: ReadonlyMap<number, Helper>
  readonly pageSize: number
  readonly newId: () => number
  readonly addMap: (map: SimulatedMap) => void
  readonly trapped: (trap: ProgramTrap) => void
}
