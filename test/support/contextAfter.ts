// A test run that gives the context back: what a program changed of a packet's metadata.
import * as Effect from "effect/Effect"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { bpf_attr_test } from "../../src/abi/generated/structs.ts"
import { Kernel, Layout } from "../../src/index.ts"
import { fill } from "../../src/kernel/attribute.ts"
import { acquireBlock } from "../../src/kernel/systemCall.ts"

/** Runs a program once on a packet, and decodes its context afterwards. */
export const contextAfter = <A>(program: { readonly fd: number }, data: Uint8Array, layout: Layout.Layout<A>) =>
  Effect.scoped(Effect.gen(function*() {
    const kernel = yield* Kernel.Kernel
    const [attr, input, context] = [
      yield* acquireBlock(kernel, bpf_attr_test.size),
      yield* acquireBlock(kernel, data.length),
      yield* acquireBlock(kernel, layout.size)
    ]
    input.bytes.set(data)
    const size = fill(attr, bpf_attr_test, {
      prog_fd: program.fd,
      data_size_in: data.length,
      data_in: input,
      ctx_size_out: layout.size,
      ctx_out: context
    })
    const result = kernel.bpf.call(bpf_cmd.BPF_PROG_TEST_RUN, attr, size)
    if (result < 0) return yield* Effect.die(new Error(`BPF_PROG_TEST_RUN: ${result}`))
    return yield* Effect.fromResult(Layout.decode(layout, context.bytes.slice()))
  }))
