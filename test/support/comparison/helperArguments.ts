// What the row "helper results" calls each helper with. What one of them gives that is no two kernels' business (time, chance,
// identities, addresses) is hidden: only whether there is something is compared.
import type { HelperName } from "../../../src/isa/Helper.ts"
import { call, copy, exit, instruction, joined, mapInto, set, storeDouble } from "./bench.ts"
import { type MapName, mapNames, u32, u64 } from "./helperMaps.ts"
import type { ResultBench } from "./helperResults.ts"
import { frames } from "./testRuns.ts"
import * as Helper from "../../../src/isa/Helper.ts"

/** What goes into a register. */
export type Argument =
  | { readonly number: bigint }
  /** An offset in the program's memory. */
  | { readonly memory: number }
  /** So far below the top of the stack. */
  | { readonly stack: number }
  | { readonly map: MapName }
  /** A text in a map that is read-only. */
  | { readonly constant: string }
  | { readonly register: number }
  /** The function behind the program. */
  | { readonly function: true }

export interface Call {
  readonly name: string
  readonly helper: HelperName
  readonly args: ReadonlyArray<Argument>
  readonly data?: Uint8Array
  /** What is in the program's memory. */
  readonly memory?: ReadonlyArray<readonly [offset: number, bytes: Uint8Array]>
  /** Instructions before the arguments; r6 has the context, r7 and r8 are free. */
  readonly before?: (side: ResultBench) => Uint8Array
  /** Instructions after the call, in place of those that keep the result. */
  readonly after?: (side: ResultBench) => Uint8Array
  readonly function?: (side: ResultBench) => Uint8Array
  readonly hides?: ReadonlyArray<"result">
  /** Where the program's memory has an address, which is each kernel's own. */
  readonly forgets?: number
}

type Made = Omit<Call, "helper" | "name"> & { readonly name?: string }

const n = (number: number | bigint): Argument => ({ number: BigInt(number) })
const at = (memory: number): Argument => ({ memory })
const map = (name: MapName): Argument => ({ map: name })
const context: Argument = { register: 6 }
const NULL = n(0)

const shown = (argument: Argument): string => {
  if ("number" in argument) return String(argument.number)
  if ("memory" in argument) return `memory+${argument.memory}`
  if ("stack" in argument) return `stack-${argument.stack}`
  if ("map" in argument) return argument.map
  if ("constant" in argument) return JSON.stringify(argument.constant)
  if ("register" in argument) return argument.register === 6 ? "context" : `r${argument.register}`
  return "function"
}

const product = (...lists: ReadonlyArray<ReadonlyArray<Argument>>): ReadonlyArray<ReadonlyArray<Argument>> =>
  lists.reduce<ReadonlyArray<ReadonlyArray<Argument>>>(
    (made, list) => made.flatMap((before) => list.map((each) => [...before, each])),
    [[]]
  )

const each = (...lists: ReadonlyArray<ReadonlyArray<Argument>>): ReadonlyArray<Made> =>
  product(...lists).map((args) => ({ args }))

const numbers = (...values: ReadonlyArray<number | bigint>): ReadonlyArray<Argument> => values.map(n)

/** Where helpers write, and where they read: what stands there is told by `memory`. */
const OUT = 64
const IN = 1600
const IN_2 = 2400
const KEY = 3200
const VALUE = 3300

const pattern = (size: number, step = 7): Uint8Array =>
  Uint8Array.from({ length: size }, (_, i) => (i * step + 3) & 0xff)

/** Numbers at which sizes go wrong. */
const sizes = numbers(0, 1, 2, 3, 4, 7, 8, 16, 63, 64, 512, 1024, 4096, 65_536, 0xffffff, 0x1000000, 0x7fffffff, -1)
const offsets = numbers(
  0,
  1,
  12,
  14,
  23,
  24,
  34,
  50,
  85,
  86,
  98,
  99,
  100,
  101,
  0xfffe,
  0xffff,
  0x10000,
  0x7fffffff,
  -1,
  -4
)

const packets: ReadonlyArray<readonly [name: string, data: Uint8Array]> = [
  ["ipv4", frames["ipv4"]!(100)],
  ["ipv6", frames["ipv6"]!(100)],
  ["plain", frames["plain"]!(60)],
  ["vlan", frames["vlan"]!(100)],
  ["shortest", frames["plain"]!(14)],
  ["large", frames["ipv4"]!(1500)]
]

const onPackets = (made: ReadonlyArray<Made>, names = ["ipv4", "ipv6", "plain"]): ReadonlyArray<Made> =>
  packets.filter(([name]) => names.includes(name)).flatMap(([name, data]) =>
    made.map((one) => ({ ...one, data, name: `${one.name ?? one.args.map(shown).join(", ")}; ${name}` }))
  )

const keyed = (key: Uint8Array, value: bigint): Pick<Made, "memory"> => ({ memory: [[KEY, key], [VALUE, u64(value)]] })

