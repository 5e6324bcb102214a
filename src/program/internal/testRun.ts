// Test runs: what each type of program is given, and how much room its results need.
import * as Effect from "effect/Effect"
import { errno } from "../../abi/errno.ts"
import type { ProgramType } from "../../abi/names.ts"
import { type TestRunOutcome, testRunProgram } from "../../bpf/programs.ts"
import { anInteger, type Checks, readOptions, someBytes } from "../../kernel/options.ts"
import { INT_MAX } from "../../kernel/validate.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { of as kindOf, type TestInput } from "../../spec/ProgramKind.ts"

/** More CPUs than any kernel is built for (NR_CPUS is 8192 at most). */
const MOST_CPUS = 1 << 16

/** What a program is run on. */
export interface TestRunInput {
  /**
   * The packet, for programs that see one, from its Ethernet header on: at least 14 bytes. On kernels from 6.17 on, those
   * that see an `__sk_buff` want a whole IP header too, where the Ethernet type is IPv4 (34 bytes) or IPv6 (54).
   *
   * At most what a page (4096 bytes) holds beside the kernel's own data: 3,712 bytes for `__sk_buff`, 4,096 for flow
   * dissectors and 3,520 for `xdp`. Since 5.18 XDP packets may have 17 pages more, 73,152 bytes, in pieces.
   */
  readonly data?: Uint8Array
  /**
   * The context, for programs that can be given one: an `__sk_buff`, of which `mark`, `priority`, `ingress_ifindex`,
   * `ifindex`, `cb`, `tstamp`, `wire_len`, `gso_segs`, `gso_size` and `hwtstamp` may be set; an `xdp_md` (since 5.15),
   * whose `data` is the length of the metadata that the packet begins with, and `data_end` the length of all; a
   * `bpf_sk_lookup`; up to 12 arguments of 8 bytes for a raw tracepoint; any bytes, up to 65,535, for `syscall`.
   */
  readonly context?: Uint8Array
  /** How often to run it in this one call, from 1 to 2^31 - 1; not for raw tracepoints and `syscall`. */
  readonly repeat?: number
  /** The CPU to run it on, for raw tracepoints. */
  readonly cpu?: number
}

const inputChecks: Checks<TestRunInput> = {
  data: someBytes,
  context: someBytes,
  repeat: anInteger(1, INT_MAX),
  cpu: anInteger(0, MOST_CPUS - 1)
}

/** What a run is given, read once. Throws `InvalidArgument`. */
export const readTestInput = (input: TestRunInput | undefined): TestRunInput =>
  readOptions("input of a test run", input, inputChecks)

/** What a run gave. */
export interface TestRunResult {
  /** What the program returned, as an unsigned 32-bit number. */
  readonly returnValue: number
  /** The mean duration of a run in nanoseconds, as the kernel measured it; 0 for types that it does not measure. */
  readonly duration: number
  /** The packet after the last run; for flow dissectors the `bpf_flow_keys` that they filled in. */
  readonly data: Uint8Array
  /** The context after the last run, where one was given. Empty for raw tracepoints. */
  readonly context: Uint8Array
}

/** What a kind of input is made of. */
interface Rule {
  /** Whether there is a packet. */
  readonly data: boolean
  readonly context: "optional" | "required"
  /** Where the context comes back: in room of its own, in the place of what was given, or not at all. */
  readonly contextOut: "room" | "in place" | "none"
  readonly repeats: boolean
  readonly cpu?: true
  /** What sizes the kernel takes, for who got EINVAL. */
  readonly limits: string
}

const packet = { data: true, context: "optional", contextOut: "room", repeats: true } as const
const withoutPacket = { data: false, context: "optional", repeats: false } as const

