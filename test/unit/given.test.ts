import { describe } from "@effect/vitest"
import { given } from "../behaviour/given.ts"
import { simulated } from "../support/kernels.ts"

describe("what users pass, on the simulated kernel", () => given(simulated))
