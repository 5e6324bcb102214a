/**
 * A program as a value: its type, name, licence and instructions, and what it is going to be attached to where the kernel
 * must know that when it verifies the program.
 *
 * @example
 * ```ts
 * import { Asm, ProgramSpec } from "effect-ebpf"
 *
 * // Runs whenever a file is opened, and lets it be.
 * const onOpen = ProgramSpec.make({
 *   type: "lsm",
 *   name: "on_open",
 *   attachTo: "file_open",
 *   flags: ["sleepable"],
 *   instructions: [Asm.mov("r0", 0), Asm.exit()]
 * })
 * console.log(onOpen.license) // "GPL"
 * ```
 */
import type { AttachType, ProgramType } from "../abi/names.ts"
import type { Item } from "../isa/Asm.ts"
import {
  aList,
  aName,
  anInteger,
  anObject,
  aText,
  type Check,
  type Checks,
  listOf,
  ofKind,
  readOptions,
  required,
  someBytes
} from "../kernel/options.ts"
import {
  type AttachTypeOf,
  attachTypeOf,
  type DefaultAttachType,
  type NeedsAttachType,
  type NeedsTarget,
  of as kindOf,
  type Sleepable
} from "./ProgramKind.ts"

export type { AttachType } from "../abi/names.ts"

/** The flags of `BPF_PROG_LOAD` by name. Source: include/uapi/linux/bpf.h; they are macros, so BTF does not have them. */
export const flags = {
  /** BPF_F_STRICT_ALIGNMENT: accesses must be aligned, on any processor. */
  strict_alignment: 1 << 0,
  /** BPF_F_ANY_ALIGNMENT */
  any_alignment: 1 << 1,
  /** BPF_F_TEST_RND_HI32, for tests of the verifier. */
  test_rnd_hi32: 1 << 2,
  /** BPF_F_TEST_STATE_FREQ, for tests of the verifier. */
  test_state_freq: 1 << 3,
  /** BPF_F_SLEEPABLE: the program may sleep, and call helpers that do; kernel 5.10. */
  sleepable: 1 << 4,
  /** BPF_F_XDP_HAS_FRAGS: packets may come in several pieces; kernel 5.18. */
  xdp_has_frags: 1 << 5,
  /** BPF_F_XDP_DEV_BOUND_ONLY: for one device only, and its metadata functions; kernel 6.3. */
  xdp_dev_bound_only: 1 << 6,
  /** BPF_F_TEST_REG_INVARIANTS, for tests of the verifier; kernel 6.8. */
  test_reg_invariants: 1 << 7
} as const

/** A flag of `BPF_PROG_LOAD`. */
export type Flag = keyof typeof flags

/** The flags that programs of a type and attach type can be loaded with. */
export type FlagOf<T extends ProgramType, A extends AttachType | undefined = AttachTypeOf<T>> =
  | Exclude<Flag, "sleepable" | "xdp_has_frags" | "xdp_dev_bound_only">
  | (Sleepable<T, A> extends never ? never : "sleepable")
  | ("xdp" extends T ? "xdp_has_frags" | "xdp_dev_bound_only" : never)

/**
 * Debug information that came with instructions, in the form that `BPF_PROG_LOAD` takes: BTF, and records that refer to it
 * and to slots of this program. They begin as `struct bpf_func_info` and `struct bpf_line_info` do.
 */
export interface DebugInfo {
  readonly btf: Uint8Array
  readonly functions: Uint8Array
  /** The size in bytes of one record; 8 unless given. */
  readonly functionRecordSize?: number
  /** Empty where no line is known. */
  readonly lines: Uint8Array
  /** The size in bytes of one record; 16 unless given. */
  readonly lineRecordSize?: number
}

/**
 * The description of one program: of a type, made for an attach type of those that the type has. `make` takes what makes
 * sense together; a spec that came about otherwise is checked when it is loaded.
 */
export interface ProgramSpec<
  out T extends ProgramType = ProgramType,
  out A extends AttachType | undefined = AttachTypeOf<T>
