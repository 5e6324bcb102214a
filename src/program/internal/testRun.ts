import * as Effect from "effect/Effect"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_test } from "../../abi/generated/structs.ts"
import { fill, readNumber } from "../../kernel/attribute.ts"
import { acquireBlock, run, runOnce } from "../../kernel/systemCall.ts"
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

/** A signal ends a repeated run between two of its runs. Starting all over would run the program too often. */
const INTERRUPTED = "A signal came before all repetitions were done: some of them have run"

/** A program may grow its packet; the kernel's own limit for test runs is a page. */
const HEADROOM = 512

export const runTest = (
  kernel: KernelService,
  program: { readonly fd: number; readonly name: string; readonly type: string },
  input: TestRunInput
): Effect.Effect<TestRunResult, InvalidArgument | SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const { context, data, repeat } = input
    const invalid = repeat === undefined ? undefined : checkInteger("repeat", repeat, 1, 0x7fffffff)
    if (invalid !== undefined) return yield* invalid
    const attr = yield* acquireBlock(kernel, bpf_attr_test.size)
    const contextIn = context === undefined ? undefined : yield* acquireBlock(kernel, context.length)
    contextIn?.bytes.set(context!)
    const dataIn = data === undefined ? undefined : yield* acquireBlock(kernel, data.length)
    dataIn?.bytes.set(data!)
    const dataOut = data === undefined ? undefined : yield* acquireBlock(kernel, data.length + HEADROOM)
    const size = fill(attr, bpf_attr_test, {
      prog_fd: program.fd,
      data_size_in: data?.length,
      data_size_out: dataOut?.size,
      data_in: dataIn,
      data_out: dataOut,
      repeat,
      ctx_size_in: context?.length,
      ctx_in: contextIn
    })
    const what = { call: "bpf", command: "BPF_PROG_TEST_RUN", subject: `${program.type} program "${program.name}"` }
    const call = () => kernel.bpf.call(bpf_cmd.BPF_PROG_TEST_RUN, attr, Math.max(size, duration))
    if (repeat === undefined || repeat === 1) yield* run(kernel, what, call)
    else yield* runOnce(kernel, what, call, INTERRUPTED)
    return {
      returnValue: readNumber(attr, bpf_attr_test, "retval"),
      duration: readNumber(attr, bpf_attr_test, "duration"),
      data: dataOut === undefined
        ? new Uint8Array(0)
        : dataOut.bytes.slice(0, readNumber(attr, bpf_attr_test, "data_size_out"))
    }
  }))

/** The kernel writes results up to this field, so at least as much is passed. */
const duration = bpf_attr_test.fields.duration.offset + bpf_attr_test.fields.duration.size
