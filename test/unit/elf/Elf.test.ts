import { describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { expect } from "vitest"
import { Elf, Layout } from "../../../src/index.ts"
import {
  elfFile,
  type SectionSpec,
  stringTable,
  symbolSections,
  type SymbolSpec,
  Writer
} from "../../support/elfFile.ts"

const { constants } = Elf
const parsed = (bytes: Uint8Array | Elf.Source): Elf.Elf => Result.getOrThrow(Elf.parse(bytes))
const refusal = (result: Result.Result<unknown, Elf.ElfError>): string => Result.getOrThrow(Result.flip(result)).message
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const orders = ["little", "big"] as const

/** A source that gives its bytes in pieces, as a file does. */
const inPieces = (bytes: Uint8Array): Elf.Source => ({
  size: bytes.length,
  read: (offset, length) => bytes.slice(offset, offset + length),
  readInto: (target, offset) => {
    const some = bytes.subarray(offset, offset + target.length)
    target.set(some)
    return some.length
  }
})

const integer = (from: number, to: number) => Schema.Int.check(Schema.isBetween({ minimum: from, maximum: to }))
const names = ["a", "main", "read", "pthread_read", "_ZN4core3fmt5WriteE", "ключ", "🐝", "x".repeat(600)]
const symbolSchema = Schema.Struct({
  name: Schema.Literals(names),
  value: Layout.u64.schema,
  size: Layout.u64.schema,
  type: integer(0, 15),
  binding: integer(0, 15),
  visibility: integer(0, 3),
  section: Schema.Literals([0, 1, constants.SHN_ABS, constants.SHN_COMMON])
})

describe("header, sections and segments", () => {
  it.each(orders)("of a %s-endian file", (byteOrder) => {
    const file = parsed(elfFile({
      byteOrder,
      type: constants.ET_DYN,
      machine: constants.EM_AARCH64,
      sections: [
        { name: ".text", type: constants.SHT_PROGBITS, bytes: text("code"), flags: 6, address: 0xffff_8000_0000_1000n },
        { name: ".bss", type: constants.SHT_NOBITS, size: 2 ** 40 }
      ],
      segments: [{
        type: constants.PT_LOAD,
        flags: 5,
        address: 0xffff_8000_0000_1000n,
        section: ".text",
        memorySize: 9n
      }]
    }))
    expect(file).toMatchObject({ byteOrder, type: 3, machine: 183, entry: 0x1234n })
    expect(file.sections.map(({ name }) => name)).toEqual(["", ".text", ".bss", ".shstrtab"])
    const code = Result.getOrThrow(Elf.section(file, ".text"))
    expect(code).toMatchObject({ flags: 6, address: 0xffff_8000_0000_1000n, size: 4 })
    expect(Result.getOrThrow(Elf.data(file, code))).toEqual(text("code"))
    expect(Result.getOrThrow(Elf.data(file, file.sections[2]!))).toHaveLength(0)
    expect(file.segments).toMatchObject([{ type: 1, flags: 5, fileSize: 4, memorySize: 9n, offset: code.offset }])
  })

  it.each(orders)("numbers that have no room in a %s-endian header stand in the first section", (byteOrder) => {
    const sections = [{ name: ".text", type: 1, bytes: text("code") }]
    const segments = [{ type: 1, address: 0x1000n, section: ".text" }]
    const plain = parsed(elfFile({ byteOrder, sections, segments }))
    const extended = parsed(elfFile({ byteOrder, sections, segments, extended: true }))
    expect(extended.sections.slice(1)).toEqual(plain.sections.slice(1))
    expect(extended.segments).toEqual(plain.segments)
  })

  it("addresses and places in the file, by the segments that are loaded", () => {
    const file = parsed(elfFile({
      byteOrder: "little",
      sections: [{ name: ".note", type: 7, bytes: text("abcd") }, { name: ".text", type: 1, bytes: text("code") }],
      segments: [
        { type: constants.PT_NOTE, address: 0x2000n, section: ".note" },
        { type: constants.PT_LOAD, address: 0x2000n, section: ".text", memorySize: 100n }
      ]
    }))
    const { offset } = Result.getOrThrow(Elf.section(file, ".text"))
    expect(Elf.fileOffset(file, 0x2003n)).toEqual(Option.some(offset + 3))
    expect(Elf.fileOffset(file, 0x2004n)).toEqual(Option.none())
    expect(Elf.fileOffset(file, 0x1fffn)).toEqual(Option.none())
    expect(Elf.addressOf(file, offset + 3)).toEqual(Option.some(0x2003n))
    expect(Elf.addressOf(file, offset - 1)).toEqual(Option.none())
  })

  it("a section that is not there is named with those that are near", () => {
    const file = parsed(elfFile({ byteOrder: "little", sections: [{ name: ".rodata", type: 1 }] }))
    expect(refusal(Elf.section(file, ".rodat"))).toBe(
      "ELF lookup: expected a section named .rodat, got none; did you mean .rodata?"
    )
  })

  it("compressed sections are refused, not misread", () => {
    const sections = [{ name: ".debug_info", type: 1, bytes: text("z"), flags: constants.SHF_COMPRESSED }]
    const file = parsed(elfFile({ byteOrder: "little", sections }))
    expect(refusal(Elf.data(file, file.sections[1]!))).toContain("compressed")
  })
})

describe("symbols", () => {
  it.prop(
    "are read as they were written, all or by name, from memory or in pieces",
    [Schema.Array(symbolSchema), Schema.Literals(orders)],
    ([symbols, byteOrder]) => {
      const bytes = elfFile({ byteOrder, sections: symbolSections(byteOrder, symbols, 1) })
      for (const source of [bytes, inPieces(bytes)]) {
        const file = parsed(source)
        const all = [...Result.getOrThrow(Elf.symbols(file, "symtab"))]
        const expected = symbols.map((one, index) => ({
          ...one,
          table: "symtab",
          index: index + 1,
          version: undefined
        }))
        expect(all).toEqual(expected)
        for (const { name } of symbols) {
          const named = Result.getOrThrow(Elf.symbolsNamed(file, name))
          expect(named).toEqual(expected.filter((one) => one.name === name))
        }
      }
    }
  )

  const symbol = (name: string, section = 1): SymbolSpec => ({
    name,
    value: 1n,
    size: 0n,
    type: 2,
    binding: 1,
    visibility: 0,
    section
  })

  it("a name that is the end of a longer one, as linkers merge them", () => {
    const [table, strings] = symbolSections("little", [symbol("memory_read"), symbol("read")], 1)
    const bytes = table!.bytes!.slice()
    // The second symbol's name is made the last four letters of the first one's.
    new DataView(bytes.buffer).setUint32(48, 1 + "memory_".length, true)
    const file = parsed(elfFile({ byteOrder: "little", sections: [{ ...table!, bytes }, strings!] }))
    const named = Result.getOrThrow(Elf.symbolsNamed(file, "read"))
    expect(named.map(({ index, name }) => [index, name])).toEqual([[2, "read"]])
    expect(Result.getOrThrow(Elf.symbolsNamed(file, "ead"))).toEqual([])
    expect(Result.getOrThrow(Elf.symbolsNamed(file, ""))).toEqual([])
  })

  it("names at the borders of the stretches in which large tables are searched", () => {
    const names = Array.from({ length: 20_000 }, (_, i) => `_ZN6module4part${"x".repeat(i % 40)}${i}Ev`)
    const bytes = elfFile({ byteOrder: "little", sections: symbolSections("little", names.map((n) => symbol(n)), 1) })
    const file = parsed(inPieces(bytes))
    for (let i = 0; i < names.length; i += 97) {
      const named = Result.getOrThrow(Elf.symbolsNamed(file, names[i]!))
      expect(named.map(({ index }) => index)).toEqual([i + 1])
    }
  })

  it("section numbers that have no room in a symbol", () => {
    const wide = new Writer("little").u32(0, 70_000).done()
    const sections = [
      ...symbolSections("little", [symbol("far", constants.SHN_XINDEX)], 1),
      { name: ".symtab_shndx", type: constants.SHT_SYMTAB_SHNDX, bytes: wide, link: 1, entrySize: 4 }
    ]
    const file = parsed(elfFile({ byteOrder: "little", sections }))
    expect(Result.getOrThrow(Elf.symbol(file, "symtab", 1)).section).toBe(70_000)
    expect(refusal(Elf.symbol(file, "symtab", 2))).toBe("ELF symtab: expected a symbol below 2, got 2")
    expect(refusal(Elf.symbol(file, "dynsym", 0))).toBe("ELF dynsym: expected a symbol below 0, got 0")
  })

  it.each(orders)("versions that a %s-endian file defines and needs", (byteOrder) => {
    const symbols = ["old", "new", "needed"].map((name) => symbol(name))
    const strings = stringTable([
      ...symbols.map(({ name }) => name),
      "LIB_1",
      "LIB_2",
      "OTHER_3",
      "libother.so",
      "self"
    ])
    const [table] = symbolSections(byteOrder, symbols, 1, "dynsym")
    const numbers = new Writer(byteOrder).u16(0, 0x8002, 3, 4).done()
    const define = (writer: Writer, flags: number, index: number, name: string, next: number): Writer =>
      writer.u16(1, flags, index, 1).u32(0, 20, next, strings.at(name), 0)
    const defined = new Writer(byteOrder)
    define(defined, constants.VER_FLG_BASE, 1, "self", 28)
    define(defined, 0, 2, "LIB_1", 28)
    define(defined, 0, 3, "LIB_2", 0)
    const needed = new Writer(byteOrder).u16(1, 1).u32(strings.at("libother.so"), 16, 0)
    needed.u32(0).u16(0, 4).u32(strings.at("OTHER_3"), 0)
    const sections: ReadonlyArray<SectionSpec> = [
      { ...table!, link: 2 },
      { name: ".dynstr", type: constants.SHT_STRTAB, bytes: strings.bytes },
      { name: ".gnu.version", type: constants.SHT_GNU_versym, bytes: numbers, link: 1, entrySize: 2 },
      { name: ".gnu.version_d", type: constants.SHT_GNU_verdef, bytes: defined.done(), link: 2, info: 3 },
      { name: ".gnu.version_r", type: constants.SHT_GNU_verneed, bytes: needed.done(), link: 2, info: 1 }
    ]
    const file = parsed(elfFile({ byteOrder, type: constants.ET_DYN, sections }))
    const versions = [...Result.getOrThrow(Elf.symbols(file, "dynsym"))].map(({ name, version }) => [name, version])
    expect(versions).toEqual([
      ["old", { name: "LIB_1", isDefault: false }],
      ["new", { name: "LIB_2", isDefault: true }],
      ["needed", { name: "OTHER_3", isDefault: false }]
    ])
    expect(Result.getOrThrow(Elf.symbolsNamed(file, "old@LIB_1"))).toMatchObject([{ name: "old" }])
    expect(Result.getOrThrow(Elf.symbolsNamed(file, "new@@LIB_2"))).toMatchObject([{ name: "new" }])
    expect(Result.getOrThrow(Elf.symbolsNamed(file, "old@LIB_2"))).toEqual([])
  })
})

describe("relocations", () => {
  it.each(orders)("with and without addends, in a %s-endian file", (byteOrder) => {
    const info = (6n << 32n) + 1n
    const sections = [
      { name: ".reltext", type: constants.SHT_REL, bytes: new Writer(byteOrder).u64(8, info).done(), entrySize: 16 },
      {
        name: ".relatext",
        type: constants.SHT_RELA,
        bytes: new Writer(byteOrder).u64(16, info, -4).done(),
        entrySize: 24
      }
    ]
    const file = parsed(elfFile({ byteOrder, sections }))
    const found = file.sections.filter(Elf.isRelocations).map((one) => Result.getOrThrow(Elf.relocations(file, one)))
    expect(found).toEqual([
      [{ offset: 8, symbol: 6, type: 1, addend: undefined }],
      [{ offset: 16, symbol: 6, type: 1, addend: -4n }]
    ])
    expect(refusal(Elf.relocations(file, file.sections[0]!))).toContain("SHT_REL or SHT_RELA")
  })
})

describe("notes and links", () => {
  const note = (byteOrder: "little" | "big", owner: string, type: number, description: Uint8Array, to = 4): Writer =>
    new Writer(byteOrder).u32(owner.length + 1, description.length, type).bytes(text(`${owner}\0`)).align(to)
      .bytes(description).align(to)

  it.each(orders)("notes of a %s-endian file, its build id and its debug link", (byteOrder) => {
    const id = Uint8Array.from([0, 1, 0xfe])
    const notes = note(byteOrder, "GNU", constants.NT_GNU_BUILD_ID, id).done()
    const probes = note(byteOrder, "stapsdt", 3, text("probe")).bytes(note(byteOrder, "x", 1, text("")).done()).done()
    const properties = note(byteOrder, "GNU", 5, text("12345678"), 8).done()
    const link = new Writer(byteOrder).bytes(text("a.debug\0")).align(4).u32(0xdeadbeef).done()
    const file = parsed(elfFile({
      byteOrder,
      sections: [
        { name: ".note.gnu.build-id", type: 7, bytes: notes, alignment: 4 },
        { name: ".note.stapsdt", type: 7, bytes: probes, alignment: 4 },
        { name: ".note.gnu.property", type: 7, bytes: properties, alignment: 8 },
        { name: ".gnu_debuglink", type: 1, bytes: link }
      ]
    }))
    const found = Result.getOrThrow(Elf.notes(file)).map((
      { description, owner, type }
    ) => [owner, type, description.length])
    expect(found).toEqual([["GNU", 3, 3], ["stapsdt", 3, 5], ["x", 1, 0], ["GNU", 5, 8]])
    expect(Result.getOrThrow(Elf.buildId(file))).toEqual(Option.some("0001fe"))
    expect(Result.getOrThrow(Elf.debugLink(file))).toEqual(Option.some({ file: "a.debug", crc32: 0xdeadbeef }))
  })

  it("a file without them has none, and a cut note is an error", () => {
    const file = parsed(elfFile({ byteOrder: "little" }))
    expect(Result.getOrThrow(Elf.buildId(file))).toEqual(Option.none())
    expect(Result.getOrThrow(Elf.debugLink(file))).toEqual(Option.none())
    const bytes = note("little", "GNU", 3, text("abcdefgh")).done().slice(0, -4)
    const cut = parsed(elfFile({ byteOrder: "little", sections: [{ name: ".note", type: 7, bytes, alignment: 4 }] }))
    expect(refusal(Elf.notes(cut))).toBe("ELF section 1 .note note at 0: expected to end within 20 bytes, got 24")
  })

  it("what is asked of the dynamic linker", () => {
    const strings = stringTable(["libc.so.6", "libm.so.6", "libown.so.1", "$ORIGIN/lib"])
    const at = strings.at
    const { DT_NEEDED, DT_NULL, DT_RUNPATH, DT_SONAME, DT_STRSZ, DT_STRTAB, PT_DYNAMIC, PT_LOAD } = constants
    const entries = new Writer("little").u64(DT_NEEDED, at("libc.so.6"), DT_NEEDED, at("libm.so.6"))
    entries.u64(DT_SONAME, at("libown.so.1"), DT_RUNPATH, at("$ORIGIN/lib"))
    entries.u64(DT_STRTAB, 0x4000, DT_STRSZ, strings.bytes.length, DT_NULL, 0, DT_NEEDED, 99)
    const file = parsed(elfFile({
      byteOrder: "little",
      sections: [
        { name: ".dynamic", type: constants.SHT_DYNAMIC, bytes: entries.done() },
        { name: ".dynstr", type: constants.SHT_STRTAB, bytes: strings.bytes }
      ],
      segments: [
        { type: PT_LOAD, address: 0x4000n, section: ".dynstr" },
        { type: PT_DYNAMIC, address: 0x8000n, section: ".dynamic" }
      ]
    }))
    expect(Result.getOrThrow(Elf.dynamic(file))).toEqual({
      needed: ["libc.so.6", "libm.so.6"],
      soname: "libown.so.1",
      runPath: "$ORIGIN/lib"
    })
  })
})

describe("files from anywhere", () => {
  const everything = (file: Elf.Elf): void => {
    for (const one of file.sections) {
      Elf.data(file, one)
      Elf.relocations(file, one)
    }
    for (const table of ["symtab", "dynsym"] as const) {
      const symbols = Elf.symbols(file, table)
      if (Result.isSuccess(symbols)) {
        for (const { value } of symbols.success) Elf.fileOffset(file, value)
      }
    }
    Elf.symbolsNamed(file, "one")
    Elf.notes(file)
    Elf.buildId(file)
    Elf.debugLink(file)
    Elf.dynamic(file)
  }

  const sample = (byteOrder: "little" | "big"): Uint8Array<ArrayBuffer> => {
    const names = ["one", "two"].map((name): SymbolSpec => ({
      name,
      value: 5n,
      size: 1n,
      type: 2,
      binding: 1,
      visibility: 0,
      section: 1
    }))
    const strings = stringTable(["libc.so.6"])
    const dynamic = new Writer(byteOrder).u64(1, 1, 5, 0x1000, 10, strings.bytes.length, 0, 0).done()
    const version = new Writer(byteOrder).u16(1, 0, 2, 1).u32(0, 20, 0, 1, 0).done()
    return elfFile({
      byteOrder,
      sections: [
        ...symbolSections(byteOrder, names, 1),
        ...symbolSections(byteOrder, names, 3, "dynsym"),
        { name: ".gnu.version", type: constants.SHT_GNU_versym, bytes: new Writer(byteOrder).u16(0, 2, 2).done() },
        { name: ".gnu.version_d", type: constants.SHT_GNU_verdef, bytes: version, link: 4, info: 1 },
        { name: ".note", type: 7, bytes: new Writer(byteOrder).u32(4, 4, 3).bytes(text("GNU\0abcd")).done() },
        { name: ".rel", type: 9, bytes: new Writer(byteOrder).u64(8, 1).done(), entrySize: 16, link: 1 },
        { name: ".gnu_debuglink", type: 1, bytes: new Writer(byteOrder).bytes(text("abc\0")).u32(1).done() },
        { name: ".strings", type: 3, bytes: strings.bytes },
        { name: ".dynamic", type: 6, bytes: dynamic }
      ],
      segments: [
        { type: 1, address: 0x1000n, section: ".strings" },
        { type: 2, address: 0x2000n, section: ".dynamic" },
        { type: 4, address: 0x3000n, section: ".note" }
      ]
    })
  }

  it("what is no ELF64 file is refused with what it is", () => {
    const file = sample("little")
    const changed = (at: number, value: number): Uint8Array => file.with(at, value)
    expect(refusal(Elf.parse(new Uint8Array(0)))).toContain("got nothing")
    expect(refusal(Elf.parse(text("#!/bin/sh\n")))).toContain("got bytes 23 21 2f 62")
    expect(refusal(Elf.parse(changed(4, 1)))).toBe("ELF class: expected a 64-bit file, got a 32-bit one")
    expect(refusal(Elf.parse(changed(5, 3)))).toContain("byte order")
    expect(refusal(Elf.parse(changed(6, 2)))).toContain("version")
    expect(refusal(Elf.parse(changed(58, 8)))).toContain("section headers entry size")
  })

  it.each(orders)("a %s-endian file that is cut anywhere gives errors, and nothing is thrown", (byteOrder) => {
    const whole = sample(byteOrder)
    everything(parsed(whole))
    for (let length = 0; length < whole.length; length++) {
      const file = Elf.parse(whole.slice(0, length))
      if (Result.isSuccess(file)) everything(file.success)
    }
  })

  it.prop(
    "any bytes of it may be wrong",
    [
      Schema.Literals(orders),
      Schema.Array(Schema.Tuple([Layout.u32.schema, Schema.Literals([0, 1, 2, 8, 0x7f, 0x80, 0xff])]))
    ],
    ([byteOrder, changes]) => {
      const bytes = sample(byteOrder)
      for (const [at, value] of changes) bytes[at % bytes.length] = value
      const file = Elf.parse(bytes)
      if (Result.isSuccess(file)) everything(file.success)
    },
    { arbitrary: { runs: 1000 } }
  )

  it("names that many symbols share cost no more than the table: 30,000 symbols on one name of 2 MiB", () => {
    const count = 30_000
    const strings = new Uint8Array(2 ** 21 + 2).fill(0x61)
    strings[0] = 0
    strings[strings.length - 1] = 0
    const table = new Writer("little").u64(0, 0, 0)
    for (let i = 0; i < count; i++) table.u32(1 + i).u8(2, 0).u16(1).u64(0, 0)
    const sections = [
      { name: ".symtab", type: 2, bytes: table.done(), link: 2, entrySize: 24 },
      { name: ".strtab", type: 3, bytes: strings }
    ]
    const file = parsed(elfFile({ byteOrder: "little", sections }))
    const kept = [...Result.getOrThrow(Elf.symbols(file, "symtab"))]
    expect(kept.map(({ name }) => name.length)).toEqual(Array.from({ length: count }, (_, i) => 2 ** 21 - i))
  })

  it("a file that becomes shorter while it is read", () => {
    const bytes = sample("little")
    const source = inPieces(bytes)
    let isShort = false
    const file = parsed({ ...source, read: (at, length) => source.read(at, isShort ? Math.min(length, 4) : length) })
    isShort = true
    expect(refusal(Elf.symbols(file, "symtab"))).toContain("the file has become shorter")
  })
})

describe("a file that a linker made", () => {
  it.skipIf(process.platform !== "linux")("this process's own program: a symbol by name is the one among all", () => {
    const fd = openSync(process.execPath, "r")
    try {
      const file = parsed({
        size: fstatSync(fd).size,
        read: (offset, length) => {
          const bytes = Buffer.allocUnsafeSlow(length)
          return bytes.subarray(0, readSync(fd, bytes, 0, length, offset))
        },
        readInto: (target, offset) => readSync(fd, target, 0, target.length, offset)
      })
      const all = [...Result.getOrThrow(Elf.symbols(file, "dynsym"))]
      const wanted = all.filter(({ name }) => name === "napi_create_object")
      expect(wanted).toHaveLength(1)
      const found = Result.getOrThrow(Elf.symbolsNamed(file, "napi_create_object", { table: "dynsym" }))
      expect(found).toEqual(wanted)
      const code = file.sections[found[0]!.section]!
      const offset = Option.getOrThrow(Elf.fileOffset(file, found[0]!.value))
      expect(offset - code.offset).toBe(Number(found[0]!.value - code.address))
      expect(Result.getOrThrow(Elf.dynamic(file)).needed).toContain("libc.so.6")
    } finally {
      closeSync(fd)
    }
  })
})
