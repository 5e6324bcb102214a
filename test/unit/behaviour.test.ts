import { describe } from "@effect/vitest"
import { attachmentFaults, attachments } from "../behaviour/attachments.ts"
import { backPressure } from "../behaviour/backPressure.ts"
import { faults } from "../behaviour/faults.ts"
import { links } from "../behaviour/links.ts"
import { maps } from "../behaviour/maps.ts"
import { perfBuffers } from "../behaviour/perfBuffers.ts"
import { pinning } from "../behaviour/pinning.ts"
import { programFaults } from "../behaviour/programFaults.ts"
import { programs } from "../behaviour/programs.ts"
import { contexts } from "../behaviour/contexts.ts"
import { rejections } from "../behaviour/rejections.ts"
import { ringBuffers } from "../behaviour/ringBuffers.ts"
import { spans } from "../behaviour/spans.ts"
import { testRuns } from "../behaviour/testRuns.ts"
import { userRingBuffers } from "../behaviour/userRingBuffers.ts"
import { simulated } from "../support/kernels.ts"
import { executeOnSimulated, executeOnUnmounted } from "../support/executions.ts"

describe("the simulated kernel", () => {
  describe("maps", () => maps(simulated))
  describe("pinning", () => pinning(simulated))
  describe("programs", () => programs(simulated))
  describe("rejections", () => rejections(simulated))
  describe("links", () => links(simulated))
  describe("attachments", () => attachments(simulated))
  describe("contexts", () => contexts(simulated))
  describe("spans", () => spans(simulated))
  describe("test runs", () => testRuns(simulated))
  describe("failing calls of programs", () => programFaults(simulated))
  describe("failing calls of attachments", () => attachmentFaults(simulated))
  describe("ring buffers", () => ringBuffers(simulated, { events: 50_000 }))
  describe("perf buffers", () => perfBuffers(simulated, { events: 20_000 }))
  describe("user ring buffers", () => userRingBuffers(simulated))
  describe("back-pressure", () => backPressure(simulated))
  describe("faults", () => faults(executeOnSimulated))
  describe("faults, with tracefs not mounted", () => faults(executeOnUnmounted))
})
