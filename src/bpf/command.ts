// bpf(2), whatever the command: which attribute each takes and what it gives, and the one way in which all are called. The
// files beside this one have a function for each command.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_cmd } from "../abi/generated/enums.ts"
import * as attrs from "../abi/generated/structs.ts"
import { type FieldValue, fill, readNumber, type StructLayout } from "../kernel/attribute.ts"
import type { FeatureName } from "../kernel/Features.ts"
import type { Block, KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import {
  acquireBlock,
  acquireDescriptor,
  type Call,
  charged,
  type Descriptor,
  run,
  withLocalScope
} from "../kernel/systemCall.ts"

/** What a command is. */
interface CommandFacts {
  readonly attr: StructLayout
  /** True if its result is a new descriptor. */
  readonly gives?: "descriptor"
  /** True if it takes memory that kernels before 5.11 charge to RLIMIT_MEMLOCK. */
  readonly charged?: true
  /** The last field that the kernel writes: at least so much is passed. */
  readonly writes?: string
}

const byId = { attr: attrs.bpf_attr_get_id, gives: "descriptor" } as const
const nextId = { attr: attrs.bpf_attr_get_id, writes: "next_id" } as const
const element = { attr: attrs.bpf_attr_map_elem } as const
const batch = { attr: attrs.bpf_attr_batch } as const

/** All commands, by their names. */
export const commands = {
  BPF_MAP_CREATE: { attr: attrs.bpf_attr_map_create, gives: "descriptor", charged: true },
  BPF_MAP_LOOKUP_ELEM: element,
  BPF_MAP_UPDATE_ELEM: element,
  BPF_MAP_DELETE_ELEM: element,
  BPF_MAP_GET_NEXT_KEY: element,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM: element,
  BPF_MAP_FREEZE: element,
  BPF_MAP_LOOKUP_BATCH: batch,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH: batch,
  BPF_MAP_UPDATE_BATCH: batch,
  BPF_MAP_DELETE_BATCH: batch,
  BPF_PROG_LOAD: { attr: attrs.bpf_attr_prog_load, gives: "descriptor", charged: true },
  BPF_PROG_TEST_RUN: { attr: attrs.bpf_attr_test, writes: "duration" },
  BPF_PROG_ATTACH: { attr: attrs.bpf_attr_prog_attach },
  BPF_PROG_DETACH: { attr: attrs.bpf_attr_prog_attach },
  BPF_PROG_QUERY: { attr: attrs.bpf_attr_query, writes: "count" },
  BPF_PROG_BIND_MAP: { attr: attrs.bpf_attr_prog_bind_map },
  BPF_BTF_LOAD: { attr: attrs.bpf_attr_btf_load, gives: "descriptor", charged: true },
  BPF_LINK_CREATE: { attr: attrs.bpf_attr_link_create, gives: "descriptor" },
  BPF_LINK_UPDATE: { attr: attrs.bpf_attr_link_update },
  BPF_LINK_DETACH: { attr: attrs.bpf_attr_link_detach },
  BPF_RAW_TRACEPOINT_OPEN: { attr: attrs.bpf_attr_raw_tracepoint, gives: "descriptor" },
  BPF_ITER_CREATE: { attr: attrs.bpf_attr_iter_create, gives: "descriptor" },
  BPF_OBJ_PIN: { attr: attrs.bpf_attr_obj },
  BPF_OBJ_GET: { attr: attrs.bpf_attr_obj, gives: "descriptor" },
  BPF_OBJ_GET_INFO_BY_FD: { attr: attrs.bpf_attr_info },
  BPF_MAP_GET_FD_BY_ID: byId,
  BPF_PROG_GET_FD_BY_ID: byId,
  BPF_BTF_GET_FD_BY_ID: byId,
  BPF_LINK_GET_FD_BY_ID: byId,
  BPF_MAP_GET_NEXT_ID: nextId,
  BPF_PROG_GET_NEXT_ID: nextId,
  BPF_BTF_GET_NEXT_ID: nextId,
  BPF_LINK_GET_NEXT_ID: nextId,
  BPF_TASK_FD_QUERY: { attr: attrs.bpf_attr_task_fd_query, writes: "probe_addr" },
  BPF_ENABLE_STATS: { attr: attrs.bpf_attr_enable_stats, gives: "descriptor" },
  BPF_TOKEN_CREATE: { attr: attrs.bpf_attr_token_create, gives: "descriptor" }
} as const satisfies { readonly [Name in keyof typeof bpf_cmd]?: CommandFacts }

/** The commands that this library makes. */
export type Command = keyof typeof commands

type Attr<C extends Command> = typeof commands[C]["attr"]

/** Bytes that a field of a command points to: copied for the call, and gone after it. */
export class Pointed {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** A pointer to bytes that the kernel only reads. */
export const pointTo = (bytes: Uint8Array): Pointed => new Pointed(bytes)

/** A pointer to a C string. */
export const pointToText = (text: string): Pointed => new Pointed(new TextEncoder().encode(`${text}\0`))

/** A command's fields, by their UAPI names; those left out are zero. */
export type Fields<C extends Command> = {
  readonly [K in keyof Attr<C>["fields"]]?: FieldValue | Pointed | undefined
}

/** What a call is for, beside its command. */
export interface Purpose {
  readonly subject?: string | undefined
  readonly features?: ReadonlyArray<FeatureName> | undefined
}

/** What a command is called in an error. */
export const callOf = (command: Command, { features, subject }: Purpose = {}): Call => ({
  call: "bpf",
  command,
  ...(subject === undefined ? {} : { subject }),
  ...(features === undefined ? {} : { features })
})

/** A command with its attribute in memory, to be called as often as need be. */
export interface Prepared<C extends Command> {
  readonly attr: Block
  /** Its result, or `-errno`. */
  readonly call: () => number
  /** What the kernel wrote into a field. */
  readonly read: (field: keyof Attr<C>["fields"] & string) => number
}

/** Fills a command's attribute. Its memory, and that of what it points to, is freed with the scope. */
export const prepare = <C extends Command>(
  kernel: KernelService,
  command: C,
  fields: Fields<C>
): Effect.Effect<Prepared<C>, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const facts: CommandFacts = commands[command]
    const values: Record<string, FieldValue | undefined> = {}
    for (const [name, value] of Object.entries<FieldValue | Pointed | undefined>(fields)) {
      if (value instanceof Pointed) {
        const block = yield* acquireBlock(kernel, Math.max(8, value.bytes.length))
        block.bytes.set(value.bytes)
        values[name] = block
      } else values[name] = value
    }
    const attr = yield* acquireBlock(kernel, facts.attr.size)
    const written = facts.writes === undefined ? undefined : facts.attr.fields[facts.writes]!
    const size = Math.max(fill(attr, facts.attr, values), written === undefined ? 0 : written.offset + written.size)
    const number = bpf_cmd[command]
    const call = (): number => kernel.bpf.call(number, attr, size)
    return {
      attr,
      call: facts.charged === true ? charged(kernel, call) : call,
      read: (field) => readNumber<StructLayout>(attr, facts.attr, field)
    }
  })

