// Opcode fields. They are macros, so BTF does not have them.
// Source: include/uapi/linux/bpf_common.h, include/uapi/linux/bpf.h; described in RFC 9669.

/** Instruction classes: the low 3 bits of the opcode. */
export const classes = {
  BPF_LD: 0x00,
  BPF_LDX: 0x01,
  BPF_ST: 0x02,
  BPF_STX: 0x03,
  BPF_ALU: 0x04,
  BPF_JMP: 0x05,
  BPF_JMP32: 0x06,
  BPF_ALU64: 0x07
} as const

/** Sizes of loads and stores: bits 3 and 4. */
export const sizes = { BPF_W: 0x00, BPF_H: 0x08, BPF_B: 0x10, BPF_DW: 0x18 } as const

/** Modes of loads and stores: the high 3 bits. */
export const modes = {
  BPF_IMM: 0x00,
  BPF_ABS: 0x20,
  BPF_IND: 0x40,
  BPF_MEM: 0x60,
  BPF_MEMSX: 0x80,
  BPF_ATOMIC: 0xc0
} as const

/** Where the second operand comes from: bit 3. */
export const sources = { BPF_K: 0x00, BPF_X: 0x08 } as const

/** Arithmetic: the high 4 bits of ALU and ALU64. */
export const alu = {
  BPF_ADD: 0x00,
  BPF_SUB: 0x10,
  BPF_MUL: 0x20,
  BPF_DIV: 0x30,
  BPF_OR: 0x40,
  BPF_AND: 0x50,
  BPF_LSH: 0x60,
  BPF_RSH: 0x70,
  BPF_NEG: 0x80,
  BPF_MOD: 0x90,
  BPF_XOR: 0xa0,
  BPF_MOV: 0xb0,
  BPF_ARSH: 0xc0,
  BPF_END: 0xd0
} as const

/** Jumps: the high 4 bits of JMP and JMP32. */
export const jumps = {
  BPF_JA: 0x00,
  BPF_JEQ: 0x10,
  BPF_JGT: 0x20,
  BPF_JGE: 0x30,
  BPF_JSET: 0x40,
  BPF_JNE: 0x50,
  BPF_JSGT: 0x60,
  BPF_JSGE: 0x70,
  BPF_CALL: 0x80,
  BPF_EXIT: 0x90,
  BPF_JLT: 0xa0,
  BPF_JLE: 0xb0,
  BPF_JSLT: 0xc0,
  BPF_JSLE: 0xd0
} as const

/** What the source register field means in a wide load (`BPF_LD | BPF_IMM | BPF_DW`). */
export const pseudo = {
  BPF_PSEUDO_MAP_FD: 1,
  BPF_PSEUDO_MAP_VALUE: 2,
  BPF_PSEUDO_BTF_ID: 3,
  BPF_PSEUDO_FUNC: 4
} as const

/** `BPF_LD | BPF_IMM | BPF_DW`: the one instruction that takes two slots. */
export const WIDE_LOAD = 0x18
