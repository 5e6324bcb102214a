import { describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { bpf_func_id } from "../../../src/abi/generated/enums.ts"
import { programTypes } from "../../../src/abi/names.ts"
import * as Helper from "../../../src/isa/Helper.ts"

describe("the table of helpers", () => {
  it("has every helper of the kernel's list, by ids without a gap", () => {
    const names = Object.entries(bpf_func_id)
      .filter(([name]) => name !== "BPF_FUNC_unspec" && !name.startsWith("__"))
      .map(([name, id]) => [name.slice("BPF_FUNC_".length), id])
    expect(Helper.all().map(({ id, name }) => [name, id])).toEqual(names)
    expect(Helper.all().map(({ id }) => id)).toEqual(Array.from({ length: names.length }, (_, i) => i + 1))
    expect(names.length).toBeGreaterThanOrEqual(211)
  })

  it("says since when there is each, from 3.19 on, and ids grow with versions", () => {
    let last = 0
    for (const helper of Helper.all()) {
      expect(helper.since, helper.name).toMatch(/^\d\.\d{1,2}$/)
      const [major, minor] = helper.since.split(".").map(Number) as [number, number]
      const number = major * 100 + minor
      expect(number, helper.name).toBeGreaterThanOrEqual(319)
      // The list only ever grew at its end, though not always in the order in which branches were merged.
      expect(number, helper.name).toBeGreaterThanOrEqual(last - 1)
      last = Math.max(last, number)
    }
  })

  it("describes each in one sentence of its own", () => {
    const descriptions = Helper.all().map(({ description }) => description)
    for (const description of descriptions) expect(description).toMatch(/^[A-Z0-9].{10,110}\.$/)
    expect(new Set(descriptions).size).toBe(descriptions.length)
  })

  it("names types of program that exist, each once, and at least one for each helper", () => {
    for (const helper of Helper.all()) {
      expect(helper.programTypes.length, helper.name).toBeGreaterThan(0)
      expect(new Set(helper.programTypes).size, helper.name).toBe(helper.programTypes.length)
      for (const type of helper.programTypes) expect(programTypes, helper.name).toHaveProperty(type)
    }
  })

  it("gives each argument a name, a type in C and a kind, five at most", () => {
    for (const helper of Helper.all()) {
      expect(helper.arguments.length, helper.name).toBeLessThanOrEqual(5)
      for (const argument of helper.arguments) {
        expect(argument.name, helper.name).toMatch(/^\w+$/)
        expect(argument.type, helper.name).toMatch(/^[a-z_]\w*( \w+)*( \*)?$/)
        expect(argument.kind, helper.name).toMatch(/^[a-z]+([A-Z][a-z]+)*$/)
      }
    }
  })

  it("gives memory either a size of its own, or the argument after it as size", () => {
    for (const helper of Helper.all()) {
      for (const [index, { kind, name, size }] of helper.arguments.entries()) {
        const next = helper.arguments[index + 1]?.kind
        const isSized = next === "size" || next === "sizeOrZero"
        const isMemory = kind === "read" || kind === "write" || kind === "readWrite"
        expect(isMemory ? isSized !== (size !== undefined) : size === undefined, `${helper.name}, ${name}`).toBe(true)
        const before = helper.arguments[index - 1]?.kind ?? "any"
        if (kind === "size" || kind === "sizeOrZero") {
          expect(["read", "write", "readWrite"], helper.name).toContain(before)
        }
      }
    }
  })

  it("puts the map before its keys and values", () => {
    for (const helper of Helper.all()) {
      const kinds = helper.arguments.map(({ kind }) => kind)
      const first = kinds.findIndex((kind) => kind.startsWith("mapKey") || kind.startsWith("mapValue"))
      if (first >= 0) expect(kinds.slice(0, first), helper.name).toContain("map")
    }
  })

  it("knows what the verifier must: marks of some helpers, as the kernel's sources have them", () => {
    expect(Helper.get("map_lookup_elem")).toMatchObject({
      id: 1,
      since: "3.19",
      gplOnly: false,
      returns: { kind: "mapValueOrNull", type: "void *" },
      arguments: [{ kind: "map", nullable: false }, { kind: "mapKey", name: "key", type: "const void *" }]
    })
    expect(Helper.get("probe_read_kernel")).toMatchObject({ id: 113, since: "5.5", gplOnly: true })
    expect(Helper.get("copy_from_user")).toMatchObject({ since: "5.10", sleeps: true })
    expect(Helper.get("xdp_adjust_head")).toMatchObject({ movesPacket: true, programTypes: ["xdp"] })
    expect(Helper.get("csum_diff").arguments[0]).toMatchObject({ kind: "read", nullable: true })
    expect(Helper.get("strtol").arguments[3]).toMatchObject({ kind: "write", size: 8 })
    expect(Helper.get("trace_printk").variadic).toBe(true)
  })
})

describe("a helper", () => {
  it("is found by name, with its prefix or without, and by id", () => {
    for (const helper of Helper.all()) {
      expect(Option.getOrThrow(Helper.fromName(helper.name))).toBe(helper)
      expect(Option.getOrThrow(Helper.fromName(`bpf_${helper.name}`))).toBe(helper)
      expect(Option.getOrThrow(Helper.fromId(helper.id))).toBe(helper)
    }
    for (const name of ["", "bpf_", "unspec", "constructor", "__proto__", "map_lookup"]) {
      expect(Option.isNone(Helper.fromName(name)), name).toBe(true)
    }
    for (const id of [0, -1, 212_000, 1.5, Number.NaN]) expect(Option.isNone(Helper.fromId(id))).toBe(true)
  })

  it("has a declaration in C", () => {
    const signatures = (["map_lookup_elem", "ktime_get_ns", "trace_printk", "ringbuf_submit", "tcp_sock"] as const)
      .map((name) => Helper.signature(Helper.get(name)))
    expect(signatures).toEqual([
      "void *bpf_map_lookup_elem(struct bpf_map *map, const void *key)",
      "u64 bpf_ktime_get_ns(void)",
      "long bpf_trace_printk(const char *fmt, u32 fmt_size, ...)",
      "void bpf_ringbuf_submit(void *data, u64 flags)",
      "struct bpf_tcp_sock *bpf_tcp_sock(struct bpf_sock *sk)"
    ])
  })

  it("is callable from the types that it names, and from ext", () => {
    const redirect = Helper.get("redirect_map")
    expect(Helper.isCallableFrom(redirect, "xdp")).toBe(true)
    expect(Helper.isCallableFrom(redirect, "sched_cls")).toBe(false)
    expect(Helper.isCallableFrom(redirect, "ext")).toBe(true)
    expect(Helper.isCallableFrom(Helper.get("map_lookup_elem"), "lirc_mode2")).toBe(true)
    expect(Helper.isCallableFrom(Helper.get("loop"), "lirc_mode2")).toBe(false)
  })
})
