// Modules of Effect that cost a program more at its start than all of this package, and that most programs never use:
// `effect/Schema` some 100 ms with what it imports, `effect/Stream` some 35. They are loaded when first asked for. ESM has no
// import that is both late and synchronous, so `require` does it, which gives the very module that `import` gives.
import { pipeArguments } from "effect/Pipeable"
import type * as Schema from "effect/Schema"
import type * as Sink from "effect/Sink"
import type * as Stream from "effect/Stream"

let load: ((name: string) => unknown) | undefined

const required = (name: string): unknown => {
  load ??= process.getBuiltinModule("node:module").createRequire(import.meta.url)
  return load(name)
}

let schema: typeof Schema | undefined
let stream: typeof Stream | undefined
let sink: typeof Sink | undefined

/** `effect/Schema`, loaded by the first call. */
export const schemaModule = (): typeof Schema => schema ??= required("effect/Schema") as typeof Schema

/** `effect/Stream`, loaded by the first call. */
export const streamModule = (): typeof Stream => stream ??= required("effect/Stream") as typeof Stream

const TypeId = "~effect/Stream"

/** What `Stream`'s own objects have, with a channel that is made when it is first asked for. */
class DeferredStream<A, E, R> implements Stream.Stream<A, E, R> {
  readonly [TypeId] = { _A: (_: never) => _, _E: (_: never) => _, _R: (_: never) => _ }
  private make: (() => Stream.Stream<A, E, R>) | undefined
  private made: Stream.Stream<A, E, R> | undefined
  constructor(make: () => Stream.Stream<A, E, R>) {
    this.make = make
  }
  get channel(): Stream.Stream<A, E, R>["channel"] {
    if (this.made === undefined) {
      this.made = this.make!()
      this.make = undefined
    }
    return this.made.channel
  }
  pipe(): any {
    // oxlint-disable-next-line prefer-rest-params
    return pipeArguments(this, arguments)
  }
}

/** The stream that `make` gives, made when something first runs or transforms it: until then nothing is loaded. */
export const deferredStream = <A, E, R>(
  make: (stream: typeof Stream) => Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> => new DeferredStream(() => make(streamModule()))

/** What `Sink`'s own objects have, made when it is first run or transformed. */
class DeferredSink<A, In, L, E, R> implements Sink.Sink<A, In, L, E, R> {
  readonly "~effect/Sink" = {
    _A: (_: never) => _,
    _In: (_: unknown) => _ as never,
    _L: (_: never) => _,
    _E: (_: never) => _,
    _R: (_: never) => _
  }
  private make: () => Sink.Sink<A, In, L, E, R>
  private made: Sink.Sink<A, In, L, E, R> | undefined
  constructor(make: () => Sink.Sink<A, In, L, E, R>) {
    this.make = make
  }
  get transform(): Sink.Sink<A, In, L, E, R>["transform"] {
    return (this.made ??= this.make()).transform
  }
  pipe(): any {
    // oxlint-disable-next-line prefer-rest-params
    return pipeArguments(this, arguments)
  }
}

/** The sink that `make` gives, made when something first runs or transforms it: until then nothing is loaded. */
export const deferredSink = <A, In, L, E, R>(
  make: (sink: typeof Sink) => Sink.Sink<A, In, L, E, R>
): Sink.Sink<A, In, L, E, R> => new DeferredSink(() => make(sink ??= required("effect/Sink") as typeof Sink))
