// Option objects as users pass them, also against the types: read by their own properties alone, every one checked, and a
// word that is none of the options refused, since it would do nothing in silence.
import * as Effect from "effect/Effect"
import { InvalidArgument } from "./KernelError.ts"
import { shown } from "./validate.ts"

/** What an option's value must be. */
export interface Check {
  /** In words, after "expected". */
  readonly expected: string
  readonly accepts: (value: any) => boolean
  /** True for an option that must be given. */
  readonly required?: true
}

/** A check for each option there is. */
export type Checks<O> = { readonly [K in keyof O]-?: Check }

export const aBoolean: Check = { expected: "true or false", accepts: (value) => typeof value === "boolean" }

export const anInteger = (minimum: number, maximum: number): Check => ({
  expected: `an integer from ${minimum} to ${maximum}`,
  accepts: (value) => Number.isInteger(value) && value >= minimum && value <= maximum
})

export const oneOf = (words: ReadonlyArray<string>): Check => ({
  expected: `one of ${words.map((word) => JSON.stringify(word)).join(", ")}`,
  accepts: (value) => words.includes(value)
})

/** An option that must be given. */
export const required = (check: Check): Check => ({ ...check, required: true })

const withArticle = (what: string): string => /^[aeiou]/.test(what) ? `an ${what}` : `a ${what}`

/** A copy that has its own properties and no others: what is absent is absent, whatever Object.prototype has. */
export const ownOf = <A extends object>(given: A): A => Object.assign(Object.create(null), given)

/**
 * The options given, as an object that has nothing else: no property of `Object.prototype` is one of them. `undefined` is
 * not given. `what` they are of goes into the error. Throws `InvalidArgument`.
 */
export const readOptions = <O extends object>(what: string, given: unknown, checks: Checks<O>): O => {
  const options: Record<string, unknown> = Object.create(null)
  if (given !== undefined && (typeof given !== "object" || given === null)) {
    throw new InvalidArgument({ field: what, expected: "an object", actual: shown(given) })
  }
  if (given !== undefined) {
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(checks, name)) {
        throw new InvalidArgument({
          field: what,
          expected: `nothing but ${Object.keys(checks).join(", ")}`,
          actual: withArticle(`option ${JSON.stringify(name.slice(0, 60))}`)
        })
      }
      const value = (given as Record<string, unknown>)[name]
      if (value !== undefined) options[name] = value
    }
  }
  for (const name of Object.keys(checks)) {
    const check = checks[name as keyof O]
    const value = options[name]
    if (value === undefined ? check.required === true : !check.accepts(value)) {
      throw new InvalidArgument({ field: name, expected: check.expected, actual: shown(value) })
    }
  }
  return options as O
}

/** As `readOptions`, with what it throws as a failure. */
export const readingOptions = <O extends object>(
  what: string,
  given: unknown,
  checks: Checks<O>
): Effect.Effect<O, InvalidArgument> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(readOptions(what, given, checks))
    } catch (error) {
      if (error instanceof InvalidArgument) return Effect.fail(error)
      throw error
    }
  })