const rules: { readonly [I in TestInput]: Rule } = {
  skb: {
    ...packet,
    limits: "A packet has 14 to some 3712 bytes here, with a whole IP header where its Ethernet type says so " +
      "(34 bytes for IPv4, 54 for IPv6); of an __sk_buff only some fields may be set"
  },
  xdp: {
    ...packet,
    limits:
      "A packet has 14 to 3520 bytes, since Linux 5.18 to 73152; an xdp_md says in `data` how long the metadata is, " +
      "in `data_end` how long all is, and 0 in `data_meta`"
  },
  flow_dissector: { ...packet, limits: "A packet has 14 to 4096 bytes; of bpf_flow_keys only `flags` may be set" },
  netfilter: { ...packet, contextOut: "none", limits: "A packet has 14 bytes or more, and an IP header after them" },
  sk_lookup: {
    ...withoutPacket,
    context: "required",
    contextOut: "room",
    repeats: true,
    limits: "A bpf_sk_lookup has the family AF_INET (2) or AF_INET6 (10), and no cookie"
  },
  arguments: {
    ...withoutPacket,
    contextOut: "none",
    cpu: true,
    limits: "A raw tracepoint has up to 12 arguments of 8 bytes, and at least those that the program reads"
  },
  bytes: {
    ...withoutPacket,
    contextOut: "in place",
    limits: "A context has up to 65535 bytes, and all that the program reads"
  }
}

/** More than helpers let a packet grow (BPF_SKB_MAX_LEN: four pages): so the program need not be run again for want of room. */
const GROWTH = 1 << 14
/** More than any of the contexts has. */
const CONTEXT_ROOM = 512

const unwanted = (field: string, type: ProgramType): InvalidArgument =>
  new InvalidArgument({ field, expected: `none for a ${type} program`, actual: "one" })

const missing = (field: string, type: ProgramType): InvalidArgument =>
  new InvalidArgument({ field, expected: `one for a ${type} program`, actual: "none" })

const check = (
  type: ProgramType,
  rule: Rule,
  { context, cpu, data, repeat }: TestRunInput
): InvalidArgument | undefined => {
  if (rule.data !== (data !== undefined)) return rule.data ? missing("data", type) : unwanted("data", type)
  if (rule.context === "required" && context === undefined) return missing("context", type)
  if (!rule.repeats && repeat !== undefined && repeat !== 1) return unwanted("repeat", type)
  if (cpu !== undefined && rule.cpu === undefined) return unwanted("cpu", type)
  return undefined
}

/** BPF_F_TEST_RUN_ON_CPU. Source: include/uapi/linux/bpf.h */
const RUN_ON_CPU = 1

export const runTest = (
  kernel: KernelService,
  program: { readonly fd: number; readonly name: string; readonly type: ProgramType },
  input: TestRunInput
): Effect.Effect<TestRunResult, InvalidArgument | SystemCallError> =>
  Effect.suspend((): Effect.Effect<TestRunResult, InvalidArgument | SystemCallError> => {
    const kind = kindOf(program.type)?.testRun
    // Types that have no test runs are the kernel's to refuse: a later one may have them.
    const rule = kind === undefined ? undefined : rules[kind.input]
    const invalid = rule === undefined ? undefined : check(program.type, rule, input)
    if (invalid !== undefined) return Effect.fail(invalid)
    const { context, cpu, data, repeat } = input
    const returnsContext = rule?.contextOut === "room" && context !== undefined
    const run = (dataRoom: number | undefined, contextRoom: number | undefined) =>
      testRunProgram(
        kernel,
        {
          program: program.fd,
          data,
          dataRoom,
          context,
          contextRoom,
          // The kernel wants none of a type that it does not repeat.
          repeat: rule?.repeats === false ? undefined : repeat,
          ...(cpu === undefined ? {} : { cpu, flags: RUN_ON_CPU })
        },
        { subject: `${program.type} program "${program.name}"` }
      )
    const room = data === undefined || program.type === "netfilter" ? undefined : data.length + GROWTH
    const contextRoom = returnsContext ? CONTEXT_ROOM : undefined
    const isCut = (outcome: TestRunOutcome): boolean =>
      outcome.dataSize > (room ?? 0) || outcome.contextSize > (contextRoom ?? 0)
    return run(room, contextRoom).pipe(
      Effect.flatMap((outcome) =>
        isCut(outcome)
          ? run(room && Math.max(room, outcome.dataSize), contextRoom && Math.max(contextRoom, outcome.contextSize))
          : Effect.succeed(outcome)
      ),
      Effect.map(({ context: left, data, duration, returnValue }) => ({
        returnValue,
        duration,
        data,
        context: returnsContext || rule?.contextOut === "in place" ? left : new Uint8Array(0)
      })),
      Effect.mapError((error) =>
        rule !== undefined && error.hint === undefined && (error.errno === errno.EINVAL || error.errno === errno.ENOMEM)
          ? new SystemCallError({ ...error, hint: rule.limits })
          : error
      )
    )
  })
