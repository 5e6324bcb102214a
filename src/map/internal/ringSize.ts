import * as Effect from "effect/Effect"
import { InvalidArgument } from "../../kernel/KernelError.ts"

/** Larger rings would need 64-bit positions on the reader's hot path. */
const MOST_BYTES = 1 << 30

/** A ring's size: the kernel takes a power of two that is a multiple of the page size. */
export const checkRingSize = (maxEntries: number, pageSize: number): Effect.Effect<void, InvalidArgument> =>
  maxEntries >= pageSize && maxEntries <= MOST_BYTES && Number.isInteger(Math.log2(maxEntries))
    ? Effect.void
    : Effect.fail(
      new InvalidArgument({
        field: "maxEntries",
        expected: `a size in bytes that is a power of two from ${pageSize} (the page size) to ${MOST_BYTES}`,
        actual: String(maxEntries)
      })
    )
