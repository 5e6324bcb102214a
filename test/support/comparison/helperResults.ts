// Row "helper results": small programs that call one helper with arguments of interest and store what it gave, run by test
// run. Compared are what it gave, what it wrote into memory, and the packet, its context and the maps afterwards.
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_map_elem } from "../../../src/abi/generated/structs.ts"
import type { MapType } from "../../../src/abi/names.ts"
import { availability } from "../../../src/isa/helperCallers.ts"
import * as Helper from "../../../src/isa/Helper.ts"
import * as ProgramContext from "../../../src/spec/ProgramContext.ts"
import { type Kind, kinds, nameOf } from "../helperProbe.ts"
import { add, call, copy, exit, instruction, joined, mapInto, set, storeDouble, wide } from "./bench.ts"
import type { Case } from "./compare.ts"
import { type Argument, type Call, calls } from "./helperArguments.ts"
import { type MapName, mapRecipes } from "./helperMaps.ts"
import { changes, digest, RunBench, UNWRITTEN } from "./runBench.ts"
import { frames } from "./testRuns.ts"

/** The bytes that programs read and write: an element of an array, at an address that is known when they are loaded. */
export const MEMORY = 4096
const RESULT = 0
const SECOND = 8
/** Where the words of an skb's context are kept. */
const CONTEXT = 16
/** The bytes of the stack that helpers may write, and where they are kept afterwards. */
export const STACK = 128
const STACK_COPY = MEMORY - STACK

const stackWords = Array.from({ length: STACK / 8 }, (_, i) => -STACK + i * 8)
const keepStack = (offset: number): Uint8Array =>
  joined(instruction(0x79, 0xa1, offset, 0), instruction(0x7b, 0x19, STACK_COPY + STACK + offset, 0))

const VALUE = 2
const FUNCTION = 4

const zero = new Uint8Array(4)

export class ResultBench extends RunBench {
  private readonly memory = this.map("array", 4, MEMORY, 1)
  private readonly made = new Map<MapName, number>()
  private readonly strings = new Map<string, number>()

  override free(): void {
    this.reset()
    this.close(this.memory)
    for (const fd of this.strings.values()) this.close(fd)
    super.free()
  }

  override reset(): void {
    super.reset()
    for (const fd of this.made?.values() ?? []) this.close(fd)
    this.made?.clear()
  }

  /** A map with its entries, made anew for each case. */
  prepared(name: MapName): number {
    const known = this.made.get(name)
    if (known !== undefined) return known
    const { entries, fields, keySize, maxEntries, type, valueSize } = mapRecipes[name]
    const fd = this.map(type as MapType, keySize, valueSize, maxEntries, fields?.(this))
    this.made.set(name, fd)
    for (const [key, value] of entries(this)) {
      const result = keySize === 0 ? this.push(fd, value) : this.update(fd, key, value)
      if (result < 0) throw new Error(`an entry of ${name} on ${this.kernel.kind}: ${result}`)
    }
    return fd
  }

  private push(fd: number, value: Uint8Array): number {
    return this.call(bpf_cmd.BPF_MAP_UPDATE_ELEM, bpf_attr_map_elem, { map_fd: fd, value: this.place(value) })
  }

  /** A map that is read-only to all, with one text in it. */
  constant(text: string): number {
    const known = this.strings.get(text)
    if (known !== undefined) return known
    const bytes = Buffer.from(text, "latin1")
    const fd = this.map("array", 4, bytes.length, 1, { map_flags: 1 << 7 }) // BPF_F_RDONLY_PROG
    this.update(fd, zero, bytes)
    this.call(bpf_cmd.BPF_MAP_FREEZE, bpf_attr_map_elem, { map_fd: fd })
    this.strings.set(text, fd)
    return fd
  }

