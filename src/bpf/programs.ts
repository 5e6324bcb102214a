// Programs: BPF_PROG_LOAD, BPF_PROG_TEST_RUN, and the attaching that is no link.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../abi/errno.ts"
import { attachFlags } from "../abi/os.ts"
import type { Block, KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import { acquireBlock, type Descriptor, run, runOnce } from "../kernel/systemCall.ts"
import { acquire, callOf, type Fields, perform, performAndRead, pointTo, prepare, type Purpose } from "./command.ts"

/** The verifier answers EAGAIN when a signal is pending; libbpf tries 5 times. */
const MOST_ATTEMPTS = 5

const whileAgain = (call: () => number) => (): number => {
  let result = call()
  for (let i = 1; i < MOST_ATTEMPTS && result === -errno.EAGAIN; i++) result = call()
  return result
}

/** Where the verifier writes its log. */
export interface LogBuffer {
  readonly block: Block
  /** How much of the block it may use, in bytes. */
  readonly size: number
  /** 1: each instruction; 2: the state of registers too. */
  readonly level: number
  /** Set by a load: the size of the whole log with its NUL, since kernel 6.4; 0 before. */
  trueSize: number
}

/** BPF_PROG_LOAD: a descriptor that is closed with the scope. */
export const loadProgram = (
  kernel: KernelService,
  fields: Fields<"BPF_PROG_LOAD">,
  purpose: Purpose,
  log?: LogBuffer
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  log === undefined
    ? acquire(kernel, "BPF_PROG_LOAD", fields, purpose, ({ call }) => whileAgain(call))
    : acquire(
      kernel,
      "BPF_PROG_LOAD",
      // The kernel writes the true size where so much is passed.
      { ...fields, log_level: log.level, log_size: log.size, log_buf: log.block, log_true_size: 0 },
      purpose,
      ({ call, read }) => () => {
        const result = whileAgain(call)()
        log.trueSize = read("log_true_size")
        return result
      }
    )

/** What a program is run on, and how much room there is for what it leaves. */
export interface TestRun {
  readonly program: number
  readonly data?: Uint8Array | undefined
  /** In bytes, for the packet as it is after the run. */
  readonly dataRoom?: number | undefined
  readonly context?: Uint8Array | undefined
  readonly contextRoom?: number | undefined
  readonly repeat?: number | undefined
  readonly flags?: number | undefined
  readonly cpu?: number | undefined
}

/** What a run left. Sizes are those that the kernel tells: what has more than the room for it is cut. */
export interface TestRunOutcome {
  readonly returnValue: number
  /** In nanoseconds. */
  readonly duration: number
  readonly data: Uint8Array
  readonly dataSize: number
  /** Without room for it, the context that was passed, as the run left it: programs of type `syscall` write there. */
  readonly context: Uint8Array
  readonly contextSize: number
}

/** A signal ends a repeated run between two of its runs. Starting all over would run the program too often. */
const INTERRUPTED = "A signal came before all repetitions were done: some of them have run"

const roomFor = (kernel: KernelService, size: number | undefined) =>
  size === undefined ? Effect.undefined : acquireBlock(kernel, size)

const cut = (block: Block | undefined, length: number): Uint8Array =>
  block === undefined ? new Uint8Array(0) : block.bytes.slice(0, Math.min(length, block.size))

/** BPF_PROG_TEST_RUN. ENOSPC is an outcome where the kernel tells how much room a packet or context needs. */
export const testRunProgram = (
  kernel: KernelService,
  input: TestRun,
  purpose: Purpose
): Effect.Effect<TestRunOutcome, SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const { context, contextRoom, data, dataRoom, repeat } = input
    const dataOut: Block | undefined = yield* roomFor(kernel, dataRoom)
    const contextOut: Block | undefined = yield* roomFor(kernel, contextRoom)
    const contextIn: Block | undefined = yield* roomFor(kernel, context?.length)
    if (context !== undefined) contextIn?.bytes.set(context)
    const { call, read } = yield* prepare(kernel, "BPF_PROG_TEST_RUN", {
      prog_fd: input.program,
      data_in: data && pointTo(data),
      data_size_in: data?.length,
      data_out: dataOut,
      data_size_out: dataRoom,
      ctx_in: contextIn,
      ctx_size_in: context?.length,
      ctx_out: contextOut,
      ctx_size_out: contextRoom,
      repeat,
      flags: input.flags,
      cpu: input.cpu
    })
    const isTold = (): boolean => read("data_size_out") > (dataRoom ?? 0) || read("ctx_size_out") > (contextRoom ?? 0)
    const once = (): number => {
      const result = call()
      return result === -errno.ENOSPC && isTold() ? 0 : result
    }
    const what = callOf("BPF_PROG_TEST_RUN", purpose)
    if (repeat === undefined || repeat === 1) yield* run(kernel, what, once)
    else yield* runOnce(kernel, what, once, INTERRUPTED)
    return {
      returnValue: read("retval"),
      duration: read("duration"),
      data: cut(dataOut, read("data_size_out")),
      dataSize: read("data_size_out"),
      context: contextOut === undefined ? cut(contextIn, context?.length ?? 0) : cut(contextOut, read("ctx_size_out")),
      contextSize: read("ctx_size_out")
    }
  }))

