// Options and arguments as users pass them to what fails with `InvalidArgument`: how they are read stands in abi/given.ts.
import * as Effect from "effect/Effect"
import { type Check, checkGiven, type Checks, readGiven, type Wrong } from "../abi/given.ts"
import { isLayout } from "../layout/Layout.ts"
import { InvalidArgument } from "./KernelError.ts"
import { isName, isPath, NAME, PATH, UINT_MAX } from "./validate.ts"

export { anObject, type Check, type Checks, withArticle } from "../abi/given.ts"

export const aBoolean: Check = { expected: "true or false", accepts: (value) => typeof value === "boolean" }

export const aText: Check = { expected: "a string", accepts: (value) => typeof value === "string" }

export const aFunction: Check = { expected: "a function", accepts: (value) => typeof value === "function" }

export const someBytes: Check = { expected: "a Uint8Array", accepts: (value) => value instanceof Uint8Array }

export const aLayout: Check = { expected: "a Layout", accepts: isLayout }

export const aList: Check = { expected: "an array", accepts: (value) => Array.isArray(value) }

export const anInteger = (minimum: number, maximum: number): Check => ({
  expected: `an integer from ${minimum} to ${maximum}`,
  accepts: (value) => Number.isInteger(value) && value >= minimum && value <= maximum
})

/** The name of an object of the kernel. */
export const aName: Check = { expected: NAME, accepts: isName }

export const aPath: Check = { expected: PATH, accepts: isPath }

/** An `unsigned int` of C. */
export const aUint: Check = anInteger(0, UINT_MAX)

export const oneOf = (words: ReadonlyArray<string>): Check => ({
  expected: `one of ${words.map((word) => JSON.stringify(word)).join(", ")}`,
  accepts: (value) => words.includes(value)
})

/** An array whose elements are all right by a check. */
export const listOf = ({ accepts, expected }: Check, what: string): Check => ({
  expected: `an array of ${what}, each ${expected}`,
  accepts: (value) => Array.isArray(value) && value.every((element) => accepts(element))
})

/** As a check, of the kind of value alone: what is out of its bounds is found later, where the value is used. */
export const ofKind = (kind: "string" | "number", { expected }: Check): Check => ({
  expected,
  accepts: (value) => typeof value === kind
})

/** An option that must be given. */
export const required = (check: Check): Check => ({ ...check, required: true })

const refuse = (wrong: Wrong): InvalidArgument => new InvalidArgument(wrong)

/** Throws `InvalidArgument` for a value that is not what it must be. */
export const assertArgument = (field: string, value: unknown, check: Check): void =>
  checkGiven(field, value, check, refuse)

/** The options given, each read once, as an object that has nothing else (`readGiven`). Throws `InvalidArgument`. */
export const readOptions = <O extends object>(what: string, given: unknown, checks: Checks<O>): O =>
  readGiven(what, given, checks, refuse)

/**
 * An effect that reads what its user passed before it does anything else: the `InvalidArgument` that `make` throws is its
 * failure.
 */
export const whenRight = <A, E, R>(make: () => Effect.Effect<A, E, R>): Effect.Effect<A, E | InvalidArgument, R> =>
  Effect.suspend((): Effect.Effect<A, E | InvalidArgument, R> => {
    try {
      return make()
    } catch (error) {
      if (error instanceof InvalidArgument) return Effect.fail(error)
      throw error
    }
  })

/** As `readOptions`, with what it throws as a failure. */
export const readingOptions = <O extends object>(
  what: string,
  given: unknown,
  checks: Checks<O>
): Effect.Effect<O, InvalidArgument> => whenRight(() => Effect.succeed(readOptions(what, given, checks)))
