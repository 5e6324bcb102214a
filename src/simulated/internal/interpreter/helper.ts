/** A helper that is called with the argument registers that it has parameters for, and gives `r0`. */
export type Helper = (a1: bigint, a2: bigint, a3: bigint, a4: bigint, a5: bigint) => bigint
