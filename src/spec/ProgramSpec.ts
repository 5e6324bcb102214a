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

/** The description of one program. */
export interface ProgramSpec<T extends ProgramType = ProgramType> {
  readonly type: T
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool prog`. */
  readonly name: string
  /** Helpers marked GPL-only need `"GPL"` or a licence compatible with it. */
  readonly license: string
  /** Labels are resolved, and maps filled in, when the program is loaded. */
  readonly instructions: ReadonlyArray<Item>
  readonly flags?: ReadonlyArray<Flag> | undefined
  /** How it will be attached, for types where the kernel asks at load: `"cgroup_inet4_connect"`. */
  readonly expectedAttachType?: AttachType | undefined
  /**
   * What in the kernel it will be attached to, by name. For `tracing` a function, a raw tracepoint (`trace_raw_tp`) or an
   * iterator (`trace_iter`); for `lsm` a hook such as `"file_open"`; for `struct_ops` a member, `"tcp_congestion_ops.init"`.
   */
  readonly attachTo?: string | undefined
}

/**
 * A program of a type. `license` is `"GPL"` unless given, as the tracing helpers require. With `attachTo`, a `tracing`
 * program is for `"trace_fentry"` and an `lsm` one for `"lsm_mac"` unless `expectedAttachType` says otherwise.
 */
export const make = <const T extends ProgramType>(options: {
  readonly type: T
  readonly name: string
  readonly license?: string
  readonly instructions: ReadonlyArray<Item>
  readonly flags?: ReadonlyArray<Flag>
  readonly expectedAttachType?: AttachType
  readonly attachTo?: string
}): ProgramSpec<T> => ({
  type: options.type,
  name: options.name,
  license: options.license ?? "GPL",
  instructions: options.instructions,
  ...(options.flags === undefined ? {} : { flags: options.flags }),
  ...(options.expectedAttachType === undefined ? {} : { expectedAttachType: options.expectedAttachType }),
  ...(options.attachTo === undefined ? {} : { attachTo: options.attachTo })
})
