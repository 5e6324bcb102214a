// Writes src/abi/generated/ from a kernel's BTF, with the project's own parser, so that no number of the kernel's ABI is
// typed by hand where the kernel itself can tell it.
//
//   generate-abi.ts [--btf FILE] [--release X.Y]   writes the files
//   generate-abi.ts --check                        fails if writing would change them
//
// BTF does not hold preprocessor macros; those few stand in src/abi/ by hand, each with its source.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { release } from "node:os"
import { parseArgs } from "node:util"
import * as Btf from "../src/btf/Btf.ts"
import type { Enum, Enum64, Member } from "../src/btf/BtfType.ts"

const { values: options } = parseArgs({
  options: { btf: { type: "string" }, release: { type: "string" }, check: { type: "boolean", default: false } }
})
const directory = new URL("../src/abi/generated/", import.meta.url)
const series = (options.release ?? release()).split(".").slice(0, 2).join(".")

/** Named enums of the UAPI. */
const enums = [
  "bpf_cmd",
  "bpf_map_type",
  "bpf_prog_type",
  "bpf_attach_type",
  "bpf_link_type",
  "bpf_perf_event_type",
  "bpf_stats_type",
  "bpf_func_id",
  "bpf_ret_code",
  "bpf_core_relo_kind",
  "bpf_task_fd_type",
  "tcx_action_base",
  "xdp_action",
  "sk_action",
  "perf_type_id",
  "perf_hw_id",
  "perf_sw_ids",
  "perf_event_sample_format",
  "perf_event_read_format",
  "perf_event_type",
  "perf_event_ioc_flags",
  "fsconfig_command"
]

/** Anonymous enums of the UAPI: a name of ours, and the first name in each that finds it. */
const anonymousEnums: Readonly<Record<string, string>> = {
  bpf_map_update_flags: "BPF_ANY",
  bpf_map_create_flags: "BPF_F_NO_PREALLOC",
  bpf_ringbuf_flags: "BPF_RB_NO_WAKEUP",
  bpf_ringbuf_query: "BPF_RB_AVAIL_DATA",
  bpf_ringbuf_header: "BPF_RINGBUF_BUSY_BIT",
  bpf_stack_flags: "BPF_F_SKIP_FIELD_MASK",
  bpf_perf_event_output_flags: "BPF_F_INDEX_MASK",
  bpf_redirect_flags: "BPF_F_INGRESS",
  bpf_skb_store_bytes_flags: "BPF_F_RECOMPUTE_CSUM",
  bpf_timer_flags: "BPF_F_TIMER_ABS",
  btf_kind: "BTF_KIND_UNKN"
}

const structs = [
  "bpf_map_info",
  "bpf_prog_info",
  "bpf_btf_info",
  "bpf_link_info",
  "bpf_func_info",
  "bpf_line_info",
  "perf_event_attr",
  "epoll_event",
  "xdp_md",
  "__sk_buff",
  "bpf_sock",
  "bpf_tcp_sock",
  "bpf_sock_tuple",
  "bpf_sock_addr",
  "bpf_sock_ops",
  "sk_msg_md",
  "sk_reuseport_md",
  "bpf_sysctl",
  "bpf_sockopt",
  "bpf_cgroup_dev_ctx",
  "bpf_sk_lookup",
  "bpf_flow_keys",
  "bpf_nf_ctx"
]

/** The parts of `union bpf_attr`: our name for each, and the member (or first member, of an anonymous part) that finds it. */
const attrs: Readonly<Record<string, string>> = {
  bpf_attr_map_create: "map_type",
  bpf_attr_map_elem: "map_fd",
  bpf_attr_batch: "batch",
  bpf_attr_prog_load: "prog_type",
  bpf_attr_obj: "pathname",
  bpf_attr_prog_attach: "target_fd",
  bpf_attr_test: "test",
  bpf_attr_get_id: "start_id",
  bpf_attr_info: "info",
  bpf_attr_query: "query",
  bpf_attr_raw_tracepoint: "raw_tracepoint",
  bpf_attr_btf_load: "btf",
  bpf_attr_task_fd_query: "task_fd_query",
  bpf_attr_link_create: "link_create",
  bpf_attr_link_update: "link_update",
  bpf_attr_link_detach: "link_detach",
  bpf_attr_enable_stats: "enable_stats",
  bpf_attr_iter_create: "iter_create",
  bpf_attr_prog_bind_map: "prog_bind_map",
  bpf_attr_token_create: "token_create"
}

const btf = Result.getOrThrow(Btf.parse(readFileSync(options.btf ?? "/sys/kernel/btf/vmlinux")))

const banner =
  `// Generated from the BTF of Linux ${series} by scripts/generate-abi.ts. Do not edit: run \`npm run generate\`.\n`

// ---------------------------------------------------------------- enums

const enumSource = (name: string, type: Enum | Enum64): string => {
  const values = type.values.map((v) => `  ${v.name}: ${v.value}${typeof v.value === "bigint" ? "n" : ""}`)
  return `export const ${name} = {\n${values.join(",\n")}\n} as const\n`
}

