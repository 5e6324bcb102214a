// The memory of a map's single calls: one key and one value, prepared once with what calls on them (`bpf/elements.ts`).
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Command } from "../../bpf/command.ts"
import { acquireElementCalls, type ElementCalls } from "../../bpf/elements.ts"
import type { FeatureName } from "../../kernel/Features.ts"
import { acquireBlockUntil, type Call } from "../../kernel/systemCall.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import type { MapSpec } from "../../spec/MapSpec.ts"
import { strideOf } from "./codec.ts"
import { describe, type Opened } from "./handle.ts"
import { nameOf } from "../../spec/MapKind.ts"

/**
 * The blocks of one map, and its calls. The caller fills `key` and `value` first, and makes sure that nobody else does
 * meanwhile: an operation is `busy` from its first byte to its last, and another one that finds it so (by way of a user's
 * codec or getter) runs `insideAnother`.
 */
export interface Elements extends ElementCalls {
  /** False from the moment that the scope begins to release any of this. */
  readonly isLive: () => boolean
  busy: boolean
  /** How many operations wait for the one that runs inside them. */
  outer: number
  /** Frees what had to wait for the end of the operation. */
  readonly settle: () => void
  readonly key: Block
  readonly value: Block
}

/** Of a kind that is not known here the kernel may copy a value for each CPU: there is room for that. */
const valueBytes = ({ possibleCpus }: KernelService, { type, valueSize }: MapSpec, size: number): number =>
  typeof nameOf(type) === "number" ? Math.max(size, strideOf(valueSize) * possibleCpus) : size

/**
 * Prepares a map's memory, which is freed with the scope. A map without keys (a queue) has a null key pointer. Sizes
 * are those of what the calls copy: for per-CPU values all of them.
 */
export const acquireElements = (
  { kernel, map }: Opened,
  sizes: { readonly key: number; readonly value: number }
): Effect.Effect<Elements, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    let live = true
    const pending: Array<() => void> = []
    let inUse = (): boolean => false
    const acquire = (size: number) =>
      acquireBlockUntil(kernel, size, (free) => {
        live = false
        // The user's code amid an operation closed the scope: the operation still writes to its blocks before it ends.
        if (inUse()) pending.push(free)
        else free()
      })
    const key = yield* acquire(sizes.key)
    const value = yield* acquire(valueBytes(kernel, map.spec, sizes.value))
    // A block of a kernel that was released is not live either.
    const isLive = (): boolean => live && key.live
    const calls = yield* acquireElementCalls(kernel, map.fd, { key, isKeyed: sizes.key !== 0, value }, acquire, isLive)
    const elements: Elements = {
      ...calls,
      isLive,
      busy: false,
      outer: 0,
      settle: () => {
        while (elements.outer === 0 && pending.length > 0) pending.pop()!()
      },
      key,
      value
    }
    inUse = () => elements.busy || elements.outer > 0
    return elements
  })

/** An operation that a codec or a getter runs amid another one of the same map, which finds its memory as it was. */
export const insideAnother = <A>(elements: Elements, operation: () => A): A => {
  const { key, value } = elements
  const before = [key.bytes.slice(), value.bytes.slice()] as const
  elements.busy = false
  elements.outer++
  try {
    return operation()
  } finally {
    elements.outer--
    elements.busy = true
    key.bytes.set(before[0])
    value.bytes.set(before[1])
  }
}

/** Runs an operation that uses the blocks of a map. On hot paths this is written out. */
export const exclusively = <A>(elements: Elements, operation: () => A): A => {
  if (elements.busy) return insideAnother(elements, operation)
  elements.busy = true
  try {
    return operation()
  } finally {
    finish(elements)
  }
}

/** The end of an operation. */
export const finish = (elements: Elements): void => {
  elements.busy = false
  if (!elements.isLive()) elements.settle()
}

/** What a failed element operation was, for its error. */
export const elementCall = (
  { map }: Opened,
  command: Command,
  features?: ReadonlyArray<FeatureName>
): Call => ({ call: "bpf", command, subject: describe(map.spec), ...(features === undefined ? {} : { features }) })
