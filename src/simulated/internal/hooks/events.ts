// The events that a test can let happen, and what the hooks answer to them.
import type { bpf_attach_type } from "../../../abi/generated/enums.ts"
import type { ptRegsX64 } from "../../../abi/registers.ts"
import type { Redirect } from "../packets.ts"
import type { Task } from "../tasks.ts"

/** The registers of a probed function, by their names in `struct pt_regs` of x86-64. Others are 0. */
export type Registers = { readonly [K in (typeof ptRegsX64)[number]]?: bigint }

interface Common {
  /** Whose event it is; what is not given is as in `defaultTask`. */
  readonly task?: Partial<Task>
  /**
   * The one program to run, whatever is attached; needed for the kinds that have no hook here: probes and socket
   * filters.
   */
  readonly program?: { readonly fd: number }
  /** What the program given was attached with, for bpf_get_attach_cookie. */
  readonly cookie?: bigint
}

/** What happens at a hook. */
export type Event =
  & Common
  & (
    /** A raw tracepoint by its name without category, with its arguments. */
    | { readonly hook: "raw_tracepoint"; readonly name: string; readonly arguments: ReadonlyArray<bigint> }
    /** A kprobe, kretprobe, uprobe, uretprobe or perf event: the registers at that place. */
    | { readonly hook: "probe"; readonly registers: Registers; readonly address?: bigint }
    /** A function of the kernel that is entered or, with `returned`, left. */
    | {
      readonly hook: "fentry" | "fexit" | "lsm"
      readonly function: string
      readonly arguments: ReadonlyArray<bigint>
      readonly returned?: bigint
    }
    /** A packet at a device. */
    | { readonly hook: "xdp" | "tcx_ingress" | "tcx_egress"; readonly device: string; readonly packet: Uint8Array }
    /** A packet at a socket, from its network header on. */
    | { readonly hook: "socket_filter"; readonly packet: Uint8Array }
    /** A packet that enters or leaves a cgroup, from its network header on. */
    | {
      readonly hook: "cgroup_packet"
      readonly direction: "ingress" | "egress"
      readonly cgroup: string
      readonly packet: Uint8Array
    }
    /**
     * Something that a process in a cgroup does: the attach type's name tells what, and `context` holds the bytes of its
     * struct (`bpf_sock`, `bpf_sock_addr`, `bpf_cgroup_dev_ctx`, `bpf_sysctl`, `bpf_sockopt`), which programs may change.
     */
    | {
      readonly hook: "cgroup"
      readonly operation: CgroupOperation
      readonly cgroup: string
      readonly context: Uint8Array
      readonly sysctl?: { readonly name: string; readonly current: string; readonly next?: string }
      /** For get- and setsockopt: what the process passes, or the kernel is about to give. */
      readonly option?: Uint8Array
    }
  )

/** The attach types of cgroups, without their prefix. */
export type CgroupOperation = keyof typeof bpf_attach_type extends infer K
  ? K extends `BPF_CGROUP_${infer Name}` ? Name : never
  : never

/** What came of an event. */
export interface Fired {
  /** How many programs ran. */
  readonly programs: number
  /** What each returned, in the order that they ran. */
  readonly returned: ReadonlyArray<number>
  /**
   * What the hook answers: the action of a packet at a device; 1 if a cgroup lets it pass and 0 if not; the bytes that a
   * socket filter keeps; 0 or -errno of an LSM hook; for others, what the last program returned.
   */
  readonly verdict: number
  /** The packet after the programs. */
  readonly packet: Uint8Array | undefined
  readonly redirects: ReadonlyArray<Redirect>
  readonly clones: ReadonlyArray<{ readonly ifindex: number; readonly data: Uint8Array }>
  /** The context's bytes after the programs, where they may change it. */
  readonly context: Uint8Array | undefined
  /** What bpf_override_return made the function return. */
  readonly override: bigint | undefined
  /** What bpf_set_retval left; 0 or -errno. */
  readonly retval: number
  /** What bpf_sysctl_set_new_value left. */
  readonly sysctl: string | undefined
  /** The option's bytes after get- or setsockopt. */
  readonly option: Uint8Array | undefined
}
