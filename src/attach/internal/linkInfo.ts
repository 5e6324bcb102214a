// What the kernel tells of a link: its program, and where that is attached, in the fields that its type has.
import * as Effect from "effect/Effect"
import { bpf_link_type, bpf_perf_event_type } from "../../abi/generated/enums.ts"
import { bpf_link_info } from "../../abi/generated/structs.ts"
import { type ObjectInfo, readObjectInfo } from "../../bpf/objectInfo.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { acquireBlock } from "../../kernel/systemCall.ts"

type Short<Enum, Prefix extends string> = {
  [K in keyof Enum & string]: K extends `${Prefix}${infer Rest}` ? Lowercase<Rest> : never
}[keyof Enum & string]

/** The types of link, by bpftool's names. */
export type LinkType = Exclude<Short<typeof bpf_link_type, "BPF_LINK_TYPE_">, "unspec">

/** What the kernel says of a link. */
export interface Info {
  /** Unique among all links of the system; never used again soon. */
  readonly id: number
  /** The name of its type, or the number of one that is newer than this library. */
  readonly type: LinkType | number
  /** The id of its program. */
  readonly programId: number
  /**
   * Where it is attached, by the UAPI's names of the fields that the type has in `struct bpf_link_info`: `ifindex` of an
   * `xdp` link, `cgroup_id` and `attach_type` of a `cgroup` one. Zeros where the kernel is too old to tell, and after
   * `Link.detach`.
   */
  readonly place: { readonly [field: string]: number | bigint | string }
}

const names = (values: { readonly [name: string]: number }, prefix: string): ReadonlyMap<number, string> =>
  new Map(
    Object.entries(values)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [value, name.slice(prefix.length).toLowerCase()])
  )

const typeNames = names(bpf_link_type, "BPF_LINK_TYPE_")
const eventNames = names(bpf_perf_event_type, "BPF_PERF_EVENT_")

/** Texts that the kernel writes where the struct points to, by the prefix of their fields: of the text, and its length. */
const texts: { readonly [prefix: string]: readonly [text: string, length: string] } = {
  "raw_tracepoint.": ["tp_name", "tp_name_len"],
  "iter.": ["target_name", "target_name_len"],
  "perf_event.kprobe.": ["func_name", "name_len"],
  "perf_event.uprobe.": ["file_name", "name_len"],
  "perf_event.tracepoint.": ["tp_name", "name_len"]
}

/** The fields of a perf event depend on what it is of. `kretprobe` and `uretprobe` have those of their sisters. */
const prefixOf = (type: string, event: number): string =>
  type === "perf_event" ? `perf_event.${(eventNames.get(event) ?? "").replace("ret", "")}.` : `${type}.`

type Field = keyof typeof bpf_link_info["fields"]

const fieldsOf = (prefix: string): ReadonlyArray<Field> =>
  (Object.keys(bpf_link_info.fields) as Array<Field>).filter((name) =>
    name.startsWith(prefix) && !name.slice(prefix.length).includes(".")
  )

/** Long enough for a path. */
const TEXT_SIZE = 4096

const decoder = new TextDecoder()

const textIn = (block: Block): string => decoder.decode(block.bytes.slice(0, Math.max(0, block.bytes.indexOf(0))))

const placeOf = (info: ObjectInfo<"link">, prefix: string, text: Block | undefined): Info["place"] => {
  const place: Record<string, number | bigint | string> = {}
  const [textField, lengthField] = texts[prefix] ?? []
  for (const field of fieldsOf(prefix)) {
    const name = field.slice(prefix.length)
    if (name === lengthField) continue
    if (name === textField) place[name] = text === undefined ? "" : textIn(text)
    else place[name] = bpf_link_info.fields[field].size === 8 ? info.bigint(field) : info.number(field)
  }
  return place
}

/** Reads the info of a link's descriptor. Where a text belongs to it, that is asked for by a second call. */
export const readInfo = (
  kernel: KernelService,
  fd: number,
  subject: string
): Effect.Effect<Info, SystemCallError> =>
  Effect.scoped(Effect.gen(function*() {
    const object = { fd, subject }
    const read = (prefix: string, text: Block | undefined) => (info: ObjectInfo<"link">): Info => ({
      id: info.number("id"),
      type: (typeNames.get(info.number("type")) as LinkType | undefined) ?? info.number("type"),
      programId: info.number("prog_id"),
      place: placeOf(info, prefix, text)
    })
    const first = yield* readObjectInfo(kernel, "link", object, (info) => {
      const prefix = prefixOf(typeNames.get(info.number("type")) ?? "", info.number("perf_event.type"))
      return { prefix, info: read(prefix, undefined)(info) }
    })
    const textFields = texts[first.prefix]
    if (textFields === undefined) return first.info
    const text = yield* acquireBlock(kernel, TEXT_SIZE)
    const [textField, lengthField] = textFields.map((name) => `${first.prefix}${name}` as Field)
    const given = { [textField!]: text, [lengthField!]: TEXT_SIZE }
    return yield* readObjectInfo(kernel, "link", object, read(first.prefix, text), given)
  }))

/** Refuses descriptors of other objects: the kernel would fill the struct of whatever it is. */
export const checkIsLink = (kernel: KernelService, fd: number): Effect.Effect<void, InvalidArgument> =>
  Effect.suspend(() => {
    const lines = kernel.files.read(`/proc/self/fdinfo/${fd}`)
    if (typeof lines === "number" || /^link_id:/m.test(decoder.decode(lines))) return Effect.void
    return Effect.fail(
      new InvalidArgument({ field: "fd", expected: "a descriptor of a link", actual: "one of another object" })
    )
  })