/** Makes a call, and reads what it wrote. */
export const performAndRead = <C extends Command, A>(
  kernel: KernelService,
  command: C,
  fields: Fields<C>,
  purpose: Purpose,
  read: (prepared: Prepared<C>, result: number) => A
): Effect.Effect<A, SystemCallError> =>
  Effect.scoped(
    Effect.flatMap(
      prepare(kernel, command, fields),
      (prepared) => Effect.map(run(kernel, callOf(command, purpose), prepared.call), (result) => read(prepared, result))
    )
  )

/** Makes a call that gives nothing back. */
export const perform = <C extends Command>(
  kernel: KernelService,
  command: C,
  fields: Fields<C>,
  purpose: Purpose
): Effect.Effect<void, SystemCallError> => performAndRead(kernel, command, fields, purpose, () => undefined)

type Giving = { [C in Command]: typeof commands[C] extends { readonly gives: "descriptor" } ? C : never }[Command]

/**
 * Makes a call whose result is a descriptor, which is closed with the scope. `around` may make it more than once, and read
 * what the kernel wrote of one that failed.
 */
export const acquire = <C extends Giving>(
  kernel: KernelService,
  command: C,
  fields: Fields<C>,
  purpose: Purpose,
  around: (prepared: Prepared<C>) => () => number = (prepared) => prepared.call
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  withLocalScope((owner) =>
    Effect.flatMap(
      prepare(kernel, command, fields),
      (prepared) => Scope.provide(acquireDescriptor(kernel, callOf(command, purpose), around(prepared)), owner)
    )
  )
