// Lookups that many fibers make at once, answered together: by the program of many.ts, where there are enough of them.
//
// What is asked for is gathered until the fibers that are ready have run, which is when the microtasks of this turn of the
// event loop do. Effect's own batches of requests wait a whole turn, and keep each request in two sets, for some 5 times
// the cost; so `preCheck`, which sees a request before it is put into them, takes it away. A resolver that was made from
// ours (`RequestResolver.around`, `batchN` …) has its `preCheck` too, but its own idea of how requests are run: there it
// steps back, and `runAll` answers what Effect gathered.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import { pipeArguments } from "effect/Pipeable"
import * as Request from "effect/Request"
import type * as RequestResolver from "effect/RequestResolver"
import { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { isTurnDue } from "../../kernel/turn.ts"
import { LayoutError } from "../../layout/Layout.ts"
import type { LookupRequest, Together } from "../MapOperations.ts"
import { isExpected } from "./handle.ts"
import type { Gather, Gatherer } from "./gather.ts"

type LookupError = InvalidArgument | LayoutError | SystemCallError
type Answer<A> = (exit: Exit.Exit<A, LookupError>) => void

/** After so many answers the clock is asked: each runs a fiber up to where it waits next. */
const ANSWERS = 64

class Lookup<K, A> implements LookupRequest<K, A> {
  declare readonly "~effect/Request": LookupRequest<K, A>["~effect/Request"]
  readonly key: K
  constructor(key: K) {
    this.key = key
  }
}
Object.setPrototypeOf(Lookup.prototype, Request.RequestPrototype)

/** What `run` gives, or throws of this library's errors, or of anything else. */
const exitOf = <A>(run: () => A): Exit.Exit<A, LookupError> => {
  try {
    return Exit.succeed(run())
  } catch (error) {
    return isExpected(error) ? Exit.fail(error) : Exit.die(error)
  }
}

/** Answers lookups together; `single` answers one at once, or throws. */
export const looksUpTogether = <K, V, A>(
  gather: Gatherer<K, V>,
  { absent, check, found }: Gather<K, V, A>,
  single: (key: K) => A
): Together<K, A> => {
  const exits: Gather<K, V, Exit.Exit<A, LookupError>> = {
    absent: (key) => Exit.succeed(absent(key)),
    found: (value) => Exit.succeed(found(value)),
    ...(check === undefined ? {} : { check })
  }

  /** If the whole fails, for one key that is none perhaps, each is looked up by itself, and has the answer it would have had. */
  const answerAll = (keys: ReadonlyArray<K>, answers: ReadonlyArray<Answer<A>>): Effect.Effect<void> =>
    Effect.flatMap(Effect.exit(gather(keys, exits)), (together) => {
      const all = Exit.isSuccess(together) ? together.value : undefined
      const from = (start: number): Effect.Effect<void> =>
        Effect.suspend(() => {
          for (let i = start; i < keys.length; i++) {
            if (i % ANSWERS === 0 && i > start && isTurnDue()) return Effect.flatMap(Effect.yieldNow, () => from(i))
            answers[i]!(all === undefined ? exitOf(() => single(keys[i]!)) : all[i]!)
          }
          return Effect.void
        })
      return from(0)
    })

  let keys: Array<K> = []
  let answers: Array<Answer<A>> = []
  const flush = (): void => {
    const [asked, waiting] = [keys, answers]
    keys = []
    answers = []
    Effect.runFork(answerAll(asked, waiting))
  }
  const ask = (key: K, answer: Answer<A>): void => {
    answers.push(answer)
    // Microtasks come before timers and sockets: fibers that look up again and again leave them a turn now and then.
    if (keys.push(key) > 1) return
    if (isTurnDue()) setImmediate(flush)
    else queueMicrotask(flush)
  }

  const resolver: RequestResolver.RequestResolver<LookupRequest<K, A>> = {
    "~effect/RequestResolver": { _A: identity, _R: identity } as RequestResolver.RequestResolver<
      LookupRequest<K, A>
    >["~effect/RequestResolver"],
    pipe() {
      // oxlint-disable-next-line prefer-rest-params
      return pipeArguments(this, arguments) as never
    },
    delay: Effect.yieldNow,
    batchKey: () => resolver,
    preCheck(this: unknown, entry) {
      if (this !== resolver) return true
      ask(entry.request.key, (exit) => entry.completeUnsafe(exit))
      return false
    },
    collectWhile: () => true,
    runAll: (entries) =>
      answerAll(
        entries.map(({ request }) => request.key),
        entries.map((entry) => (exit) => entry.completeUnsafe(exit))
      )
  }

  return {
    lookupTogether: (key) => Effect.callback((resume) => ask(key, resume)),
    lookupRequest: (key) => new Lookup(key),
    resolver
  }
}