const keys: ReadonlyArray<readonly [name: string, key: Uint8Array]> = [
  ["0", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0)],
  ["1", Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)],
  ["2", Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0)],
  ["3", Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0)],
  ["4", Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0)],
  ["1000", Uint8Array.of(0xe8, 3, 0, 0, 0, 0, 0, 0)],
  ["-1", Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0)],
  ["10.1.2.3/32", Uint8Array.of(32, 0, 0, 0, 10, 1, 2, 3)],
  ["10.1.2.0/24", Uint8Array.of(24, 0, 0, 0, 10, 1, 2, 0)],
  ["10.0.0.0/8", Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0)],
  ["11.0.0.0/33", Uint8Array.of(33, 0, 0, 0, 11, 0, 0, 0)]
]

const onKeys = (args: ReadonlyArray<ReadonlyArray<Argument>>): ReadonlyArray<Made> =>
  args.flatMap((list) =>
    keys.map(([name, key]) => ({
      args: list,
      name: `${list.map(shown).join(", ")}; key ${name}`,
      ...keyed(key, 777n)
    }))
  )

const maps = mapNames.map(map)
const redirects: ReadonlyArray<MapName> = ["devmap", "devmap of 8", "devmap_hash", "cpumap", "xskmap"]

const text = (text: string): Uint8Array => Buffer.from(text, "latin1")

const numerals = [
  "0",
  "1",
  "-1",
  "+1",
  "42",
  " 42",
  "\t\n 42",
  "42 ",
  "042",
  "08",
  "0x2a",
  "0X2A",
  "0x",
  "0xg",
  "-0x10",
  "- 1",
  "--1",
  "",
  "-",
  "+",
  " ",
  "abc",
  "12abc",
  "1e5",
  "9223372036854775807",
  "9223372036854775808",
  "-9223372036854775808",
  "-9223372036854775809",
  "18446744073709551615",
  "18446744073709551616",
  "99999999999999999999999",
  "0777",
  "7778",
  "ffffffffffffffff",
  "10000000000000000",
  "00000000000000000000001",
  "\x0b5",
  "\xa05",
  "1_000",
  "0b11",
  "0o17"
]

const parsing = numerals.flatMap((numeral) =>
  [
    ...numbers(0, 8, 10, 16).flatMap((base) => [[n(numeral.length + 1), base], [n(Math.max(1, numeral.length)), base]]),
    ...numbers(1, 2, 7, 36, 0x20, 0x10a, 2n ** 32n).map((base) => [n(numeral.length + 1), base]),
    [n(1), n(10)],
    [n(2), n(10)],
    [n(64), n(10)]
  ].map(([size, base]): Made => ({
    args: [at(IN), size!, base!, at(OUT)],
    memory: [[IN, new Uint8Array(64)], [IN, text(numeral)]],
    name: `${JSON.stringify(numeral)}, ${shown(size!)}, ${shown(base!)}`
  }))
)

const formats = [
  "",
  "plain",
  "%%",
  "100%%",
  "%",
  "%d%",
  "%d",
  "%i",
  "%u",
  "%x",
  "%X",
  "%o",
  "%c",
  "%s",
  "%p",
  "%px",
  "%pK",
  "%pB",
  "%ps",
  "%pS",
  "%pks",
  "%pus",
  "%pI4",
  "%pi4",
  "%pI6",
  "%pi6",
  "%pI",
  "%pI5",
  "%pM",
  "%p4",
  "%ld",
  "%li",
  "%lu",
  "%lx",
  "%lX",
  "%lld",
  "%llu",
  "%llx",
  "%llX",
  "%hd",
  "%hhd",
  "%zd",
  "%Lf",
  "%f",
  "%e",
  "%n",
  "%5d",
  "%-5d|",
  "%05d",
  "%+d",
  "% d",
  "%+5d",
  "%#x",
  "%5s|",
  "%-5s|",
  "%.3s",
  "%.3d",
  "%*d",
  "%08x",
  "%16llx",
  "%d %d",
  "%d %d %d",
  "%d%d%d%d",
  "a%cb",
  "%5c|",
  "%-3c|",
  "%l",
  "%ll",
  "%lld%%%s",
  "tab\tnew\nline",
  "\x01",
  "\x7f",
  "\x80",
  "\xff",
  "%d\x01",
  "%5%",
  "%-%",
  "%pI4 %s",
  "%s %pI4",
  "%20pI4|",
  "%10p|",
  "%3p|",
  "%x%%",
  "%%%d",
  "% %",
  "%d %",
  "%1000d",
  "%00d",
  "%+u",
  "% u",
  "%+x",
  "%0+5d",
  "%-05d|",
  "%0-5d|",
  "% 05d",
  "%lls",
  "%lc",
  "%lp",
  "%q",
  "%a",
  "%pU",
  "%pE"
]

const values: ReadonlyArray<readonly [name: string, bytes: ReadonlyArray<bigint>]> = [
  ["small", [5n, 6n, 7n, 8n]],
  ["negative", [-1n, -2n, -(2n ** 31n), 300n]],
  ["large", [2n ** 63n, 2n ** 32n + 1n, 0xdeadbeefcafen, 255n]],
  ["zeros", [0n, 0n, 0n, 0n]]
]

