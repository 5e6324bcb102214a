/**
 * A table of functions of the kernel, to be filled by programs (`BPF_MAP_TYPE_STRUCT_OPS`, kernel 5.6): a congestion
 * control (`tcp_congestion_ops`), a scheduler (`sched_ext_ops`). This module creates the container; putting programs
 * into it and registering it is not here yet.
 *
 * @example
 * ```ts
 * import { KernelBtf, StructOpsMap } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const btf = yield* KernelBtf.load
 *   return yield* StructOpsMap.make({ name: "my_cc", btf, type: "tcp_congestion_ops" })
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Btf from "../btf/Btf.ts"
import type { Kernel } from "../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../kernel/KernelError.ts"
import { aName, aText, aUint, type Checks, readOptions, required } from "../kernel/options.ts"
import type { BpfMap, Definition } from "./BpfMap.ts"
import { extend } from "./internal/handle.ts"
import { create, define as defineMap } from "./internal/open.ts"

/** A struct_ops map of this process. */
export interface StructOpsMap extends BpfMap<"struct_ops"> {
  /** The struct of functions that it stands for. */
  readonly type: string
}

/** What a struct_ops map is made of. */
export interface Options {
  /** At most 15 letters, digits, `_` and `.`; shown by `bpftool map`. */
  readonly name: string
  /** The kernel's own BTF (`KernelBtf.load`). */
  readonly btf: Btf.Btf
  /** The struct of functions, such as `tcp_congestion_ops`. */
  readonly type: string
  /** `BPF_F_*` flags of `BPF_MAP_CREATE`. */
  readonly flags?: number
}

const checks: Checks<Options> = {
  name: required(aName),
  btf: required({ expected: "BTF, as KernelBtf.load gives it", accepts: Btf.isBtf }),
  type: required(aText),
  flags: aUint
}

/**
 * A struct_ops map as a value, for `BpfMap.create` and its sisters. Fails with `InvalidArgument` for a struct that this
 * kernel has no struct_ops for.
 */
export const define = (options: Options): Result.Result<Definition<StructOpsMap>, InvalidArgument> => {
  try {
    return defined(readOptions("options of a struct_ops map", options, checks))
  } catch (error) {
    if (error instanceof InvalidArgument) return Result.fail(error)
    throw error
  }
}

const defined = ({ btf, flags = 0, name, type }: Options): Result.Result<Definition<StructOpsMap>, InvalidArgument> => {
  // The kernel keeps state beside the functions: its value is a struct of both, under this name.
  const id = Option.fromUndefinedOr(Btf.idsByName(btf, `bpf_struct_ops_${type}`, "Struct")[0])
  const size = Option.flatMap(id, (found) => Result.getSuccess(Btf.sizeOf(btf, found)))
  if (Option.isNone(id) || Option.isNone(size)) {
    return Result.fail(
      new InvalidArgument({ field: "type", expected: "a struct that this kernel takes functions for", actual: type })
    )
  }
  const common = { type: "struct_ops", name, keySize: 4, maxEntries: 1, flags } as const
  return Result.succeed(
    defineMap(
      { ...common, valueSize: size.value, vmlinuxValueType: id.value },
      (opened) => Effect.succeed(extend(opened.map, { type }))
    )
  )
}

/**
 * Creates a struct_ops map, closed with the scope.
 *
 * Fails with `InvalidArgument` for a bad name or an unknown struct, and with `SystemCallError` if the kernel refuses.
 */
export const make = (
  options: Options
): Effect.Effect<StructOpsMap, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  Effect.suspend(() => Effect.flatMap(Effect.fromResult(define(options)), create))
