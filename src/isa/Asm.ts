/**
 * An assembler in TypeScript: one function for each BPF operation. A program is an array of what they give back;
 * arrays nest, so a function may give back a piece of a program.
 *
 * Arithmetic and jumps take a register (`"r1"`) or an immediate (`1`) as their second operand. Jumps name labels, calls
 * name functions, and maps are named or given. Where a number depends on the kernel that the program will run on, the
 * `core…` functions stand for it. Nothing is checked until `assemble`, which reports a wrong operand with the file and
 * line of the call that made it.
 *
 * Operations that not every supported kernel has say since when: an older one rejects the program when it is loaded.
 *
 * @example
 * ```ts
 * import { Asm } from "effect-ebpf"
 *
 * // return ctx == NULL ? 0 : 1
 * const body = [
 *   Asm.mov("r0", 0),
 *   Asm.jeq("r1", 0, "out"),
 *   Asm.mov("r0", 1),
 *   Asm.label("out"),
 *   Asm.exit()
 * ]
 * console.log(Asm.assemble(body))
 *
 * // Two functions: return double(21)
 * const calling = [
 *   Asm.mov("r1", 21),
 *   Asm.callLocal("double"),
 *   Asm.exit(),
 *   Asm.func("double", [Asm.mov("r0", "r1"), Asm.add("r0", "r1"), Asm.exit()])
 * ]
 * console.log(Asm.assemble(calling))
 * ```
 */
export * from "./internal/arithmetic.ts"
export { assemble, type Assembled, type AssembledFunction, type Unresolved } from "./internal/assemble.ts"
export * from "./internal/atomics.ts"
export * from "./internal/control.ts"
export * from "./internal/core.ts"
export { AsmError } from "./internal/error.ts"
export type { FunctionItem, Item, Label, LabelScope, Mistake } from "./internal/item.ts"
export * from "./internal/memory.ts"
export type { Immediate, Register } from "./internal/operand.ts"
