// Options as users pass them, also against the types: read by their own properties alone, once, every one checked, and a word
// that is none of the options refused, since it would do nothing in silence. What fails is each floor's own error.
import { nearest } from "./nearest.ts"

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

/** What is wrong with something given. */
export interface Wrong {
  readonly field: string
  readonly expected: string
  readonly actual: string
}

/** A value in a few words, for an error: never long, and never failing. */
export const shown = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value)
  if (typeof value === "bigint") return BigInt.asIntN(200, value) === value ? `${value}n` : "a bigint of over 200 bits"
  if (typeof value === "symbol") return "a symbol"
  if (typeof value === "function") return "a function"
  if (typeof value !== "object" || value === null) return String(value)
  try {
    return Array.isArray(value) ? `an array of ${value.length}` : "an object"
  } catch {
    return "an object that throws when it is read" // a Proxy
  }
}

/** `an array`, `a queue` */
export const withArticle = (what: string): string => /^[aeiou]/.test(what) ? `an ${what}` : `a ${what}`

export const anObject: Check = {
  expected: "an object",
  accepts: (value) => typeof value === "object" && value !== null && !Array.isArray(value)
}

class Refused {
  readonly wrong: Wrong
  constructor(wrong: Wrong) {
    this.wrong = wrong
  }
}

/** What an object of the user's does when it is looked at is its own affair: what it throws is wrong with the argument. */
const looking = <A>(field: string, expected: string, look: () => A): A => {
  try {
    return look()
  } catch {
    throw new Refused({ field, expected, actual: "one that throws when it is read" })
  }
}

const hold = (field: string, { accepts, expected }: Check, value: unknown): void => {
  if (!looking(field, expected, () => accepts(value))) throw new Refused({ field, expected, actual: shown(value) })
}

const unknownOption = (what: string, name: string, known: ReadonlyArray<string>): Refused => {
  const near = nearest(name, known)[0]
  return new Refused({
    field: what,
    expected: known.length === 0 ? "no options" : `nothing but ${known.join(", ")}`,
    actual: `an option ${JSON.stringify(name.slice(0, 60))}` + (near === undefined ? "" : `: did you mean ${near}?`)
  })
}

const read = <O extends object>(what: string, given: unknown, checks: Checks<O>): O => {
  const options: Record<string, unknown> = Object.create(null)
  if (given !== undefined) {
    hold(what, anObject, given)
    for (const name of looking(what, anObject.expected, () => Object.keys(given as object))) {
      if (!Object.hasOwn(checks, name)) throw unknownOption(what, name, Object.keys(checks))
      const { expected } = checks[name as keyof O]
      const value = looking(name, expected, () => (given as Record<string, unknown>)[name])
      if (value !== undefined) options[name] = value
    }
  }
  for (const name of Object.keys(checks)) {
    const check = checks[name as keyof O]
    if (options[name] !== undefined || check.required === true) hold(name, check, options[name])
  }
  return options as O
}

/** Runs a check, and throws what `refuse` makes of what is wrong. */
const refusing = <A>(refuse: (wrong: Wrong) => Error, look: () => A): A => {
  try {
    return look()
  } catch (error) {
    throw error instanceof Refused ? refuse(error.wrong) : error
  }
}

/** Throws what `refuse` makes of a value that is not what it must be. */
export const checkGiven = (field: string, value: unknown, check: Check, refuse: (wrong: Wrong) => Error): void =>
  refusing(refuse, () => hold(field, check, value))

/**
 * The options given, as an object that has nothing else: no property of `Object.prototype` is one of them. Each is read
 * once. `undefined` is not given. `what` they are of goes into the error, which `refuse` makes and this throws.
 */
export const readGiven = <O extends object>(
  what: string,
  given: unknown,
  checks: Checks<O>,
  refuse: (wrong: Wrong) => Error
): O => refusing(refuse, () => read(what, given, checks))