  /** The entries of the maps that a case used, in the order of their keys. */
  private contents(): string {
    const texts: Array<string> = []
    for (const [name, fd] of this.made) {
      const { keySize, lookupSize } = mapRecipes[name]
      if (lookupSize === undefined) continue
      const entries: Array<string> = []
      let key: Uint8Array | undefined
      const [at, next, value] = [this.place(keySize), this.place(keySize), this.place(lookupSize(this))]
      const step = () =>
        this.call(bpf_cmd.BPF_MAP_GET_NEXT_KEY, bpf_attr_map_elem, {
          map_fd: fd,
          key: key === undefined ? 0n : at,
          value: next
        })
      while (step() === 0 && entries.length < 64) {
        key = this.bytes(next, keySize)
        this.put(at, key)
        const found = this.call(bpf_cmd.BPF_MAP_LOOKUP_ELEM, bpf_attr_map_elem, { map_fd: fd, key: at, value })
        // Which CPU it was is nobody's business: the values of a key are in order.
        const bytes = this.bytes(value, lookupSize(this))
        const each = Array.from(
          { length: Math.ceil(bytes.length / 8) },
          (_, i) => digest(bytes.subarray(i * 8, i * 8 + 8))
        )
        entries.push(`${digest(key)}=${found < 0 ? found : each.toSorted().join("")}`)
      }
      texts.push(`${name} ${entries.toSorted().join(" ")}`)
    }
    return texts.join(", ")
  }

  /** Runs a call, and says what came of it. */
  runCall(kind: Kind, { data, memory: given, ...made }: Call): string | number {
    const memory = new Uint8Array(MEMORY).fill(UNWRITTEN)
    memory.fill(0, 0, 64)
    for (const [offset, bytes] of given ?? []) memory.set(bytes, offset)
    this.update(this.memory, zero, memory)
    const code = this.codeOf(kind, made)
    const fd = this.loadKind(kind, code)
    if (fd < 0) return fd
    try {
      const packet = data ?? frames["ipv4"]!(100)
      const ran = this.testRun(fd, inputOf(kind, packet))
      const value = this.place(MEMORY)
      this.call(bpf_cmd.BPF_MAP_LOOKUP_ELEM, bpf_attr_map_elem, {
        map_fd: this.memory,
        key: this.place(zero),
        value
      })
      const after = this.bytes(value, MEMORY)
      const view = new DataView(after.buffer)
      if (made.hides?.includes("result") === true) {
        view.setBigUint64(RESULT, view.getBigUint64(RESULT, true) > 0n ? 1n : 0n, true)
      }
      const { forgets } = made
      if (forgets !== undefined) memory.set(after.subarray(forgets, forgets + 8), forgets)
      memory.set(after.subarray(RESULT, RESULT + 8), RESULT)
      const result = BigInt.asIntN(64, view.getBigUint64(RESULT, true))
      return `gave ${result}; ${ran}; wrote ${changes(memory, after)}; ${this.contents()}`.trimEnd()
    } finally {
      this.close(fd)
    }
  }

  private codeOf(kind: Kind, { args, before, function: callee, helper, after }: Call): Uint8Array {
    const usesStack = args.some((argument) => "stack" in argument)
    const parts: Array<Uint8Array> = [
      copy(6, 1),
      wide(9, BigInt(this.memory), VALUE),
      ...(usesStack ? stackWords.map((offset) => storeDouble(10, offset, 0x5a5a5a5a)) : [])
    ]
    if (before !== undefined) parts.push(before(this))
    const functions: Array<{ readonly at: number }> = []
    let slots = parts.reduce((sum, part) => sum + part.length / 8, 0)
    for (const [index, argument] of args.entries()) {
      if ("function" in argument) functions.push({ at: slots })
      const code = this.argument(index + 1, argument)
      parts.push(code)
      slots += code.length / 8
    }
    const { id, returns } = Helper.get(helper)
    parts.push(call(id))
    if (after !== undefined) parts.push(after(this))
    else if (returns.kind.endsWith("OrNull") || returns.kind === "btf") parts.push(pointerResult(helper, args))
    else if (returns.kind !== "void") parts.push(instruction(0x7b, 0x09, RESULT, 0)) // *(u64 *)(r9 + 0) = r0
    parts.push(
      ...(usesStack ? stackWords.map(keepStack) : []),
      afterwards(kind),
      set(0, kind.type === "flow_dissector" ? 0 : 1),
      exit
    )
    const code = joined(...parts)
    for (const { at } of functions) {
      // A relative place of a function of the program: it follows the exit.
      new DataView(code.buffer).setInt32(at * 8 + 4, code.length / 8 - at - 1, true)
    }
    return callee === undefined ? code : joined(code, callee(this))
  }

  private argument(register: number, argument: Argument): Uint8Array {
    if ("number" in argument) {
      const { number } = argument
      return BigInt.asIntN(32, number) === number ? set(register, Number(number)) : wide(register, number)
    }
    if ("memory" in argument) return joined(copy(register, 9), add(register, argument.memory))
    if ("stack" in argument) return joined(copy(register, 10), add(register, -argument.stack))
    if ("map" in argument) return mapInto(register, this.prepared(argument.map))
    if ("constant" in argument) return wide(register, BigInt(this.constant(argument.constant)), VALUE)
    if ("register" in argument) return copy(register, argument.register)
    return wide(register, 0n, FUNCTION)
  }
}

