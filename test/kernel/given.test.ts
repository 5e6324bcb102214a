import { beforeEach, describe } from "@effect/vitest"
import { given } from "../behaviour/given.ts"
import { real } from "../support/kernels.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

describe("what users pass, on this machine's kernel", () => {
  beforeEach(skipUnlessPossible)
  given(real)
})
