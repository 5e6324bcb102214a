// BPF_OBJ_GET_INFO_BY_FD: what the kernel tells of an object, as the struct of its kind.
import * as Effect from "effect/Effect"
import * as structs from "../abi/generated/structs.ts"
import { type FieldValue, fill, readNumber, readText, type StructLayout } from "../kernel/attribute.ts"
import type { Block, KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import { acquireBlock } from "../kernel/systemCall.ts"
import { performAndRead } from "./command.ts"

const layouts = {
  map: structs.bpf_map_info,
  program: structs.bpf_prog_info,
  btf: structs.bpf_btf_info,
  link: structs.bpf_link_info
} as const

type Kind = keyof typeof layouts
type Field<K extends Kind> = keyof typeof layouts[K]["fields"] & string

/** The answer, to be read while the call's memory is there. */
export interface ObjectInfo<K extends Kind> {
  /** How many bytes the kernel wrote: what lies beyond is zero, since an older kernel does not know it. */
  readonly length: number
  readonly block: Block
  readonly number: (field: Field<K>) => number
  /** A field of 64 bits. */
  readonly bigint: (field: Field<K>) => bigint
  readonly text: (field: Field<K>) => string
}

/**
 * Asks for the info of a descriptor. Where the struct points to arrays or texts, `given` has blocks for them and their
 * sizes. The kernel looks at the object, not at `kind`: whoever has a descriptor of unknown origin checks that first.
 */
export const readObjectInfo = <K extends Kind, A>(
  kernel: KernelService,
  kind: K,
  object: { readonly fd: number; readonly subject: string },
  read: (info: ObjectInfo<K>) => A,
  given: { readonly [F in Field<K>]?: FieldValue | undefined } = {}
): Effect.Effect<A, SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const layout: StructLayout = layouts[kind]
    const block = yield* acquireBlock(kernel, layout.size)
    fill(block, layout, given as Record<string, FieldValue | undefined>)
    const fields = { bpf_fd: object.fd, info_len: layout.size, info: block }
    const length = yield* performAndRead(
      kernel,
      "BPF_OBJ_GET_INFO_BY_FD",
      fields,
      { subject: object.subject },
      (call) => call.read("info_len")
    )
    return read({
      length,
      block,
      number: (field) => readNumber<StructLayout>(block, layout, field),
      bigint: (field) => block.view.getBigUint64(layout.fields[field]!.offset, true),
      text: (field) => readText<StructLayout>(block, layout, field)
    })
  }))