> {
  readonly type: T
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool prog`. */
  readonly name: string
  /** Helpers marked GPL-only need `"GPL"` or a licence compatible with it. */
  readonly license: string
  /** Labels are resolved, and maps filled in, when the program is loaded. */
  readonly instructions: ReadonlyArray<Item>
  readonly flags: ReadonlyArray<Flag>
  /** How it will be attached: `"cgroup_inet4_connect"`; `undefined` for types without attach types. */
  readonly expectedAttachType: A
  /**
   * What in the kernel it will be attached to, by name. For `tracing` a function, a raw tracepoint (`trace_raw_tp`) or an
   * iterator (`trace_iter`); for `lsm` a hook such as `"file_open"`; for `struct_ops` a member, `"tcp_congestion_ops.init"`.
   */
  readonly attachTo: string | undefined
  /** Debug information that came with it. Without, the program carries the lines of TypeScript that made it. */
  readonly debugInfo?: DebugInfo | undefined
  /** The name of the section of the object that it came from, which may say where to attach it (`ProgramKind.ofSection`). */
  readonly section?: string | undefined
}

/** What must be said of programs of a type and attach type, and what has no meaning for them. */
type Needs<T extends ProgramType, A> =
  & (T extends NeedsAttachType ? { readonly expectedAttachType: A } : unknown)
  & (T extends NeedsTarget ? { readonly attachTo: string } : { readonly attachTo?: undefined })

/** What a program is made from. */
export type Options<T extends ProgramType, A extends AttachType | undefined> =
  & {
    readonly type: T
    readonly name: string
    readonly license?: string | undefined
    readonly instructions: ReadonlyArray<Item>
    readonly flags?: ReadonlyArray<FlagOf<NoInfer<T>, NoInfer<A>>> | undefined
    readonly expectedAttachType?: A
    readonly debugInfo?: DebugInfo | undefined
    readonly section?: string | undefined
  }
  & Needs<NoInfer<T>, NoInfer<A>>

/** MAX_FUNCINFO_REC_SIZE and MAX_LINEINFO_REC_SIZE in kernel/bpf/verifier.c. */
const MOST_RECORD = 252

const debugInfoChecks: Checks<DebugInfo> = {
  btf: required(someBytes),
  functions: required(someBytes),
  functionRecordSize: anInteger(8, MOST_RECORD),
  lines: required(someBytes),
  lineRecordSize: anInteger(16, MOST_RECORD)
}

/** A C string: a NUL inside would cut it short. */
const aCString: Check = {
  expected: "a string without NUL",
  accepts: (value) => typeof value === "string" && !value.includes("\0")
}

/**
 * What there is to say of any program, by its kind. Names that are none, and what makes no sense together for its type, are
 * found when it is loaded.
 */
const checks: Checks<ProgramSpec> = {
  type: required({ ...aText, expected: "the name of a type of program, such as xdp" }),
  name: required(ofKind("string", aName)),
  license: aCString,
  instructions: required({ ...aList, expected: "an array of items, as Asm makes them" }),
  flags: listOf(aText, "flags"),
  expectedAttachType: aText,
  attachTo: aText,
  debugInfo: anObject,
  section: aText
}

/** @internal A spec, whoever made it, as it was when it was read, with the defaults of `make`. Throws `InvalidArgument`. */
export const read = (given: ProgramSpec): ProgramSpec => {
  const spec = readOptions("spec of a program", given, checks)
  const { debugInfo, license = "GPL", flags: said = [] } = spec
  return {
    ...spec,
    license,
    flags: [...said],
    expectedAttachType: spec.expectedAttachType,
    attachTo: spec.attachTo,
    debugInfo: debugInfo === undefined ? undefined : readOptions("debugInfo", debugInfo, debugInfoChecks)
  }
}

/**
 * A program of a type. `license` is `"GPL"` unless given, as the tracing helpers require. A `tracing` program is for
 * `"trace_fentry"`, an `lsm` one for `"lsm_mac"` and an `xdp` one for `"xdp"` unless `expectedAttachType` says otherwise;
 * a `syscall` program is always `sleepable`. What makes no sense for the type does not type-check.
 *
 * Throws `InvalidArgument` for an option that is none, is missing, or is not of the kind that the types say.
 */
export const make = <const T extends ProgramType, const A extends AttachTypeOf<T> = DefaultAttachType<T>>(
  options: Options<T, A>
): ProgramSpec<T, A> => {
  const { debugInfo, flags: said, section, ...spec } = read(options as unknown as ProgramSpec)
  const always = kindOf(spec.type)?.sleepable === "always" && !said.includes("sleepable")
  return {
    ...spec,
    flags: always ? ["sleepable", ...said] : said,
    expectedAttachType: attachTypeOf(spec.type, spec.expectedAttachType),
    ...(debugInfo === undefined ? {} : { debugInfo }),
    ...(section === undefined ? {} : { section })
  } as ProgramSpec as unknown as ProgramSpec<T, A>
}

/**
 * As `make`, where the type is known only when the program runs, as for one read from an object: what does not make sense
 * together is found when it is loaded. Throws as `make` does.
 */
export const makeDynamic = <const T extends ProgramType>(options: {
  readonly type: T
  readonly name: string
  readonly license?: string | undefined
  readonly instructions: ReadonlyArray<Item>
  readonly flags?: ReadonlyArray<Flag> | undefined
  readonly expectedAttachType?: AttachType | undefined
  readonly attachTo?: string | undefined
  readonly debugInfo?: DebugInfo | undefined
  readonly section?: string | undefined
}): ProgramSpec<T> => make(options as never)
