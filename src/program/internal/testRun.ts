import * as Effect from "effect/Effect"
import { testRunProgram } from "../../bpf/programs.ts"
import { checkInteger } from "../../kernel/validate.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"

/** What a program is run on. */
export interface TestRunInput {
  /** The packet, for programs that see one: at least 14 bytes, at most a page. */
  readonly data?: Uint8Array
  /** The context, for programs that take one as bytes: `u64` arguments for a raw tracepoint. */
  readonly context?: Uint8Array
  /** How often to run it in this one call, from 1 to 2^31 - 1. */
  readonly repeat?: number
}

/** What a run gave. */
export interface TestRunResult {
  /** What the program returned, as an unsigned 32-bit number. */
  readonly returnValue: number
  /** The mean duration of a run in nanoseconds, as the kernel measured it; 0 for types that it does not measure. */
  readonly duration: number
  /** The packet after the last run. */
  readonly data: Uint8Array
}

/** A program may grow its packet; the kernel's own limit for test runs is a page. */
const HEADROOM = 512

export const runTest = (
  kernel: KernelService,
  program: { readonly fd: number; readonly name: string; readonly type: string },
  input: TestRunInput
): Effect.Effect<TestRunResult, InvalidArgument | SystemCallError> =>
  Effect.gen(function*() {
    const { context, data, repeat } = input
    const invalid = repeat === undefined ? undefined : checkInteger("repeat", repeat, 1, 0x7fffffff)
    if (invalid !== undefined) return yield* invalid
    const dataRoom = data === undefined ? undefined : data.length + HEADROOM
    return yield* testRunProgram(
      kernel,
      { program: program.fd, data, dataRoom, context, repeat },
      { subject: `${program.type} program "${program.name}"` }
    )
  })
