/** A program as a value: its type, name, licence and instructions, before any kernel is asked. */
import type { ProgramType } from "../abi/names.ts"
import type { Item } from "../isa/Asm.ts"

/** The description of one program. */
export interface ProgramSpec<T extends ProgramType = ProgramType> {
  readonly type: T
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool prog`. */
  readonly name: string
  /** Helpers marked GPL-only need `"GPL"` or a licence compatible with it. */
  readonly license: string
  /** Labels are resolved, and maps filled in by name, when the program is loaded. */
  readonly instructions: ReadonlyArray<Item>
}

/** A program of a type. `license` is `"GPL"` unless given, as the tracing helpers require. */
export const make = <const T extends ProgramType>(options: {
  readonly type: T
  readonly name: string
  readonly license?: string
  readonly instructions: ReadonlyArray<Item>
}): ProgramSpec<T> => ({
  type: options.type,
  name: options.name,
  license: options.license ?? "GPL",
  instructions: options.instructions
})
