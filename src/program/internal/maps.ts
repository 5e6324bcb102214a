// The maps of a program: from names and handles to descriptors, which stand in the wide loads that refer to them.
import * as Result from "effect/Result"
import type { Assembled } from "../../isa/Asm.ts"
import { InvalidArgument } from "../../kernel/KernelError.ts"

/** What a program needs of a map: any handle of the map modules is one. */
export interface MapReference {
  readonly fd: number
}

const closed = (name: string): InvalidArgument =>
  new InvalidArgument({ field: `maps.${name}`, expected: "a map whose scope is open", actual: "a closed one" })

/** The descriptor of each slot that refers to a map. */
export const findMaps = (
  program: Assembled,
  maps: { readonly [name: string]: MapReference }
): Result.Result<ReadonlyMap<number, number>, InvalidArgument> => {
  const fds = new Map<number, number>()
  for (const [name, slots] of program.maps) {
    const map = Object.hasOwn(maps, name) ? maps[name] : undefined
    if (map === undefined) {
      const given = Object.keys(maps).join(", ")
      return Result.fail(
        new InvalidArgument({ field: "maps", expected: `a map named ${name}`, actual: given === "" ? "none" : given })
      )
    }
    if (map.fd < 0) return Result.fail(closed(name))
    for (const slot of slots) fds.set(slot, map.fd)
  }
  for (const [map, slots] of program.handles) {
    if (map.fd < 0) return Result.fail(closed(map.spec.name))
    for (const slot of slots) fds.set(slot, map.fd)
  }
  return Result.succeed(fds)
}

/** The program's bytes with the descriptors in place: the lower half of a wide load's immediate. */
export const withMaps = (bytes: Uint8Array, fds: ReadonlyMap<number, number>): Uint8Array => {
  if (fds.size === 0) return bytes
  const out = bytes.slice()
  const view = new DataView(out.buffer)
  for (const [slot, fd] of fds) view.setInt32(slot * 8 + 4, fd, true)
  return out
}