/** What a type's test run is given. */
const inputOf = ({ type }: Kind, packet: Uint8Array) => {
  switch (type) {
    case "raw_tracepoint":
      return { context: new Uint8Array(96) }
    case "syscall":
      return { context: new Uint8Array(64) }
    case "sk_lookup": {
      const context = new Uint8Array(72)
      context[ProgramContext.fields.bpf_sk_lookup.family.offset] = 2
      return { context }
    }
    case "netfilter":
      return { data: packet }
    case "xdp":
    case "flow_dissector":
      return { data: packet, dataRoom: 4096 }
    default:
      return { data: packet, dataRoom: 4096, contextRoom: 200 }
  }
}

/** Whether a pointer came back, and what is there: values of plain maps have 8 bytes at least. */
const pointerResult = (helper: string, args: ReadonlyArray<Argument>): Uint8Array => {
  const isObject = args.some((argument) => "map" in argument && /of_maps|xskmap/.test(argument.map))
  const isValue = !isObject && /^(map_lookup|dynptr_data|task_storage_get|cgrp_storage_get|sk_storage_get)/.test(helper)
  const reading = isValue
    ? joined(instruction(0x79, 0x01, 0, 0), instruction(0x7b, 0x19, SECOND, 0))
    : new Uint8Array(0)
  return joined(
    instruction(0x15, 0, 1 + reading.length / 8, 0), // if r0 == 0, over what follows
    instruction(0x7a, 9, RESULT, 1),
    reading
  )
}

const skb = ProgramContext.fields.__sk_buff
const md = ProgramContext.fields.xdp_md
const PACKETS: ReadonlySet<string> = new Set([
  "socket_filter",
  "sched_cls",
  "sched_act",
  "cgroup_skb",
  "lwt_in",
  "lwt_out",
  "lwt_xmit"
])

/** Keeps what the context says after the call. */
const afterwards = ({ type }: Kind): Uint8Array => {
  if (type === "xdp") {
    const length = (from: number, to: number, at: number) =>
      joined(
        instruction(0x61, 0x61, from, 0),
        instruction(0x61, 0x62, to, 0),
        instruction(0x1f, 0x12, 0, 0),
        instruction(0x7b, 0x29, at, 0)
      )
    return joined(
      length(md.data.offset, md.data_end.offset, CONTEXT),
      length(md.data_meta.offset, md.data.offset, CONTEXT + 8)
    )
  }
  if (!PACKETS.has(type)) return new Uint8Array(0)
  const words = [skb.len, skb.pkt_type, skb.protocol, skb.vlan_present, skb.vlan_tci, skb.vlan_proto, skb.mark]
  return joined(
    ...words.map(({ offset }, i) =>
      joined(instruction(0x61, 0x61, offset, 0), instruction(0x63, 0x19, CONTEXT + i * 4, 0))
    )
  )
}

/** Types that can be run and that need no function of the kernel. */
const runnable: ReadonlySet<string> = new Set([
  ...PACKETS,
  "xdp",
  "raw_tracepoint",
  "flow_dissector",
  "sk_lookup",
  "syscall",
  "netfilter"
])

const callers = kinds.filter(({ attachType, type }) =>
  runnable.has(type) && attachType !== "xdp_devmap" && attachType !== "xdp_cpumap"
)

/** Of the kinds that may call a helper, each call is tried with some, in turn; the first two calls with all. */
const kindsEach = (calls: number): number => calls > 400 ? 1 : 2

export function* helperResults(): Generator<Case<ResultBench>> {
  let turn = 0
  for (const helper of Helper.all()) {
    const able = callers.filter((kind) =>
      availability(helper.id, { ...kind, sleepable: kind.sleeps === true }) !== undefined
    )
    if (able.length === 0) continue
    const made = calls(helper.name)
    for (const [number, each] of made.entries()) {
      const chosen = number < 2
        ? able
        : Array.from({ length: kindsEach(made.length) }, () => able[turn++ % able.length]!)
      for (const kind of new Set(chosen)) {
        yield {
          name: `${nameOf(kind)} ${helper.name}(${each.name})`,
          run: (side) => side.runCall(kind, each)
        }
      }
    }
  }
}
