import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"

/**
 * Why a reference has no value: the kernel has not what it names, it has several and they differ, or the reference itself is
 * wrong.
 */
export interface Problem {
  readonly reason: "missing" | "ambiguous" | "invalid"
  readonly expected: string
  readonly actual: string
  /** The ids of the types that differ. */
  readonly candidates?: ReadonlyArray<number> | undefined
  readonly suggest?: (() => ReadonlyArray<string>) | undefined
}

export const missing = (expected: string, actual: string): Problem => ({ reason: "missing", expected, actual })
export const invalid = (expected: string, actual: string): Problem => ({ reason: "invalid", expected, actual })

const asProblem = (error: Btf.BtfError): Problem => missing(error.expected, error.actual)

/** `Btf.resolve`, with its failure as a problem. */
export const resolve = (btf: Btf.Btf, id: number): Result.Result<readonly [id: number, type: BtfType], Problem> =>
  Result.mapError(Btf.resolve(btf, id), asProblem)

/** `Btf.sizeOf`, with its failure as a problem. */
export const sizeOf = (btf: Btf.Btf, id: number): Result.Result<number, Problem> =>
  Result.mapError(Btf.sizeOf(btf, id), asProblem)

/** What a type of the kernel says to a question. */
export interface Answer<A> {
  readonly id: number
  readonly value: A
}

/**
 * Asks each type of a name, and takes no notice of those that have no answer. The others must agree, as libbpf has it: a
 * kernel may have two structs of one name. Where none has, it is the first one's problem.
 */
export const unanimous = <A>(
  ids: ReadonlyArray<number>,
  what: string,
  ask: (id: number) => Result.Result<A, Problem>,
  isEqual: (a: A, b: A) => boolean,
  print: (value: A) => string
): Result.Result<A, Problem> => {
  const answers: Array<Answer<A>> = []
  let failed: Problem | undefined
  for (const id of ids) {
    const one = ask(id)
    if (Result.isSuccess(one)) answers.push({ id, value: one.success })
    else if (one.failure.reason === "invalid") return Result.fail(one.failure)
    else failed ??= one.failure
  }
  const [first] = answers
  if (first === undefined) return Result.fail(failed ?? missing(what, "none"))
  return answers.every(({ value }) => isEqual(value, first.value))
    ? Result.succeed(first.value)
    : Result.fail({
      reason: "ambiguous",
      expected: `one ${what.replace(/^an? /, "")}`,
      actual: `several that differ: ${answers.map(({ id, value }) => `${print(value)} for type ${id}`).join(", ")}`,
      candidates: answers.map(({ id }) => id)
    })
}
