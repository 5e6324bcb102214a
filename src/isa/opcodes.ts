// Opcode fields, and the numbers that stand in other fields to tell operations apart. They are macros, so BTF does not
// have them. Source: include/uapi/linux/bpf_common.h, include/uapi/linux/bpf.h; described in RFC 9669.

/** The parts of an opcode, as masks. */
export const fields = {
  CLASS: 0x07,
  /** Of arithmetic and jumps: where the second operand comes from, and what is done. */
  SOURCE: 0x08,
  OPERATION: 0xf0,
  /** Of loads and stores. */
  SIZE: 0x18,
  MODE: 0xe0
} as const

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

/** Where the second operand comes from: bit 3. In a byte swap of class ALU it tells the byte order. */
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
  BPF_JSLE: 0xd0,
  /** A jump that the kernel decides on; kernel 6.9. */
  BPF_JCOND: 0xe0
} as const

/** The source register field of `BPF_JMP | BPF_JCOND`. */
export const conditions = { BPF_MAY_GOTO: 0 } as const

/** The immediate of `BPF_STX | BPF_ATOMIC`. With BPF_FETCH the old value comes back in the source register. */
export const atomics = {
  BPF_ADD: 0x00,
  BPF_OR: 0x40,
  BPF_AND: 0x50,
  BPF_XOR: 0xa0,
  BPF_FETCH: 0x01,
  BPF_XCHG: 0xe1,
  BPF_CMPXCHG: 0xf1,
  BPF_LOAD_ACQ: 0x100,
  BPF_STORE_REL: 0x110
} as const

/** The offset of `BPF_DIV` and `BPF_MOD` that makes them signed; kernel 6.6. */
export const SIGNED = 1

/** The offset of a register `BPF_MOV` of class ALU64 that casts between address spaces, for arenas; kernel 6.9. */
export const BPF_ADDR_SPACE_CAST = 1

/** The offset of a register `BPF_MOV` of class ALU64 that the kernel puts where a program asks for an address of this CPU. */
export const PER_CPU_ADDRESS = -1

/** `BPF_ST | BPF_NOSPEC`: the barrier that the kernel puts where a CPU must not run ahead. No program may have it. */
export const SPECULATION_BARRIER = 0xc0

/** What the source register field means in a wide load (`BPF_LD | BPF_IMM | BPF_DW`). */
export const pseudo = {
  BPF_PSEUDO_MAP_FD: 1,
  BPF_PSEUDO_MAP_VALUE: 2,
  BPF_PSEUDO_BTF_ID: 3,
  BPF_PSEUDO_FUNC: 4,
  BPF_PSEUDO_MAP_IDX: 5,
  BPF_PSEUDO_MAP_IDX_VALUE: 6
} as const

/** What the source register field means in a call; 0 is a helper. */
export const calls = { BPF_PSEUDO_CALL: 1, BPF_PSEUDO_KFUNC_CALL: 2 } as const

/** `BPF_LD | BPF_IMM | BPF_DW`: the one instruction that takes two slots. */
export const WIDE_LOAD = 0x18
/** `BPF_JMP32 | BPF_JA`: the long jump, whose distance is in the immediate; kernel 6.6. */
export const LONG_JUMP = 0x06
/** `BPF_JMP | BPF_JA` */
export const JUMP = 0x05
/** `BPF_JMP | BPF_JA | BPF_X`: the jump to an address in a register; kernel 6.19. */
export const INDIRECT_JUMP = 0x0d
/** `BPF_JMP | BPF_CALL` */
export const CALL = 0x85
/** `BPF_JMP | BPF_CALL | BPF_X`: the call of an address in a register, which Linux has not. */
export const INDIRECT_CALL = 0x8d
/** `BPF_JMP | BPF_EXIT` */
export const EXIT = 0x95
/** `BPF_JMP | BPF_JCOND` */
export const CONDITIONAL_JUMP = 0xe5
