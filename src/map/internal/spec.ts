// What specs of maps may say, whoever made them: read once, each part held to what it must be.
import {
  aLayout,
  aName,
  anInteger,
  anObject,
  assertArgument,
  aUint,
  type Check,
  type Checks,
  readOptions,
  required
} from "../../kernel/options.ts"
import { InvalidArgument } from "../../kernel/KernelError.ts"
import { UINT_MAX } from "../../kernel/validate.ts"
import { numberOf } from "../../spec/MapKind.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"
import { hasMaxEntries } from "./requirements.ts"

/** The largest key or value that fits in what the kernel allocates at once (KMALLOC_MAX_SIZE, 4 MiB). */
const MOST_BYTES = 4 << 20

const aKind: Check = {
  expected: "a kind of map, by name or number",
  accepts: (type) => {
    if (typeof type !== "string" && typeof type !== "number") return false
    const number = numberOf(type as never)
    return number !== undefined && Number.isInteger(number) && number >= 1 && number <= UINT_MAX
  }
}

const checks: Checks<MapSpec> = {
  type: required(aKind),
  name: required(aName),
  keySize: required(anInteger(0, MOST_BYTES)),
  valueSize: required(anInteger(0, MOST_BYTES)),
  maxEntries: required(aUint),
  flags: required(aUint),
  mapExtra: anInteger(0, Number.MAX_SAFE_INTEGER),
  numaNode: aUint,
  inner: anObject,
  types: anObject,
  vmlinuxValueType: anInteger(1, UINT_MAX)
}

const typeChecks: Checks<NonNullable<MapSpec["types"]>> = { key: required(aLayout), value: required(aLayout) }

/** Most kinds have entries of their own. */
const someEntries = anInteger(1, UINT_MAX)

/** The kernel has two levels of maps, and says so itself; a circle would have no end. */
const MOST_LEVELS = 8

/** A spec as it was when it was read, with nothing else, and without a prototype. Throws `InvalidArgument`. */
export const readSpec = (given: MapSpec, what = "spec of a map", level = 1): MapSpec => {
  const spec = readOptions(what, given, checks)
  if (hasMaxEntries(spec)) assertArgument("maxEntries", spec.maxEntries, someEntries)
  const { inner, types } = spec
  if (inner !== undefined && level === MOST_LEVELS) {
    throw new InvalidArgument({ field: "inner", expected: `at most ${MOST_LEVELS} levels of maps`, actual: "more" })
  }
  return Object.assign(spec, {
    ...(inner === undefined ? {} : { inner: readSpec(inner, "spec of the inner maps", level + 1) }),
    ...(types === undefined ? {} : { types: readOptions("types", types, typeChecks) })
  })
}
