// Values by number, each with an object that it refers to: what maps of devices, CPUs and sockets keep.
import type { MapAttributes, MapHost } from "../maps.ts"
import type { Lifetime } from "../objects.ts"
import { Values } from "./values.ts"

interface Slot {
  readonly place: number
  readonly object: Lifetime | undefined
}

export class Slots {
  private readonly host: MapHost
  private readonly values: Values
  private readonly slots = new Map<number, Slot>()

  constructor(host: MapHost, attributes: MapAttributes) {
    this.host = host
    this.values = new Values(host.memory, attributes)
  }

  has(index: number): boolean {
    return this.slots.has(index)
  }

  /** The address of the value at a number. */
  find(index: number): bigint | undefined {
    const slot = this.slots.get(index)
    return slot === undefined ? undefined : this.values.address(slot.place)
  }

  object(index: number): Lifetime | undefined {
    return this.slots.get(index)?.object
  }

  /** Puts a value there, and holds its object in place of the old one's. */
  set(index: number, value: Uint8Array, object: Lifetime | undefined): void {
    if (object !== undefined) this.host.objects.retain(object)
    this.remove(index)
    const place = this.values.take()
    this.values.bytes(place).fill(0)
    this.values.bytes(place).set(value)
    this.slots.set(index, { place, object })
  }

  /** True if there was one. */
  remove(index: number): boolean {
    const slot = this.slots.get(index)
    if (slot === undefined) return false
    this.slots.delete(index)
    this.values.give(slot.place)
    if (slot.object !== undefined) this.host.objects.release(slot.object)
    return true
  }

  free(): void {
    for (const index of [...this.slots.keys()]) this.remove(index)
    this.values.free()
  }
}
