/**
 * The helper functions of the kernel: what each takes and gives back, since which kernel there is one, and which types of
 * program may call it. Newer kernels get no more of these: what is new is called as a kfunc.
 *
 * The table is of Linux 6.18, whose list of helpers is also that of the newest UAPI. Which kinds of program may call a
 * helper was asked of five kernels, from 5.10 to 7.3 (`scripts/generate-helpers.ts`). A kernel may lack a helper that a
 * configuration option leaves out. The kernel has the last word when a program is loaded.
 *
 * @example
 * ```ts
 * import { Helper } from "effect-ebpf"
 *
 * const helper = Helper.get("ringbuf_output")
 * console.log(helper.id, helper.since) // 130 5.8
 * console.log(Helper.signature(helper)) // long bpf_ringbuf_output(void *ringbuf, void *data, u64 size, u64 flags)
 * console.log(Helper.isCallableFrom(helper, "xdp")) // true
 * ```
 */
import * as Option from "effect/Option"
import { bpf_func_id } from "../abi/generated/enums.ts"
import type { ProgramType } from "../abi/names.ts"
import { availability, type Caller, callersOf, type ProbedVersion } from "./helperCallers.ts"
import { common } from "./internal/helpers/common.ts"
import { hooks } from "./internal/helpers/hooks.ts"
import { objects } from "./internal/helpers/objects.ts"
import { packets } from "./internal/helpers/packets.ts"
import type { ArgumentKind as RowKind, ResultKind, Row } from "./internal/helpers/row.ts"
import { sockets } from "./internal/helpers/sockets.ts"
import { tracing } from "./internal/helpers/tracing.ts"

/** The name of a helper as in `bpf-helpers(7)`, without `bpf_`. */
export type HelperName = Exclude<
  keyof typeof bpf_func_id extends infer K ? K extends `BPF_FUNC_${infer N}` ? N : never : never,
  "unspec"
>

/**
 * What an argument must be, in the words of the verifier's `enum bpf_arg_type`:
 *
 * - `any`: any value; a number, as a rule.
 * - `context`: the program's own context.
 * - `map`, `mapKey`, `mapValue`: a map, and the address of a key or a value of that map. `mapValueOut` is written.
 * - `read`, `write`, `readWrite`: the address of memory, of `size` bytes, or as many as the next argument says.
 * - `size`, `sizeOrZero`: the size of the memory before it. `recordSize` is a constant.
 * - `ringbufRecord`: what `ringbuf_reserve` gave.
 * - `socketCommon`: a socket that a program may look into; `socketLike`: also one of the kernel's own types.
 * - `btf`: a typed pointer of the kernel; `percpuBtf`: one to a per-CPU variable.
 * - `spinLock`, `timer`, `kptr`: the address of such a field in a map value.
 * - `dynptr`, `dynptrOut`: the address of a dynptr on the stack, made or to be made.
 * - `callback`: a function of the program; `stack`: an address on the stack, to be given to it.
 * - `constString`: a string in a read-only map.
 */
export type ArgumentKind = RowKind extends infer K ? K extends `${infer Base}OrNull` ? Base
  : K extends `${infer Base}:${number}` ? Base
  : K
  : never

/** An argument of a helper. */
export interface Argument {
  /** As in the UAPI's documentation. */
  readonly name: string
  /** Its type in C. */
  readonly type: string
  readonly kind: ArgumentKind
  /** Whether 0 may stand for "none". */
  readonly nullable: boolean
  /** The bytes of memory that it must have, where that is fixed. */
  readonly size: number | undefined
}

/** One helper. */
export interface Helper {
  readonly name: HelperName
  /** Its number in a call instruction: `BPF_FUNC_…` of `enum bpf_func_id`. */
  readonly id: number
  /** What it does, in a line. */
  readonly description: string
  /** The first version of Linux that has it, such as `"5.8"`. */
  readonly since: string
  /** Whether only programs under a licence compatible with the GPL may call it. */
  readonly gplOnly: boolean
  /** The types of program that may call it, in at least some of their attach types and on some of the kernels asked. */
  readonly programTypes: ReadonlyArray<ProgramType>
  readonly arguments: ReadonlyArray<Argument>
  /** Whether further values may follow the arguments, five in all. */
  readonly variadic: boolean
  /** What comes back in `r0`; names that end in `OrNull` must be compared with 0 before use. */
  readonly returns: { readonly kind: ResultKind; readonly type: string }
  /** Whether it may move the packet: addresses taken from the context's `data` before the call are void then. */
  readonly movesPacket: boolean
  /** Whether it may wait, so that only sleepable programs may call it. */
  readonly sleeps: boolean
}

