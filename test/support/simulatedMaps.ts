// Maps of the simulated kernel, by their commands and by what programs see of them.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Context from "effect/Context"
import type { MapType } from "../../src/abi/names.ts"
import { Kernel } from "../../src/index.ts"
import * as SimulatedKernel from "../../src/simulated/SimulatedKernel.ts"
import type { MapAttributes, MapHost, MapParts } from "../../src/simulated/internal/maps.ts"
import { families } from "../../src/simulated/internal/maps/families.ts"
import { AddressSpace } from "../../src/simulated/internal/memory.ts"
import { type Lifetime, Objects } from "../../src/simulated/internal/objects.ts"
import { MapDoor } from "./mapDoor.ts"

/** Runs something with the door of a new simulated kernel; fails if it leaves descriptors or memory. */
export const withDoor = (
  use: (door: MapDoor, open: () => SimulatedKernel.Open) => void,
  options?: SimulatedKernel.Options
) =>
  Effect.gen(function*() {
    const context = yield* Layer.build(SimulatedKernel.layer(options))
    const kernel = Context.get(context, SimulatedKernel.SimulatedKernel)
    const open = () => Effect.runSync(kernel.open)
    const door = new MapDoor(Context.get(context, Kernel.Kernel))
    use(door, open)
    door.close()
    const left = open()
    if (left.blocks !== 0 || left.mappings !== 0) throw new Error(`left open: ${JSON.stringify(left)}`)
  }).pipe(Effect.scoped)

/** A kernel around maps that are made without commands; descriptors refer to `objects`. */
export const host = (objects: ReadonlyMap<number, Lifetime> = new Map()) =>
  ({
    memory: new AddressSpace(),
    possibleCpus: 2,
    pageSize: 4096,
    objects: new Objects(),
    descriptors: { any: (fd: number) => objects.get(fd) },
    hasDevice: (ifindex: number) => ifindex === 1
  }) satisfies MapHost

const plain: Omit<MapAttributes, "type"> = {
  name: "m",
  keySize: 4,
  valueSize: 4,
  maxEntries: 4,
  flags: 0,
  numaNode: -1,
  extra: 0n,
  btf: undefined,
  btfKeyType: 0,
  btfValueType: 0,
  btfVmlinuxValueType: 0,
  hidden: [],
  inner: undefined,
  exclusive: undefined
}

/** The parts of a map: 4-byte keys and values, 4 entries, unless told otherwise. */
export const partsOf = (kernel: MapHost, type: MapType, attributes?: Partial<MapAttributes>): MapParts => {
  const parts = families[type]!.make(kernel, { ...plain, type, ...attributes })
  if (typeof parts === "number") throw new Error(`no ${type} map: ${parts}`)
  return parts
}
