/**
 * BTF, the BPF Type Format: the types of a kernel, a module or a BPF program. This module parses it, finds types by
 * name, and answers what a tracer asks: how large is a type, and where in a struct does a member lie.
 *
 * It is pure: bytes in, values out. The kernel's own BTF is in `/sys/kernel/btf/vmlinux` (since 5.4, with
 * CONFIG_DEBUG_INFO_BTF): `KernelBtf.load` reads it. Records are indexed in typed arrays and decoded only when asked for:
 * a kernel has over 100,000 of them. Functions take BTF first, or last with `pipe`.
 *
 * It reads little-endian BTF only, which is what x86-64 and arm64 kernels have.
 *
 * @example
 * ```ts
 * import { Btf } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const parentOffset = (vmlinux: Uint8Array) =>
 *   Effect.gen(function*() {
 *     const btf = yield* Effect.fromResult(Btf.parse(vmlinux))
 *     const member = yield* Effect.fromResult(Btf.member(btf, "task_struct", "real_parent"))
 *     return member.bitOffset / 8
 *   })
 * ```
 */
import * as Result from "effect/Result"
import { type Check, checkGiven, type Checks, readGiven, type Wrong } from "../abi/given.ts"
import { Blob, blobOf, type Btf } from "./internal/blob.ts"
import { BtfError } from "./internal/error.ts"
import { parseBytes, parseInParts } from "./internal/parse.ts"

export type { Btf } from "./internal/blob.ts"
export { encode } from "./internal/encode.ts"
export { BtfError } from "./internal/error.ts"
export * from "./internal/query.ts"

/** What a blob is parsed with. */
export interface ParseOptions {
  /** The BTF that a split one builds on: vmlinux for a module's. */
  readonly base?: Btf
}

/** True for BTF that was parsed. */
export const isBtf = (value: unknown): value is Btf => {
  try {
    return value instanceof Blob
  } catch {
    return false // a Proxy
  }
}

const someBytes: Check = { expected: "a Uint8Array", accepts: (value) => value instanceof Uint8Array }
const parseChecks: Checks<ParseOptions> = {
  base: { expected: "BTF, as parse gives it", accepts: isBtf }
}
const unfit = (wrong: Wrong): BtfError => new BtfError(wrong)

/**
 * Parses the bytes of a BTF blob, which are kept and must not change. `base` is the BTF that a split one builds on:
 * vmlinux for a module's.
 *
 * Fails with `BtfError` for truncated or malformed bytes. References between types are not followed here; a dangling
 * one shows when it is used. A type of a kind that is not known is an error, unless the blob has a layout section that
 * describes it: then it is `Opaque`.
 */
export const parse = (bytes: Uint8Array, options?: ParseOptions): Result.Result<Btf, BtfError> => {
  try {
    const { base } = readGiven("options of parse", options, parseChecks, unfit)
    checkGiven("bytes", bytes, someBytes, unfit)
    return parseBytes(bytes, base === undefined ? undefined : blobOf(base))
  } catch (error) {
    if (error instanceof BtfError) return Result.fail(error)
    throw error
  }
}

/**
 * @internal As `parse`, for what the running kernel holds, which has checked all names in it before it used them. In parts of
 * 2 ms at most: the last gives the result.
 */
export const parseChecked = (bytes: Uint8Array): Generator<void, Result.Result<Btf, BtfError>> =>
  parseInParts(bytes, undefined, true)
