/**
 * An array of programs (`BPF_MAP_TYPE_PROG_ARRAY`, kernel 4.2): what `bpf_tail_call` jumps through. All programs in it are
 * of one type, and those that tail-call through it too.
 *
 * The kernel empties it when the last descriptor or pin of it is closed, even while programs use it: keep its scope open.
 *
 * @example
 * ```ts
 * import { ProgArray, Program, ProgramSpec } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const install = (handler: ProgramSpec.ProgramSpec<"xdp">) =>
 *   Effect.gen(function*() {
 *     const table = yield* ProgArray.make({ name: "handlers", programs: "xdp", maxEntries: 8 })
 *     yield* table.update(0, yield* Program.load(handler))
 *     return table
 *   })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ProgramType, programTypes } from "../abi/names.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import { oneOf, required } from "../kernel/options.ts"
import { u32 } from "../layout/Layout.ts"
import type { BpfMap, DefineOptions, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { createFrom, readDefinition } from "./internal/definition.ts"
import { define as defineMap } from "./internal/open.ts"
import { acquireObjectEntries, fdOf } from "./internal/objectEntries.ts"
import type { ObjectEntries, ObjectIds } from "./MapOperations.ts"

/** A loaded program of a type, as `Program.load` gives it. */
export interface ProgramReference<T extends ProgramType> {
  readonly fd: number
  readonly type: T
}

/** A program array of this process, for programs of type `T`. */
export interface ProgArray<T extends ProgramType = ProgramType>
  extends BpfMap<"prog_array">, ObjectEntries<number, ProgramReference<T>>, ObjectIds<number, number>
{
  readonly programs: T
}

/** What a program array is made of. */
export interface Options<T extends ProgramType> extends DefineOptions {
  /** The type of all programs in it. */
  readonly programs: T
}

const aProgramType = required(oneOf(Object.keys(programTypes)))

/** A program array as a value, for `BpfMap.create`, `openPinned` and their sisters. */
export const define = <const T extends ProgramType>(options: Options<T>): Definition<ProgArray<T>> => {
  const { common, options: { programs } } = readDefinition("prog_array", options, { programs: aProgramType })
  return defineMap({ ...common, keySize: 4, valueSize: 4 }, (opened) =>
    Effect.map(
      acquireObjectEntries(opened, u32, u32, (program: ProgramReference<T>) => fdOf(program)),
      ({ keyed, objects }) => extend(opened.map, { programs, ...objects, lookupId: keyed.lookup })
    ))
}

/**
 * Creates a program array, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or number of entries, and with `SystemCallError` if the kernel refuses.
 */
export const make = <const T extends ProgramType>(
  options: Options<T>
): Effect.Effect<ProgArray<T>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  createFrom(() => define(options))