const isEnum = (type: { readonly _tag: string }): type is Enum | Enum64 =>
  type._tag === "Enum" || type._tag === "Enum64"

const namedEnum = (name: string): Enum | Enum64 => {
  const ids = [...Btf.idsByName(btf, name, "Enum"), ...Btf.idsByName(btf, name, "Enum64")]
  const type = Option.getOrUndefined(Btf.type(btf, ids[0] ?? 0))
  if (type === undefined || !isEnum(type)) throw new Error(`no enum ${name} in the BTF`)
  return type
}

const anonymousEnum = (first: string): Enum | Enum64 => {
  for (const [, type] of Btf.types(btf)) {
    if (isEnum(type) && type.name === "" && type.values[0]?.name === first) return type
  }
  throw new Error(`no anonymous enum that begins with ${first} in the BTF`)
}

const enumsSource = [
  banner,
  ...enums.map((name) => enumSource(name, namedEnum(name))),
  ...Object.entries(anonymousEnums).map(([name, first]) => enumSource(name, anonymousEnum(first)))
].join("\n")

// ---------------------------------------------------------------- structs

interface Place {
  readonly name: string
  readonly bitOffset: number
  readonly size: number
  readonly bits: number
}

/** Members of a struct with their places: anonymous parts are flattened as C does, named ones get a dotted path. */
const placesOf = (id: number, prefix: string, base: number): ReadonlyArray<Place> => {
  const [, type] = Result.getOrThrow(Btf.resolve(btf, id))
  if (type._tag !== "Struct" && type._tag !== "Union") throw new Error(`type ${id} is a ${type._tag}`)
  return type.members.flatMap((member: Member) => {
    const bitOffset = base + member.bitOffset
    const size = Result.getOrThrow(Btf.sizeOf(btf, member.type))
    const [, inner] = Result.getOrThrow(Btf.resolve(btf, member.type))
    const name = prefix === "" || member.name === "" ? prefix + member.name : `${prefix}.${member.name}`
    const isPart = inner._tag === "Struct" || inner._tag === "Union"
    // An unnamed bit-field is padding.
    if (member.name === "" && !isPart) return []
    const nested = isPart ? placesOf(member.type, name, bitOffset) : []
    return member.name === "" || isPart ? nested : [{ name, bitOffset, size, bits: member.bitfieldSize }]
  })
}

const placeSource = ({ bitOffset, bits, name, size }: Place): string => {
  const key = /^\w+$/.test(name) ? name : JSON.stringify(name)
  if (bits === 0) return `    ${key}: { offset: ${bitOffset / 8}, size: ${size} }`
  const unit = Math.floor(bitOffset / (size * 8)) * size
  return `    ${key}: { offset: ${unit}, size: ${size}, shift: ${bitOffset - unit * 8}, bits: ${bits} }`
}

const structSource = (name: string, id: number): string => {
  const fields = placesOf(id, "", 0).map(placeSource)
  const size = Result.getOrThrow(Btf.sizeOf(btf, id))
  return `export const ${name} = {\n  size: ${size},\n  fields: {\n${fields.join(",\n")}\n  }\n} as const\n`
}

const structId = (name: string): number => {
  const id = Btf.idsByName(btf, name, "Struct")[0]
  if (id === undefined) throw new Error(`no struct ${name} in the BTF`)
  return id
}

const attrId = (first: string): number => {
  const attr = Option.getOrThrow(Btf.type(btf, Btf.idsByName(btf, "bpf_attr", "Union")[0] ?? 0))
  if (attr._tag !== "Union") throw new Error("bpf_attr is no union")
  const part = attr.members.find((m) => {
    if (m.name !== "") return m.name === first
    return placesOf(m.type, "", 0)[0]?.name === first
  })
  if (part === undefined) throw new Error(`no part of bpf_attr for ${first}`)
  return part.type
}

const structsSource = [
  banner,
  ...Object.entries(attrs).map(([name, first]) => structSource(name, attrId(first))),
  ...structs.map((name) => structSource(name, structId(name)))
].join("\n")

// ---------------------------------------------------------------- write or check

const files = { "enums.ts": enumsSource, "structs.ts": structsSource }

const check = (name: string, source: string): boolean => {
  const present = readFileSync(new URL(name, directory), "utf8")
  if (present === source) return true
  console.error(`src/abi/generated/${name} differs from what this kernel's BTF gives: run \`npm run generate\``)
  return false
}

if (options.check) {
  const from = /of Linux (\S+) by/.exec(readFileSync(new URL("enums.ts", directory), "utf8"))?.[1]
  if (from !== series) {
    console.log(`generated code: not compared, it was made from Linux ${from} and this kernel is ${series}`)
  } else if (!Object.entries(files).map(([name, source]) => check(name, source)).every(Boolean)) {
    process.exitCode = 1
  } else {
    console.log(`generated code: as this kernel's BTF (Linux ${series}) gives it`)
  }
} else {
  mkdirSync(directory, { recursive: true })
  for (const [name, source] of Object.entries(files)) writeFileSync(new URL(name, directory), source)
}
