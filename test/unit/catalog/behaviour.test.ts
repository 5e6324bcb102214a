import { describe } from "@effect/vitest"
import { catalog } from "../../behaviour/catalog.ts"
import { simulated } from "../../support/kernels.ts"

describe("the catalog on the simulated kernel", () => catalog(simulated))
