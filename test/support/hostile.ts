// What no type lets through, and what may come of it: a typed error, or nothing wrong; never a defect.
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import type { Kernel } from "../../src/index.ts"

const throwing = (): never => {
  throw new RangeError("of the test")
}

/** Everything that is done to it throws. */
export const throwingProxy = (): object => new Proxy({}, new Proxy({}, { get: () => throwing }) as ProxyHandler<object>)

const revokedProxy = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

/** Values by what they are. None is an option's value, nor a path, a name, a number or an object that means something. */
export const hostileValues: ReadonlyArray<readonly [what: string, value: () => unknown]> = [
  ["undefined", () => undefined],
  ["null", () => null],
  ["NaN", () => Number.NaN],
  ["a negative number", () => -1],
  ["a fraction", () => 1.5],
  ["a large number", () => 2 ** 60],
  ["a bigint", () => -5n],
  ["true", () => true],
  ["an empty string", () => ""],
  ["a string with NUL", () => "a\0b"],
  ["a long string", () => "x".repeat(5000)],
  ["a symbol", () => Symbol("hostile")],
  ["an empty array", () => []],
  ["an array", () => [null]],
  ["an object", () => ({})],
  ["an object without prototype", () => Object.create(null)],
  ["a function", () => () => undefined],
  ["a class", () => Map],
  ["a date", () => new Date(0)],
  ["a getter that throws", () => Object.defineProperty({}, "fd", { get: throwing, enumerable: true })],
  ["a proxy that throws", throwingProxy],
  ["a revoked proxy", revokedProxy]
]

/** Values that none of the options of this library takes. */
export const neverOptions: ReadonlyArray<readonly [what: string, value: () => unknown]> = hostileValues.filter((
  [what]
) => ["a symbol", "a proxy that throws", "a revoked proxy"].includes(what))

/** What came of a call, in words: `fine`, a typed error by its tag and message, or what is a defect. */
export interface Outcome {
  readonly kind: "fine" | "refused" | "defect"
  readonly text: string
}

const isTyped = (error: unknown): boolean =>
  error instanceof Error && typeof (error as { readonly _tag?: unknown })._tag === "string"

const refusedBy = (error: unknown): Outcome =>
  isTyped(error)
    ? { kind: "refused", text: `${(error as unknown as { _tag: string })._tag}: ${(error as Error).message}` }
    : { kind: "defect", text: error instanceof Error ? error.stack ?? String(error) : "thrown, and no error" }

const fine: Outcome = { kind: "fine", text: "" }

const isFailure = (value: unknown): value is Result.Failure<unknown, unknown> => {
  try {
    return Result.isResult(value) && Result.isFailure(value)
  } catch {
    return false
  }
}

/** What is to be run of what a call gave; that may be the hostile value itself. */
const runnable = (value: unknown): Effect.Effect<unknown, unknown, unknown> | undefined => {
  try {
    if (Stream.isStream(value)) return Stream.runDrain(Stream.take(value, 1))
    if (Layer.isLayer(value)) return Effect.asVoid(Layer.build(value as unknown as Layer.Layer<never>))
    return Effect.isEffect(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Makes a call and runs what it gives: an effect, a stream or a layer. */
export const outcomeOf = (call: () => unknown): Effect.Effect<Outcome, never, Kernel.Kernel> =>
  Effect.suspend(() => {
    let value: unknown
    try {
      value = call()
    } catch (error) {
      return Effect.succeed(refusedBy(error))
    }
    const effect = runnable(value)
    if (effect === undefined) return Effect.succeed(isFailure(value) ? refusedBy(value.failure) : fine)
    const run = effect as Effect.Effect<unknown, unknown, Kernel.Kernel | Scope.Scope>
    return Effect.map(Effect.exit(Effect.scoped(Effect.timeoutOption(run, "100 millis"))), (exit) => {
      if (Exit.isSuccess(exit)) return fine
      const reason = exit.cause.reasons[0]
      return reason?._tag === "Fail" ? refusedBy(reason.error) : { kind: "defect", text: Cause.pretty(exit.cause) }
    })
  })

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly exports: { readonly [path: string]: { readonly "effect-ebpf-source"?: string } }
}

/** A function that is exported, by its module's name and its own. */
export interface Exported {
  readonly name: string
  readonly call: (...given: ReadonlyArray<any>) => unknown
  /** The names of its parameters, as it is written. */
  readonly parameters: ReadonlyArray<string>
}

/** The names before the first arrow or brace, at the level of the list itself. */
const parametersOf = (text: string): ReadonlyArray<string> => {
  const open = text.indexOf("(")
  const arrow = text.indexOf("=>")
  if (open < 0 || (arrow >= 0 && arrow < open)) return arrow < 0 ? [] : [text.slice(0, arrow).trim()]
  const names: Array<string> = []
  let depth = 0
  let name = ""
  for (const letter of text.slice(open)) {
    if ("([{".includes(letter)) depth++
    if (")]}".includes(letter)) depth--
    if (depth === 1 && letter === ",") {
      names.push(name)
      name = ""
    } else if (depth >= 1 && !(depth === 1 && letter === "(")) name += letter
    if (depth === 0) break
  }
  return [...names, name].map((one) => one.trim()).filter((one) => one !== "")
}

const isClass = (value: Function): boolean => /^class\b/.test(Function.prototype.toString.call(value))

/** The functions of all public modules. */
export const exportedFunctions = async (): Promise<ReadonlyArray<Exported>> => {
  const all: Array<Exported> = []
  for (const [path, target] of Object.entries(manifest.exports)) {
    const source = target["effect-ebpf-source"]
    if (source === undefined || path === ".") continue
    const module = await import(new URL(`../../${source}`, import.meta.url).href) as Record<string, unknown>
    for (const [name, value] of Object.entries(module)) {
      if (typeof value !== "function" || isClass(value)) continue
      const parameters = parametersOf(Function.prototype.toString.call(value))
      all.push({ name: `${path.slice(2)}.${name}`, call: value as Exported["call"], parameters })
    }
  }
  return all
}
