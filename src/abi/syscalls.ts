// System call numbers. They are macros, so BTF does not have them.
// Source: arch/x86/entry/syscalls/syscall_64.tbl, and include/uapi/asm-generic/unistd.h for arm64.

/** The architectures whose system call numbers and structure layouts are known here, by Node's names. */
export type Architecture = "x64" | "arm64"

export const syscalls = {
  x64: { bpf: 321, perf_event_open: 298, fsopen: 430, fsconfig: 431, fsmount: 432, pidfd_open: 434 },
  arm64: { bpf: 280, perf_event_open: 241, fsopen: 430, fsconfig: 431, fsmount: 432, pidfd_open: 434 }
} as const satisfies Record<Architecture, Record<string, number>>
