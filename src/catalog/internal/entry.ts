// What a catalog program is made of, before it has its name.
import * as Effect from "effect/Effect"
import type { ProgramType } from "../../abi/names.ts"
import type * as Asm from "../../isa/Asm.ts"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import type { LayoutError } from "../../layout/Layout.ts"
import type { BpfMap, Definition } from "../../map/BpfMap.ts"
import type { Program } from "../../program/Program.ts"
import type { ProgramSpec } from "../../spec/ProgramSpec.ts"

/** Maps by name; the names are those that the programs know them by. */
export interface Maps {
  readonly [name: string]: Definition<BpfMap>
}

/** Further programs by name. */
export interface Programs {
  readonly [name: string]: ProgramSpec
}

/** The handle that a definition makes. */
export type MapOf<D> = D extends Definition<infer M> ? M : never

/** The program that a spec makes. */
export type ProgramOf<S> = S extends ProgramSpec<infer T> ? Program<T> : never

/** A program of the catalog in the kernel, with its maps. */
export interface Loaded<T extends ProgramType, M, C> {
  readonly program: Program<T>
  /** The programs that work together with it. */
  readonly companions: { readonly [K in keyof C]: ProgramOf<C[K]> }
  readonly maps: { readonly [K in keyof M]: MapOf<M[K]> }
}

/** What filling the maps of a new program can fail with. */
export type StartError = InvalidArgument | LayoutError | SystemCallError

/** A program of the catalog as a value. */
export interface Recipe<T extends ProgramType, M extends Maps, C extends Programs> {
  /** What it does, in a sentence or two. */
  readonly description: string
  /** The first kernel that takes it. */
  readonly since: readonly [major: number, minor: number]
  readonly program: ProgramSpec<T>
  /** Programs that work together with it: the targets of its tail calls, or the other ends of what it watches. */
  readonly companions: C
  readonly maps: M
  /**
   * Puts into the maps what must be there before the program is handed out. A method, so that any entry is an `Entry` of
   * no type in particular too.
   */
  start(loaded: Loaded<T, M, C>): Effect.Effect<void, StartError>
}

/** A recipe, with nothing in the places that most programs leave empty. */
export const recipe = <T extends ProgramType, const M extends Maps = {}, const C extends Programs = {}>(parts: {
  readonly description: string
  readonly since: readonly [major: number, minor: number]
  readonly program: ProgramSpec<T>
  readonly companions?: C
  readonly maps?: M
  readonly start?: (loaded: Loaded<T, M, C>) => Effect.Effect<void, StartError>
}): Recipe<T, M, C> => ({
  description: parts.description,
  since: parts.since,
  program: parts.program,
  companions: parts.companions ?? ({} as C),
  maps: parts.maps ?? ({} as M),
  start: parts.start ?? (() => Effect.void)
})

/** A recipe that has options, all numbers, by their names: `Catalog` holds what it is given to them. */
export const configured = <F extends (options: any) => object>(
  options: ReadonlyArray<keyof NonNullable<Parameters<F>[0]> & string>,
  make: F
): F & { readonly options: ReadonlyArray<string> } => Object.assign(make, { options })

/**
 * Nothing for an integer in its limits, and else a mistake that `Asm.assemble` reports: a program with a wrong option is
 * never loaded.
 */
export const checked = (name: string, value: number, least: number, most: number): Asm.Item =>
  Number.isInteger(value) && value >= least && value <= most
    ? []
    : {
      _tag: "Mistake",
      expected: `${name}: an integer from ${least} to ${most}`,
      actual: String(value),
      source: undefined
    }
