// mmap(2) of the simulated process: views of maps' memory, and of the rings of perf events.
import { errno } from "../../abi/errno.ts"
import { mman } from "../../abi/os.ts"
import type { Mapping } from "../../kernel/Kernel.ts"
import type { DescriptorTable, PerfEvent } from "./descriptors.ts"
import { BPF_F_RDONLY_PROG } from "./maps/flags.ts"
import type { SimulatedMap } from "./maps.ts"
import type { Objects } from "./objects.ts"

class SimulatedMapping implements Mapping {
  readonly length: number
  readonly object: PerfEvent | SimulatedMap
  readonly writes: boolean
  buffer: ArrayBuffer
  constructor(buffer: ArrayBuffer, length: number, object: PerfEvent | SimulatedMap, writes: boolean) {
    this.buffer = buffer
    this.length = length
    this.object = object
    this.writes = writes
  }
}

export interface MappingsOptions {
  readonly descriptors: DescriptorTable
  readonly objects: Objects
  readonly pageSize: number
}

export class Mappings {
  private readonly options: MappingsOptions
  private readonly mapped = new Set<SimulatedMapping>()

  constructor(options: MappingsOptions) {
    this.options = options
  }

  get size(): number {
    return this.mapped.size
  }

  map(fd: number, length: number, protection: number, offset: number): Mapping | number {
    const { descriptors, objects, pageSize } = this.options
    // In the order of the system call: the offset, the file, the length, the place, the access, and then what is mapped.
    if (offset % pageSize !== 0) return -errno.EINVAL
    const file = descriptors.file(fd)
    if (file === undefined) return -errno.EBADF
    if (length <= 0) return -errno.EINVAL
    const map = file.object
    const writes = (protection & mman.PROT_WRITE) !== 0
    const pages = Math.ceil(length / pageSize) * pageSize
    const nowhere = map._tag === "Map" ? map.place?.({ offset, length: pages, writes }) ?? 0 : 0
    if (nowhere < 0) return nowhere
    if (!file.reads || (writes && !file.writes)) return -errno.EACCES
    if (map._tag === "PerfEvent") return this.mapEvent(map, length, writes, offset)
    if (map._tag !== "Map") return -errno.ENODEV
    if (map.mapping === undefined || map.attributes.hidden.length > 0) return -errno.ENOTSUPP
    // A file that cannot be written has no shared mapping: it is as if private.
    if (!file.writes) return -errno.EINVAL
    if (writes && map.frozen) return -errno.EPERM
    // Programs may only read it: a process with a writable page could change it after it is frozen.
    if (writes && (map.attributes.flags & BPF_F_RDONLY_PROG) !== 0) return -errno.EACCES
    const buffer = map.mapping({ offset, length: pages, writes })
    if (typeof buffer === "number") return buffer
    const mapping = new SimulatedMapping(buffer, length, map, writes)
    this.mapped.add(mapping)
    objects.retain(map, true)
    if (writes) map.writableMappings++
    return mapping
  }

  private mapEvent(event: PerfEvent, length: number, writes: boolean, offset: number): Mapping | number {
    const { objects, pageSize } = this.options
    if (event.output === undefined) return -errno.EINVAL
    if (offset !== 0) return -errno.EINVAL // where an AUX area would be
    const ring = event.output.map(Math.ceil(length / pageSize) * pageSize, pageSize, writes)
    if (typeof ring === "number") return ring
    const mapping = new SimulatedMapping(ring.buffer, length, event, writes)
    this.mapped.add(mapping)
    objects.retain(event, true)
    return mapping
  }

  unmap(mapping: Mapping): number {
    if (!(mapping instanceof SimulatedMapping) || !this.mapped.delete(mapping)) return -errno.EINVAL
    this.detach(mapping)
    const { object } = mapping
    // An arena's writers are counted for ever.
    if (object._tag === "Map" && mapping.writes && object.arena === undefined) object.writableMappings--
    this.options.objects.release(object, true)
    return 0
  }

  /**
   * Views of an unmapped mapping have length 0: the kernel's own memory moves to another buffer. Where a map is mapped more
   * than once, all have the same buffer here, and keep it until the last is unmapped.
   */
  private detach(mapping: SimulatedMapping): void {
    const { buffer, object } = mapping
    mapping.buffer = new ArrayBuffer(0)
    if ([...this.mapped].some((other) => other.buffer === buffer)) return
    if (object._tag === "Map") object.moved?.(buffer.transfer())
    else {
      object.output!.ring = undefined
      buffer.transfer(0)
    }
  }
}
