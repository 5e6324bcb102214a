// What every kernel does with maps, family by family.
import { describe } from "@effect/vitest"
import type { Test } from "../support/kernels.ts"
import { iteration } from "./maps/iteration.ts"
import { hash } from "./maps/hash.ts"
import { perCpu } from "./maps/perCpu.ts"
import { queues } from "./maps/queues.ts"
import { lpm } from "./maps/lpm.ts"
import { array } from "./maps/array.ts"
import { mapsOfMaps } from "./maps/mapsOfMaps.ts"
import { objects } from "./maps/objects.ts"
import { storage } from "./maps/storage.ts"
import { memory } from "./maps/memory.ts"
import { opening } from "./maps/opening.ts"
import { inlined } from "./maps/inline.ts"
import { badInput } from "./maps/badInput.ts"
import { mapFaults } from "./maps/faults.ts"
import { lifecycle } from "./maps/lifecycle.ts"
import { many } from "./maps/many.ts"
import { refusals } from "./maps/refusals.ts"
import { eviction } from "./maps/eviction.ts"
import { handles } from "./maps/handles.ts"
import { described } from "./maps/described.ts"
import { turns } from "./maps/turns.ts"
import { reentry } from "./maps/reentry.ts"
import { together } from "./maps/together.ts"

export const maps = (test: Test): void => {
  describe("life and errors", () => lifecycle(test))
  describe("many entries at once", () => many(test))
  describe("lookups together", () => together(test))
  describe("turns of the event loop", () => turns(test))
  describe("refusals", () => refusals(test))
  describe("as objects describe them", () => described(test))
  describe("eviction", () => eviction(test))
  describe("handles", () => handles(test))
  describe("user code amid operations", () => reentry(test))
  describe("hash tables", () => hash(test))
  describe("per-CPU maps", () => perCpu(test))
  describe("queues and filters", () => queues(test))
  describe("tries", () => lpm(test))
  describe("arrays", () => array(test))
  describe("maps of maps", () => mapsOfMaps(test))
  describe("maps of objects", () => objects(test))
  describe("storage of other objects", () => storage(test))
  describe("memory and containers", () => memory(test))
  describe("maps that exist", () => opening(test))
  describe("effects that run inside generators", () => inlined(test))
  describe("bad input", () => badInput(test))
  if (process.env["FAULTS"] !== "none") describe("failing calls", () => mapFaults(test))
  describe("iteration", () => iteration(test))
}
