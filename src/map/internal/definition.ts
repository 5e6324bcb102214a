// What the `define` functions of the families take: the options that all have, by what the table of kinds says of each, and
// those of their own.
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { MapType } from "../../abi/names.ts"
import type { Kernel } from "../../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import {
  aLayout,
  aName,
  anInteger,
  aUint,
  type Check,
  type Checks,
  ofKind,
  readOptions,
  required,
  whenRight,
  withArticle
} from "../../kernel/options.ts"
import { UINT_MAX } from "../../kernel/validate.ts"
import * as MapKind from "../../spec/MapKind.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"
import type { DefineOptions, Definition } from "../MapDefinition.ts"
import type { BpfMap } from "./handle.ts"
import { aDefinition, create } from "./open.ts"

/** A layout, where a family needs one. */
export const layout: Check = required(aLayout)

/** A definition, where a family needs one: that of inner maps. */
export const definition: Check = required(aDefinition)

/** Of what kind they are; names and numbers that no map can have are found when one is created. */
const common: Checks<DefineOptions> = {
  name: required(ofKind("string", aName)),
  maxEntries: required(ofKind("number", anInteger(1, UINT_MAX))),
  flags: ofKind("number", aUint),
  numaNode: ofKind("number", aUint)
}

/** Where entries belong to other objects, there is no number of them to be said. */
const { maxEntries: _, ...withoutEntries } = common

type Common<T> = Pick<MapSpec, "name" | "maxEntries" | "flags" | "numaNode"> & { readonly type: T }

/** The options of a definition, each read once, and the parts of a spec that come of those that all families have. */
export const readDefinition = <O extends Partial<DefineOptions>, const T extends MapType>(
  type: T,
  given: O,
  own: Checks<Omit<O, keyof DefineOptions>>
): { readonly options: O; readonly common: Common<T> } => {
  const shared = MapKind.of(type)?.hasMaxEntries === false ? withoutEntries : common
  const options = readOptions<O>(
    `options of ${withArticle(type)} map`,
    given,
    { ...shared, ...own } as unknown as Checks<O>
  )
  const { flags = 0, maxEntries = 0, name, numaNode } = options
  return {
    options,
    common: { type, name: name!, maxEntries, flags, ...(numaNode === undefined ? {} : { numaNode }) }
  }
}

/** Creates the map that `define` gives; the `InvalidArgument` that it throws is a failure. */
export const createFrom = <M extends BpfMap>(
  define: () => Definition<M>
): Effect.Effect<M, InvalidArgument | SystemCallError, Kernel | Scope.Scope> => whenRight(() => create(define()))
