import { describe } from "@effect/vitest"
import * as SimulatedKernel from "../../../src/simulated/SimulatedKernel.ts"
import { released } from "../../behaviour/released.ts"

describe("a released simulated kernel", () => {
  released(SimulatedKernel.layer())
})
