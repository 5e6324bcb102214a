import { beforeEach, describe } from "@effect/vitest"
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
import { executeOnReal } from "../support/executions.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

describe("this machine's kernel", () => {
  beforeEach(skipUnlessPossible)
  describe("maps", () => maps(real))
  describe("pinning", () => pinning(real))
  describe("programs", () => programs(real))
  describe("rejections", () => rejections(real))
  describe("links", () => links(real))
  describe("attachments", () => attachments(real))
  describe("contexts", () => contexts(real))
  describe("spans", () => spans(real))
  describe("test runs", () => testRuns(real))
  if (process.env["FAULTS"] !== "none") describe("failing calls of programs", () => programFaults(real))
  if (process.env["FAULTS"] !== "none") describe("failing calls of attachments", () => attachmentFaults(real))
  describe("ring buffers", () =>
    ringBuffers(real, { events: 1_000_000, readers: process.env["FAULTS"] === undefined ? 1000 : 100 }))
  describe("perf buffers", () => perfBuffers(real, { events: 50_000 }))
  describe("user ring buffers", () => userRingBuffers(real))
  describe("back-pressure", () => backPressure(real))
  if (process.env["FAULTS"] !== "none") describe("faults", () => faults(executeOnReal))
})
