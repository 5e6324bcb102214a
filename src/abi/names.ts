// The UAPI's names without their prefix and in lower case, as bpftool prints them: `"hash"` for BPF_MAP_TYPE_HASH.
import { bpf_attach_type, bpf_cmd, bpf_map_type, bpf_prog_type } from "./generated/enums.ts"

type Short<Enum, Prefix extends string> = {
  [K in keyof Enum & string]: K extends `${Prefix}${infer Rest}` ? Rest extends `_${string}` ? never : Lowercase<Rest>
    : never
}[keyof Enum & string]

const shorten = <Enum extends { readonly [name: string]: number }, const Prefix extends string>(
  values: Enum,
  prefix: Prefix
): { readonly [K in Short<Enum, Prefix>]: number } =>
  Object.fromEntries(
    Object.entries(values)
      .filter(([name]) => name.startsWith(prefix) && !name.startsWith(`${prefix}_`))
      .map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value])
  ) as { readonly [K in Short<Enum, Prefix>]: number }

/** The kinds of map, by bpftool's names. */
export type MapType = Exclude<Short<typeof bpf_map_type, "BPF_MAP_TYPE_">, "unspec">
/** The types of program, by bpftool's names. */
export type ProgramType = Exclude<Short<typeof bpf_prog_type, "BPF_PROG_TYPE_">, "unspec">

/** The ways to attach that a program can be made for: `"trace_fentry"` for BPF_TRACE_FENTRY. */
export type AttachType = Short<typeof bpf_attach_type, "BPF_">

export const mapTypes: { readonly [K in MapType]: number } = shorten(bpf_map_type, "BPF_MAP_TYPE_")
export const programTypes: { readonly [K in ProgramType]: number } = shorten(bpf_prog_type, "BPF_PROG_TYPE_")
export const attachTypes: { readonly [K in AttachType]: number } = shorten(bpf_attach_type, "BPF_")

const commandNames = new Map<number, string>()
// Old spellings of a number stand after the current one in the enum.
for (const [name, value] of Object.entries(bpf_cmd)) if (!commandNames.has(value)) commandNames.set(value, name)

/** The name of a `bpf_cmd`, such as `"BPF_MAP_CREATE"`. */
export const commandName = (command: number): string => commandNames.get(command) ?? `command ${command}`
