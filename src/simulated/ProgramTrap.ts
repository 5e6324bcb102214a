import * as Data from "effect/Data"

/**
 * A program did in the simulated kernel what a real kernel's verifier would not have let it do: touched memory that is
 * not its own, passed a helper what it does not take, or ran without end. `instruction` is the slot.
 */
export class ProgramTrap extends Data.TaggedError("ProgramTrap")<{
  readonly program: string
  readonly instruction: number
  readonly reason: string
}> {
  override get message(): string {
    return `program "${this.program}" trapped at instruction ${this.instruction}: ${this.reason}`
  }
}