/** BPF_PROG_TEST_RUN prepared, for a program of type `syscall` that is run often: 0 or `-errno`. */
export const acquireRuns = (kernel: KernelService, program: number) =>
  prepare(kernel, "BPF_PROG_TEST_RUN", { prog_fd: program, cpu: 0 })

/** Where a program is attached without a link: it stays until it is detached, or its target is gone. */
export interface AttachTarget {
  /** A descriptor (a cgroup's, a map's), or a device's index. */
  readonly target: number
  /** Of `enum bpf_attach_type`. */
  readonly attachType: number
}

/** BPF_PROG_ATTACH. With `replaced`, the program takes that one's place. */
export const attachProgram = (
  kernel: KernelService,
  attachment: AttachTarget & {
    readonly program: number
    readonly flags?: number | undefined
    readonly replaced?: number | undefined
  },
  purpose: Purpose
): Effect.Effect<void, SystemCallError> =>
  perform(kernel, "BPF_PROG_ATTACH", {
    target_fd: attachment.target,
    attach_bpf_fd: attachment.program,
    attach_type: attachment.attachType,
    ...(attachment.replaced === undefined
      ? { attach_flags: attachment.flags }
      : { attach_flags: (attachment.flags ?? 0) | attachFlags.BPF_F_REPLACE, replace_bpf_fd: attachment.replaced })
  }, purpose)

/** BPF_PROG_DETACH. Without a program, the only one there. */
export const detachProgram = (
  kernel: KernelService,
  attachment: AttachTarget & { readonly program?: number | undefined },
  purpose: Purpose
): Effect.Effect<void, SystemCallError> =>
  perform(kernel, "BPF_PROG_DETACH", {
    target_fd: attachment.target,
    attach_bpf_fd: attachment.program,
    attach_type: attachment.attachType
  }, purpose)

/** The most programs that a cgroup or device has of one attach type (BPF_CGROUP_MAX_PROGS, BPF_MPROG_MAX). */
const MOST_ATTACHED = 64

/** BPF_PROG_QUERY: the ids of the programs attached to a target, in the order in which they run. */
export const queryPrograms = (
  kernel: KernelService,
  place: AttachTarget,
  purpose: Purpose
): Effect.Effect<ReadonlyArray<number>, SystemCallError> =>
  Effect.scoped(Effect.flatMap(acquireBlock(kernel, MOST_ATTACHED * 4), (ids) => {
    const fields = {
      target_fd: place.target,
      attach_type: place.attachType,
      prog_ids: ids,
      prog_cnt: MOST_ATTACHED
    }
    return performAndRead(kernel, "BPF_PROG_QUERY", fields, purpose, ({ read }) => [
      ...ids.u32.subarray(0, read("prog_cnt"))
    ])
  }))

/** BPF_PROG_BIND_MAP: the map lives as long as the program, though no instruction refers to it. Kernel 5.10. */
export const bindMap = (
  kernel: KernelService,
  program: number,
  map: number,
  purpose: Purpose
): Effect.Effect<void, SystemCallError> =>
  perform(kernel, "BPF_PROG_BIND_MAP", { prog_fd: program, map_fd: map, flags: 0 }, purpose)

/** BPF_ENABLE_STATS: while the descriptor is open, the kernel counts runs of programs, and their time. Kernel 5.8. */
export const enableStats = (
  kernel: KernelService,
  type: number
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  acquire(kernel, "BPF_ENABLE_STATS", { type }, { subject: "run statistics of programs" })
