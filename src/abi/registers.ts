// Registers as programs see them. BTF has the kernel's own struct of them, whose members differ by version.

/** `struct pt_regs` of x86-64, 8 bytes each, in the order in which they lie. Source: arch/x86/include/uapi/asm/ptrace.h */
export const ptRegsX64 = [
  "r15",
  "r14",
  "r13",
  "r12",
  "bp",
  "bx",
  "r11",
  "r10",
  "r9",
  "r8",
  "ax",
  "cx",
  "dx",
  "si",
  "di",
  "orig_ax",
  "ip",
  "cs",
  "flags",
  "sp",
  "ss"
] as const