const words = (list: ReadonlyArray<bigint>): Uint8Array =>
  Uint8Array.from(list.flatMap((value) => [...u64(BigInt.asUintN(64, value))]))

/** How many values a format takes, as a rule. */
const takes = (format: string): number => (format.replaceAll("%%", "").match(/%/g) ?? []).length

/** Addresses are printed hashed, and each kernel has a key of its own: but for 0. */
const isHashed = (format: string): boolean => /%[0+\- ]*\d*pK?($|[^A-Za-z0-9])/.test(format)

/** The formats that print what an address has: numbers are none, and a hashed address is each kernel's own. */
const isAddress = (format: string): boolean => /%[0+\- #]*\d*l*(p|s)/.test(format)

const printing = formats.flatMap((format) =>
  values.filter(([name]) => name === "zeros" || (name === "small" ? !isHashed(format) : !isAddress(format))).flatMap((
    [name, list]
  ) =>
    [...new Set([takes(format), 0, 1, takes(format) + 1])].filter((count) => count <= 4).map((count) => ({
      format,
      count,
      list,
      name: `${JSON.stringify(format)}, ${count} values, ${name}`
    }))
  )
)

/** What there is at the addresses that formats name. */
const addresses: ReadonlyArray<readonly [name: string, bytes: Uint8Array]> = [
  ["127.0.0.1", Uint8Array.of(127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
  ["::", new Uint8Array(16)],
  ["::1", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)],
  ["2001:db8::", Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
  ["1:0:0:2::3", Uint8Array.of(0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3)],
  ["1:0:2:3:4:5:6:7", Uint8Array.of(0, 1, 0, 0, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7)],
  ["::ffff:1.2.3.4", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4)],
  ["a text", Uint8Array.from([...text("hello"), ...new Uint8Array(11)])]
]

const snprintf: ReadonlyArray<Made> = [
  ...printing.map(({ count, format, list, name }): Made => ({
    args: [at(OUT), n(64), { constant: `${format}\0` }, count === 0 ? NULL : at(IN), n(count * 8)],
    memory: [[IN, words(list)]],
    name
  })),
  ...[0, 1, 2, 3, 5, 6, 7, 64].flatMap((room) =>
    ["", "12345", "%d", "%s", "%5d"].map((format): Made => ({
      args: [room === 0 ? NULL : at(OUT), n(room), { constant: `${format}\0` }, at(IN), n(takes(format) * 8)],
      memory: [[IN, words([12345n])]],
      name: `room for ${room}, ${JSON.stringify(format)}`
    }))
  ),
  ...[1, 4, 7, 9, 12, 96, 97, 104].map((size): Made => ({
    args: [at(OUT), n(64), { constant: "%d\0" }, at(IN), n(size)],
    memory: [[IN, words([5n])]],
    name: `${size} bytes of values`
  })),
  ...["%d %d %d %d %d %d %d %d %d %d %d %d", "%d %d %d %d %d %d %d %d %d %d %d %d %d"].map((format): Made => ({
    args: [at(OUT), n(64), { constant: `${format}\0` }, at(IN), n(takes(format) * 8)],
    memory: [[IN, words(Array.from({ length: 13 }, (_, i) => BigInt(i)))]],
    name: `${takes(format)} values`
  })),
  ...["%pI4", "%pi4", "%pI6", "%pi6", "%s", "%5s|", "%20pI4|", "%pks", "[%pI4] %d"].flatMap((format) =>
    addresses.map(([name, bytes]): Made => ({
      // The address of the memory itself is the value.
      args: [at(OUT), n(64), { constant: `${format}\0` }, at(IN), n(takes(format) * 8)],
      memory: [[IN, words([0n, 9n])], [IN_2, bytes]],
      before: () => joined(copy(7, 9), instruction(0x07, 7, 0, IN_2), instruction(0x7b, 0x79, IN, 0)),
      name: `${JSON.stringify(format)} of ${name}`,
      forgets: IN
    }))
  )
]

const checksumSizes = [0, 1, 2, 3, 4, 5, 8, 12, 16, 20, 60, 64, 508, 512, 516]
const checksums: ReadonlyArray<Made> = checksumSizes.flatMap((from) =>
  checksumSizes.flatMap((to) =>
    [0n, 1n, 0xffffn, 0xffffffffn, 0x12345678n].map((seed): Made => ({
      args: [from === 0 ? NULL : at(IN), n(from), to === 0 ? NULL : at(IN_2), n(to), n(seed)],
      memory: [[IN, pattern(600)], [IN_2, pattern(600, 11)]]
    }))
  )
)

const replacing = (helper: "l3" | "l4"): ReadonlyArray<Made> => {
  const kinds = helper === "l3"
    ? numbers(0, 2, 4, 1, 3, 5, 8, 15, 0x10, 0x20)
    : numbers(
      0,
      2,
      4,
      1,
      8,
      0x10,
      0x12,
      0x14,
      0x20,
      0x22,
      0x24,
      0x40,
      0x42,
      0x60,
      0x62,
      0x64,
      0x80,
      0x84,
      0x94,
      0x100,
      0xf
    )
  return [
    ...each([context], numbers(24, 50), numbers(0, 0x1234, 0xffff, 0x12345678), numbers(0, 0x4321, 0x87654321n), kinds),
    ...each([context], offsets, numbers(0), numbers(7), numbers(0, 2, 4))
  ]
}

const stringsIn = [
  ["hello", 6],
  ["hello", 3],
  ["hello", 1],
  ["hello", 64],
  ["hellp", 6],
  ["hell", 6],
  ["", 1],
  ["", 8],
  ["\xff", 2],
  ["HELLO", 6]
] as const

/** A callback that counts in its context on the stack, and gives a number from then on. */
const counting = (result: number, from: number) => (): Uint8Array =>
  joined(
    instruction(0x79, 0x23, 0, 0), // r3 = *(u64 *)(r2 + 0)
    instruction(0x07, 3, 0, 1),
    instruction(0x7b, 0x32, 0, 0),
    set(0, 0),
    instruction(0xb5, 3, 1, from), // if r3 <= from, over the next
    set(0, result),
    exit
  )
const contextOnStack = () => storeDouble(10, -8, 0)

const dynptr = (size: number, dynptrFlags = 0) => (): Uint8Array =>
  joined(
    copy(1, 9),
    instruction(0x07, 1, 0, IN),
    set(2, size),
    set(3, dynptrFlags),
    copy(4, 10),
    instruction(0x07, 4, 0, -16),
    call(Helper.get("dynptr_from_mem").id)
  )
const onDynptr: Argument = { stack: 16 }

const table: { readonly [K in HelperName]?: () => ReadonlyArray<Made> } = {
  map_lookup_elem: () => onKeys(product(maps, [at(KEY)])),
  map_update_elem: () => onKeys(product(maps, [at(KEY)], [at(VALUE)], numbers(0, 1, 2, 3, 4, -1))),
  map_delete_elem: () => onKeys(product(maps, [at(KEY)])),
  map_lookup_percpu_elem: () => onKeys(product(maps, [at(KEY)], numbers(0, 1, 2, 64, 8192, 0xffffffffn, -1))),
  map_push_elem: () =>
    each(maps, [at(VALUE)], numbers(0, 1, 2, 3, 4, -1, 2n ** 32n)).map((made) => ({ ...made, ...keyed(u32(0), 777n) })),
  map_pop_elem: () => each(maps, [at(OUT)]),
  map_peek_elem: () => [
    ...each(maps, [at(OUT)]),
    ...[1n, 2n, 3n, 777n].map((value): Made => ({
      args: [map("bloom_filter"), at(VALUE)],
      memory: [[VALUE, u64(value)]],
      name: `the filter, ${value}`
    }))
  ],
  for_each_map_elem: () =>
    maps.flatMap((one) =>
      [
        ["stops at none", 0, 100, 0n],
        ["stops at the second", 1, 1, 0n],
        ["flags", 0, 0, 1n],
        ["flags", 0, 0, 2n ** 32n]
      ].map(([name, result, from, given]): Made => ({
        args: [one, { function: true }, { stack: 8 }, n(given as bigint)],
        before: contextOnStack,
        name: `${shown(one)}, ${name} ${given}`,
        function: () =>
          joined(
            instruction(0x79, 0x45, 0, 0), // r5 = *(u64 *)(r4 + 0): the context is the fourth
            instruction(0x07, 5, 0, 1),
            instruction(0x7b, 0x54, 0, 0),
            set(0, 0),
            instruction(0xb5, 5, 1, from as number),
            set(0, result as number),
            exit
          )
      }))
    ),
  redirect_map: () =>
    redirects.flatMap((name) =>
      each(
        [map(name)],
        numbers(0, 1, 2, 3, 4, 1000, 0xffffffffn, 2n ** 32n + 1n),
        numbers(0, 1, 2, 3, 4, 7, 8, 9, 0xb, 0x10, 0x18, 0x1b, 0x20, 0xff, -1, 2n ** 32n)
      )
    ),
  redirect: () => each(numbers(0, 1, 2, 1000, 0xffffffffn), numbers(0, 1, 2, 3, 8, -1, 2n ** 32n)),
  redirect_peer: () => each(numbers(0, 1, 1000), numbers(0, 1, 2, -1)),
  redirect_neigh: () =>
    each(numbers(0, 1, 1000), [at(IN), NULL], numbers(0, 4, 19, 20, 24, 64), numbers(0, 1, 2, -1)).map((made) => ({
      ...made,
      memory: [[IN, new Uint8Array(64)]]
    })),
  clone_redirect: () =>
    onPackets(each([context], numbers(0, 1, 2, 1000, 0xffffffffn), numbers(0, 1, 2, 3, -1)), [
      "ipv4",
      "plain",
      "shortest"
    ]),
  perf_event_output: () =>
    each(
      [context],
      [map("perf_event_array"), map("hash"), map("ringbuf")],
      numbers(0, 1, 2, 3, 0xffffffffn, 2n ** 32n, (20n << 32n) | 0xffffffffn, 2n ** 52n, -1),
      [at(IN)],
      numbers(0, 1, 8, 64, 512, 1024)
    ),
  trace_printk: () => [
    ...formats.flatMap((format) =>
      (isAddress(format) ? [[0n, 0n, 0n]] : [[5n, 6n, 7n], [-1n, 2n ** 63n, 300n]]).flatMap((list) =>
        [...new Set([format.length + 1, format.length, format.length - 1])].filter((size) => size > 0).map((
          size
        ): Made => ({
          args: [at(IN), n(size), ...list.map(n)],
          memory: [[IN, text(`${format}\0`)]],
          name: `${JSON.stringify(format)}, ${size}, ${list.join(", ")}`
        }))
      )
    )
  ],
  trace_vprintk: () =>
    printing.flatMap(({ count, format, list, name }): ReadonlyArray<Made> => [{
      args: [at(IN), n(format.length + 1), count === 0 ? NULL : at(IN_2), n(count * 8)],
      memory: [[IN, text(`${format}\0`)], [IN_2, words(list)]],
      name
    }]),
  snprintf: () => snprintf,
  strtol: () => parsing,
  strtoul: () => parsing,
  strncmp: () =>
    stringsIn.flatMap(([given, size]) =>
      ["hello", "hell", "hello!", "", "HELLO", "\xff", "z"].map((other): Made => ({
        args: [at(IN), n(size), { constant: `${other}\0` }],
        memory: [[IN, new Uint8Array(64)], [IN, text(given)]],
        name: `${JSON.stringify(given)}, ${size}, ${JSON.stringify(other)}`
      }))
    ),
  csum_diff: () => checksums,
  csum_update: () => each([context], numbers(0, 1, 0xffff, -1)),
  l3_csum_replace: () => onPackets(replacing("l3"), ["ipv4", "shortest"]),
  l4_csum_replace: () => onPackets(replacing("l4"), ["ipv4", "shortest"]),
  skb_load_bytes: () =>
    onPackets(each([context], offsets, [at(OUT), { stack: 128 }], numbers(0, 1, 2, 8, 63, 64, 512, 4096, -1)), [
      "ipv4",
      "plain"
    ]),
  skb_load_bytes_relative: () =>
    onPackets(each([context], offsets, [at(OUT)], numbers(1, 4, 20, 64, 86, 1024), numbers(0, 1, 2, 2n ** 32n, -1))),
  skb_store_bytes: () =>
    onPackets(
      each([context], offsets, [at(IN)], numbers(0, 1, 4, 64, 100, 1024, 65_536), numbers(0, 1, 2, 3, 4, -1)).map((
        made
      ) => ({
        ...made,
        memory: [[IN, pattern(128)]]
      })),
      ["ipv4", "plain"]
    ),
  skb_pull_data: () => onPackets(each([context], [...sizes, ...numbers(14, 34, 59, 60, 61, 99, 100, 101)])),
  skb_change_tail: () =>
    onPackets(
      each([context], [
        ...sizes,
        ...numbers(13, 14, 15, 33, 34, 35, 40, 54, 60, 100, 200, 3000, 15_000, 65_534, 65_535)
      ], numbers(0, 1, -1)),
      ["ipv4", "ipv6", "plain", "shortest"]
    ),
  skb_change_head: () =>
    onPackets(
      each(
        [context],
        [...sizes, ...numbers(14, 100, 1000, 65_000, 65_435, 65_436, 65_535, 0xffffff00n)],
        numbers(0, 1, -1)
      )
    ),
  skb_change_type: () => onPackets(each([context], numbers(0, 1, 2, 3, 4, 5, 6, 7, 8, -1, 2n ** 32n))),
  skb_adjust_room: () =>
    onPackets(
      each(
        [context],
        numbers(0, 1, 8, 20, 40, 100, 0xfff, 0x1000, -1, -8, -20, -46, -66, -86, -100, -0x1000),
        numbers(0, 1, 2, -1),
        numbers(0, 1, 2, 3, 4, 8, 0x10, 0x20, 0x40, 0x60, 0x100, 0xe00000000000002n, -1)
      ),
      ["ipv4", "ipv6", "plain"]
    ),
  skb_vlan_push: () =>
    onPackets(
      each([context], numbers(0, 0x0081, 0xa888, 0x8100, 0x88a8, 8, -1), numbers(0, 1, 5, 0xfff, 0x1000, 0xffff, -1)),
      ["ipv4", "vlan", "shortest"]
    ),
  skb_vlan_pop: () => onPackets(each([context]), ["ipv4", "ipv6", "plain", "vlan", "shortest", "large"]),
  skb_ecn_set_ce: () => onPackets(each([context])),
  skb_under_cgroup: () => each([context], [map("cgroup_array"), map("hash")], numbers(0, 1, 2, 100, -1)),
  get_route_realm: () => each([context]),
  check_mtu: () =>
    each([context], numbers(0, 1, 1000), [at(IN)], numbers(0, 4, -4, 65_000, -200, -1), numbers(0, 1, 2)).flatMap((
      made
    ) =>
      [0, 60, 1500, 70_000, -1].map((length): Made => ({
        ...made,
        memory: [[IN, u32(length)]],
        name: `${made.args.map(shown).join(", ")}; of ${length}`
      }))
    ),
  get_hash_recalc: () => onPackets(each([context])).map((made) => ({ ...made, hides: ["result"] })),
  set_hash: () => each([context], numbers(0, 1, 0xffffffffn, 2n ** 32n)),
  set_hash_invalid: () => each([context]),
  xdp_adjust_head: () =>
    onPackets(
      each(
        [context],
        numbers(
          0,
          1,
          -1,
          4,
          -4,
          14,
          40,
          45,
          46,
          47,
          60,
          86,
          87,
          99,
          100,
          101,
          -100,
          -215,
          -216,
          -217,
          -255,
          -256,
          -257,
          1500,
          0x7fffffff,
          -0x80000000n
        )
      ),
      [
        "ipv4",
        "plain",
        "shortest",
        "large"
      ]
    ),
  xdp_adjust_tail: () =>
    onPackets(
      each(
        [context],
        numbers(
          0,
          1,
          -1,
          4,
          14,
          -40,
          -45,
          -46,
          -47,
          -60,
          -86,
          -87,
          -100,
          100,
          1000,
          2000,
          3419,
          3420,
          3421,
          3460,
          3461,
          4000,
          0x7fffffff,
          -0x80000000n
        )
      ),
      [
        "ipv4",
        "plain",
        "shortest",
        "large"
      ]
    ),
  xdp_adjust_meta: () =>
    onPackets(
      each(
        [context],
        numbers(
          0,
          1,
          -1,
          -2,
          -3,
          -4,
          -8,
          -32,
          -36,
          -128,
          -212,
          -216,
          -220,
          -248,
          -252,
          -256,
          -260,
          4,
          0x7fffffff,
          -0x80000000n
        )
      ),
      ["ipv4", "shortest"]
    ),
  xdp_get_buff_len: () => onPackets(each([context]), ["ipv4", "plain", "shortest", "large"]),
  xdp_load_bytes: () => onPackets(each([context], offsets, [at(OUT), { stack: 128 }], sizes), ["ipv4", "large"]),
  xdp_store_bytes: () =>
    onPackets(each([context], offsets, [at(IN)], sizes).map((made) => ({ ...made, memory: [[IN, pattern(128)]] })), [
      "ipv4",
      "large"
    ]),
  probe_read_kernel: () => reading(),
  probe_read_user: () => reading(),
  probe_read: () => reading(),
  probe_read_kernel_str: () => reading(),
  probe_read_user_str: () => reading(),
  probe_read_str: () => reading(),
  copy_from_user: () => reading(),
  get_current_pid_tgid: () => hidden([]),
  get_current_uid_gid: () => each(),
  get_current_comm: () =>
    each([at(OUT), { stack: 64 }], numbers(0, 1, 2, 8, 15, 16, 17, 64)).map((made) => ({
      ...made,
      // Who runs is another one here and there: the end is compared.
      after: () =>
        joined(
          instruction(0x7b, 0x09, 0, 0),
          ...Array.from({ length: 8 }, (_, i) => instruction(0x7a, 9, OUT + i * 8, 0)),
          ...Array.from({ length: 8 }, (_, i) => storeDouble(10, -64 + i * 8, 0))
        )
    })),
  get_current_task: () => hidden([]),
  get_current_task_btf: () => each(),
  get_current_cgroup_id: () => hidden([]),
  get_current_ancestor_cgroup_id: () => each(numbers(-1, 1000, 0x7fffffff)),
  skb_ancestor_cgroup_id: () => each([context], numbers(-1, 1000, 0x7fffffff)),
  skb_cgroup_id: () => hidden([context]),
  get_cgroup_classid: () => each([context]),
  skb_cgroup_classid: () => each([context]),
  get_socket_cookie: () => hidden([context]),
  get_socket_uid: () => each([context]),
  get_netns_cookie: () => [...hidden([context]), ...hidden([NULL])],
  current_task_under_cgroup: () => each([map("cgroup_array"), map("hash")], numbers(0, 1, 2, 100, -1)),
  get_ns_current_pid_tgid: () =>
    each(numbers(0, 1, 2n ** 32n, -1), numbers(0, 1, -1), [at(OUT)], numbers(0, 1, 4, 7, 8, 9, 16)),
  get_smp_processor_id: () =>
    each().map((made) => ({
      ...made,
      after: () => joined(instruction(0x77, 0, 0, 10), instruction(0x7b, 0x09, 0, 0))
    })),
  get_numa_node_id: () => each(),
  get_prandom_u32: () =>
    each().map((made) => ({
      ...made,
      after: () => joined(instruction(0x77, 0, 0, 32), instruction(0x7b, 0x09, 0, 0))
    })),
  ktime_get_ns: () => hidden([]),
  ktime_get_boot_ns: () => hidden([]),
  ktime_get_coarse_ns: () => hidden([]),
  ktime_get_tai_ns: () => hidden([]),
  jiffies64: () => hidden([]),
  send_signal: () => each(numbers(0, 65, 100, 0xffffffffn, -1)),
  send_signal_thread: () => each(numbers(0, 65, 100, 0xffffffffn, -1)),
  get_stack: () => stacks(),
  get_stackid: () =>
    each([context], [map("stack_trace"), map("hash")], numbers(0x1000, 0x1ff, 0x800, 0x2000, -1, 2n ** 32n)),
  get_attach_cookie: () => each([context]),
  get_func_ip: () => hidden([context]),
  ringbuf_output: () =>
    each([map("ringbuf"), map("hash"), map("user_ringbuf")], [at(IN)], sizes, numbers(0, 1, 2, 3, 4, -1)),
  ringbuf_query: () => each([map("ringbuf")], numbers(0, 1, 2, 3, 4, 5, -1, 2n ** 32n)),
  ringbuf_reserve: () =>
    numbers(0, 1, 7, 8, 64, 4087, 4088, 4089, 4096, 65_536, 0x3fffffff, 0x40000000, 0x7fffffff, -1).flatMap((size) =>
      numbers(0, 1, 2, -1).flatMap((given) =>
        numbers(0, 1, 2, 3).flatMap((end) =>
          (["ringbuf_submit", "ringbuf_discard"] as const).map((how): Made => ({
            args: [map("ringbuf"), size, given],
            name: `${shown(size)}, ${shown(given)}; ${how} ${shown(end)}`,
            after: (side) =>
              joined(
                instruction(0x15, 0, 4, 0),
                instruction(0x7a, 9, 0, 1),
                copy(1, 0),
                set(2, Number("number" in end ? end.number : 0n)),
                call(Helper.get(how).id),
                // What may be asked of the ring then.
                ...[0, 1, 2, 3].map((what) =>
                  joined(
                    mapInto(1, side.prepared("ringbuf")),
                    set(2, what),
                    call(Helper.get("ringbuf_query").id),
                    instruction(0x7b, 0x09, OUT + what * 8, 0)
                  )
                )
              )
          }))
        )
      )
    ),
  ringbuf_reserve_dynptr: () =>
    numbers(0, 1, 8, 64, 4088, 4089, 0xffffff, 0x1000000, -1).flatMap((size) =>
      numbers(0, 1, -1).flatMap((given) =>
        (["ringbuf_submit_dynptr", "ringbuf_discard_dynptr"] as const).map((how): Made => ({
          args: [map("ringbuf"), size, given, onDynptr],
          name: `${shown(size)}, ${shown(given)}; ${how}`,
          after: (side) =>
            joined(
              instruction(0x7b, 0x09, 0, 0),
              // Writes four bytes at 2, and looks where 8 at 4 are.
              joined(
                copy(1, 10),
                instruction(0x07, 1, 0, -16),
                set(2, 2),
                copy(3, 9),
                instruction(0x07, 3, 0, IN),
                set(4, 4),
                set(5, 0)
              ),
              call(Helper.get("dynptr_write").id),
              instruction(0x7b, 0x09, OUT, 0),
              joined(
                copy(1, 9),
                instruction(0x07, 1, 0, OUT + 64),
                set(2, 8),
                copy(3, 10),
                instruction(0x07, 3, 0, -16),
                set(4, 0),
                set(5, 0)
              ),
              call(Helper.get("dynptr_read").id),
              instruction(0x7b, 0x09, OUT + 8, 0),
              joined(copy(1, 10), instruction(0x07, 1, 0, -16), set(2, 4), set(3, 8)),
              call(Helper.get("dynptr_data").id),
              instruction(0x15, 0, 1, 0),
              instruction(0x7a, 9, OUT + 16, 1),
              joined(copy(1, 10), instruction(0x07, 1, 0, -16), set(2, 0)),
              call(Helper.get(how).id),
              joined(mapInto(1, side.prepared("ringbuf")), set(2, 3), call(Helper.get("ringbuf_query").id)),
              instruction(0x7b, 0x09, OUT + 24, 0),
              // What is left of the dynptr is each kernel's own.
              storeDouble(10, -16, 0),
              storeDouble(10, -8, 0)
            )
        }))
      )
    ),
  dynptr_from_mem: () =>
    each([at(IN), { stack: 128 }], sizes, numbers(0, 1, 2, -1, 2n ** 32n), [onDynptr]).map((made) => ({
      ...made,
      after: () =>
        joined(
          instruction(0x7b, 0x09, 0, 0),
          joined(
            copy(1, 9),
            instruction(0x07, 1, 0, OUT),
            set(2, 4),
            copy(3, 10),
            instruction(0x07, 3, 0, -16),
            set(4, 0),
            set(5, 0)
          ),
          call(Helper.get("dynptr_read").id),
          instruction(0x7b, 0x09, 8, 0),
          storeDouble(10, -16, 0),
          storeDouble(10, -8, 0)
        )
    })),
  dynptr_read: () =>
    each(
      [at(OUT)],
      numbers(0, 1, 8, 16, 64, 512),
      [onDynptr],
      numbers(0, 1, 8, 56, 64, 65, 0xffffff, 0xffffffffn, 2n ** 32n, -1),
      numbers(0, 1, -1)
    )
      .map((made) => clearDynptr({ ...made, before: dynptr(64), memory: [[IN, pattern(64)]] })),
  dynptr_write: () =>
    each(
      [onDynptr],
      numbers(0, 1, 8, 56, 64, 65, 0xffffff, 0xffffffffn, 2n ** 32n, -1),
      [at(IN_2)],
      numbers(0, 1, 8, 16, 64, 512),
      numbers(0, 1, -1)
    )
      .map((made) =>
        clearDynptr({ ...made, before: dynptr(64), memory: [[IN, pattern(64)], [IN_2, pattern(600, 3)]] })
      ),
  dynptr_data: () =>
    each([onDynptr], numbers(0, 1, 8, 56, 64, 65, 0xffffff, 0xffffffffn, 2n ** 32n, -1), numbers(8, 16, 64, 65, 512))
      .map((made) => ({
        ...made,
        before: dynptr(64),
        memory: [[IN, pattern(64)]],
        after: () =>
          joined(
            instruction(0x15, 0, 3, 0),
            instruction(0x7a, 9, 0, 1),
            instruction(0x79, 0x01, 0, 0),
            instruction(0x7b, 0x19, 8, 0),
            storeDouble(10, -16, 0),
            storeDouble(10, -8, 0)
          )
      })),
  loop: () =>
    numbers(0, 1, 2, 5, 1000, 8_388_608, 8_388_609, 0xffffffffn, 2n ** 32n + 3n, -1).flatMap((count) =>
      numbers(0, 1, -1, 2n ** 32n).flatMap((given) =>
        ([[0, 0], [1, 0], [1, 3]] as const)
          .filter(([result]) =>
            result === 1 || !("number" in count) || count.number < 10_000n || count.number > 8_388_608n
          )
          .map(([result, from]): Made => ({
            args: [count, { function: true }, { stack: 8 }, given],
            before: contextOnStack,
            function: counting(result, from),
            name: `${shown(count)}, ${shown(given)}, gives ${result} after ${from}`
          }))
      )
    ),
  user_ringbuf_drain: () =>
    numbers(0, 1, 2, 3, 4, -1).map((given): Made => ({
      args: [map("user_ringbuf"), { function: true }, { stack: 8 }, given],
      before: contextOnStack,
      function: counting(0, 0)
    })),
  task_storage_get: () => storing("task_storage"),
  task_storage_delete: () => [{
    args: [map("task_storage"), { register: 7 }],
    before: currentTask
  }, { args: [map("task_storage"), NULL] }],
  tail_call: () => each([context], [map("prog_array"), map("hash")], numbers(0, 1, 4, -1))
}

const clearDynptr = (made: Made): Made => ({
  ...made,
  after: () => joined(instruction(0x7b, 0x09, 0, 0), storeDouble(10, -16, 0), storeDouble(10, -8, 0))
})

const hidden = (args: ReadonlyArray<Argument>): ReadonlyArray<Made> => [{ args, hides: ["result"] }]

/** Reads of addresses that are there and that are not. */
const reading = (): ReadonlyArray<Made> => [
  ...each(
    [at(OUT), { stack: 128 }],
    numbers(0, 1, 8, 64, 128, 1024),
    numbers(0, 1, 8, 4095, 4096, -1, -4096, 2n ** 47n, 2n ** 63n, 0xdead_0000_0000_0000n)
  ),
  ...[0, 1, 2, 5, 6, 7, 8, 16, 64].flatMap((size) =>
    [["a text", text("hello\0world\0")], ["an empty text", new Uint8Array(16)], [
      "no end",
      new Uint8Array(64).fill(0x61)
    ]].map((
      [name, bytes]
    ): Made => ({
      args: [at(OUT), n(size), at(IN)],
      memory: [[IN, new Uint8Array(128)], [IN, bytes as Uint8Array]],
      name: `${size} of ${name as string}`
    }))
  )
]

const currentTask = () => joined(call(Helper.get("get_current_task_btf").id), copy(7, 0))

const storing = (name: MapName): ReadonlyArray<Made> => [
  ...numbers(0, 1, 2, 3, -1).flatMap((given) =>
    [NULL, at(IN)].map((value): Made => ({
      args: [map(name), { register: 7 }, value, given],
      before: currentTask,
      memory: [[IN, u32(1234)]],
      after: () =>
        joined(
          instruction(0x15, 0, 3, 0),
          instruction(0x7a, 9, 0, 1),
          instruction(0x61, 0x01, 0, 0),
          instruction(0x63, 0x19, 8, 0)
        )
    }))
  ),
  ...each([map(name)], [NULL], [NULL], numbers(0, 1))
]

/** Whose stack it is differs: only what is refused is the same. */
const stacks = (): ReadonlyArray<Made> =>
  each([context], [at(OUT)], numbers(0, 1, 7, 9, 63), numbers(0, 0x100, 0x200, 0x800, 0x1000, 0x10000, -1))

/** The calls of a helper, each under a name of its own. */
export const calls = (helper: HelperName): ReadonlyArray<Call> =>
  (table[helper]?.() ?? []).map((made) => ({ ...made, helper, name: made.name ?? made.args.map(shown).join(", ") }))
