import { beforeEach, describe } from "@effect/vitest"
import { Kernel } from "../../src/index.ts"
import { released } from "../behaviour/released.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

describe("a released kernel", () => {
  beforeEach(skipUnlessPossible)
  released(Kernel.layer)
})