export type {
  /** A kind of program: its type, and as far as it is known its attach type and whether it may sleep. */
  Caller,
  /** A kernel that was asked which program may call which helper. */
  ProbedVersion
} from "./helperCallers.ts"

export type {
  /** What a helper gives back, in the words of the verifier's `enum bpf_return_type`. */
  ResultKind
} from "./internal/helpers/row.ts"

// The compiler checks here that the table has every name of the kernel's list, and no other.
const rows: { readonly [N in HelperName]: Row } = {
  ...common,
  ...tracing,
  ...objects,
  ...packets,
  ...sockets,
  ...hooks
}

/** `"const void *key"` as type and name. */
const declaration = (text: string): { readonly type: string; readonly name: string } => {
  const name = /\w+$/.exec(text)?.[0] ?? ""
  return { name, type: text.slice(0, text.length - name.length).trim() }
}

const argument = (text: string): Argument => {
  const [word = "", ...rest] = text.split(" ")
  const [, kind, orNull, size] = /^(\w+?)(OrNull)?(?::(\d+))?$/.exec(word) ?? []
  return {
    ...declaration(rest.join(" ")),
    kind: kind as ArgumentKind,
    nullable: orNull !== undefined,
    size: size === undefined ? undefined : Number(size)
  }
}

const make = (name: HelperName): Helper => {
  const { marks, returns, since, takes, text } = rows[name]
  const [kind, ...type] = returns.split(" ")
  const id = bpf_func_id[`BPF_FUNC_${name}`]
  return {
    name,
    id,
    description: text,
    since,
    gplOnly: marks.includes("gpl"),
    programTypes: callersOf(id),
    arguments: takes.map(argument),
    variadic: marks.includes("variadic"),
    returns: { kind: kind as ResultKind, type: type.join(" ") },
    movesPacket: marks.includes("movesPacket"),
    sleeps: marks.includes("sleeps")
  }
}

/** By id, made when they are first asked for: most programs need few of them. */
let made: ReadonlyArray<Helper> | undefined
let byName: ReadonlyMap<string, Helper> | undefined

/** Every helper, in the order of their ids: the first has id 1. */
export const all = (): ReadonlyArray<Helper> =>
  made ??= (Object.keys(rows) as Array<HelperName>).map(make).toSorted((a, b) => a.id - b.id)

/** The helper with a name that is known to be one. */
export const get = (name: HelperName): Helper => Option.getOrThrow(fromName(name))

/** The helper with a name, with or without `bpf_`. */
export const fromName = (name: string): Option.Option<Helper> => {
  byName ??= new Map(all().map((helper) => [helper.name, helper]))
  return Option.fromNullishOr(byName.get(name.replace(/^bpf_/, "")))
}

/** The helper with an id. */
export const fromId = (id: number): Option.Option<Helper> => Option.fromNullishOr(all()[id - 1])

/**
 * Whether a type of program may call it, in at least some of its attach types. `ext` programs may call what the program
 * that they replace may: true here.
 */
export const isCallableFrom = (helper: Helper, programType: ProgramType): boolean =>
  programType === "ext" || availability(helper.id, { type: programType }) !== undefined

/**
 * The oldest of the kernels asked (5.10, 6.1, 6.12, 6.18, 7.3) that offers it to a kind of program; none for a kind that
 * may not call it. Those before it may have been asked in vain, or be older than the kind itself.
 *
 * @example
 * ```ts
 * import { Helper } from "effect-ebpf"
 *
 * Helper.callableSince(Helper.get("get_socket_cookie"), { type: "xdp" }) // none
 * Helper.callableSince(Helper.get("bind"), { type: "cgroup_sock_addr", attachType: "cgroup_inet4_connect" }) // "5.10"
 * ```
 */
export const callableSince = (helper: Helper, caller: Caller): Option.Option<ProbedVersion> =>
  Option.map(Option.fromNullishOr(availability(helper.id, caller)), ({ since }) => since)

const declared = (type: string, name: string): string => type.endsWith("*") ? `${type}${name}` : `${type} ${name}`

/** Its declaration in C. */
export const signature = (helper: Helper): string => {
  const list = helper.arguments.map(({ name, type }) => declared(type, name))
  const all = helper.variadic ? [...list, "..."] : list
  return `${declared(helper.returns.type, `bpf_${helper.name}`)}(${all.length === 0 ? "void" : all.join(", ")})`
}
