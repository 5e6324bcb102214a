// What specs of maps may say, whoever made them: read once, each part held to what it must be.
import {
  aBoolean,
  aLayout,
  aList,
  aName,
  anInteger,
  anObject,
  assertArgument,
  aUint,
  type Check,
  type Checks,
  oneOf,
  readOptions,
  required,
  someBytes
} from "../../kernel/options.ts"
import { InvalidArgument } from "../../kernel/KernelError.ts"
import { shown, UINT_MAX } from "../../kernel/validate.ts"
import { numberOf, of as kindOf } from "../../spec/MapKind.ts"
import type { Contents, LayoutTypes, MapSpec, ObjectTypes } from "../../spec/MapSpec.ts"
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
  vmlinuxValueType: anInteger(1, UINT_MAX),
  contents: aList,
  frozen: aBoolean,
  pinning: oneOf(["by name"])
}

const layoutChecks: Checks<LayoutTypes> = { key: required(aLayout), value: required(aLayout) }

const objectChecks: Checks<ObjectTypes> = {
  btf: required(someBytes),
  key: required(aUint),
  value: required(anInteger(1, UINT_MAX))
}

const readTypes = (types: NonNullable<MapSpec["types"]>): NonNullable<MapSpec["types"]> =>
  Object.hasOwn(types, "btf")
    ? readOptions("types", types as ObjectTypes, objectChecks)
    : readOptions("types", types as LayoutTypes, layoutChecks)

/** The bytes of an entry, of the size that they must have; a copy, which nobody else changes. */
const bytesOf = (field: string, given: unknown, size: number): Uint8Array => {
  if (given instanceof Uint8Array && given.length === size) return given.slice()
  const actual = given instanceof Uint8Array ? `${given.length} of them` : shown(given)
  throw new InvalidArgument({ field, expected: `a Uint8Array of ${size} bytes`, actual })
}

/** A descriptor, or the bytes of one, where a kind has descriptors for values. */
const valueOf = (field: string, given: unknown, { type, valueSize }: MapSpec): Contents[number][1] => {
  const isReference = typeof given === "object" && given !== null && !(given instanceof Uint8Array)
  if (!isReference || kindOf(type)?.values === "bytes") return bytesOf(field, given, valueSize)
  assertArgument(field, given, { expected: "a handle, or bytes", accepts: ({ fd }) => typeof fd === "number" })
  return given as { readonly fd: number }
}

const readContents = (contents: Contents, spec: MapSpec): Contents => {
  try {
    return contents.map((entry, i) => {
      assertArgument(`contents[${i}]`, entry, { expected: "a key and a value", accepts: (pair) => pair.length === 2 })
      const [key, value] = entry
      return [bytesOf(`key of contents[${i}]`, key, spec.keySize), valueOf(`value of contents[${i}]`, value, spec)]
    })
  } catch (error) {
    if (error instanceof InvalidArgument) throw error
    throw new InvalidArgument({
      field: "contents",
      expected: aList.expected,
      actual: "one that throws when it is read"
    })
  }
}

/** Most kinds have entries of their own. */
const someEntries = anInteger(1, UINT_MAX)

/** The kernel has two levels of maps, and says so itself; a circle would have no end. */
const MOST_LEVELS = 8

/** A spec as it was when it was read, with nothing else, and without a prototype. Throws `InvalidArgument`. */
export const readSpec = (given: MapSpec, what = "spec of a map", level = 1): MapSpec => {
  const spec = readOptions(what, given, checks)
  if (hasMaxEntries(spec)) assertArgument("maxEntries", spec.maxEntries, someEntries)
  const { contents, inner, types } = spec
  if (inner !== undefined && level === MOST_LEVELS) {
    throw new InvalidArgument({ field: "inner", expected: `at most ${MOST_LEVELS} levels of maps`, actual: "more" })
  }
  return Object.assign(spec, {
    ...(inner === undefined ? {} : { inner: readSpec(inner, "spec of the inner maps", level + 1) }),
    ...(types === undefined ? {} : { types: readTypes(types) }),
    ...(contents === undefined ? {} : { contents: readContents(contents, spec) })
  })
}
