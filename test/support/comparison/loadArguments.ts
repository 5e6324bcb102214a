// Row "load arguments": what BPF_PROG_LOAD is asked with, around a program of two instructions.
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_prog_load } from "../../../src/abi/generated/structs.ts"
import { attachTypes, type ProgramType, programTypes } from "../../../src/abi/names.ts"
import type { KernelService } from "../../../src/kernel/Kernel.ts"
import type { Btf } from "../../../src/index.ts"
import type { FieldValue } from "../../../src/kernel/attribute.ts"
import { kinds, loadFields, nameOf } from "../helperProbe.ts"
import { Bench, type Fields, joined, returning } from "./bench.ts"
import type { Case } from "./compare.ts"

const CLOSED = 999

export class LoadBench extends Bench {
  readonly btf: Btf.Btf
  /** Descriptors by what they are of. */
  readonly fds: { readonly [what: string]: number }

  constructor(kernel: KernelService, btf: Btf.Btf) {
    super(kernel)
    this.btf = btf
    this.fds = {
      map: this.map("hash", 4, 8, 1),
      program: this.program("xdp"),
      nothing: CLOSED,
      negative: -1
    }
  }

  override free(): void {
    this.close(this.fds["map"]!)
    this.close(this.fds["program"]!)
    super.free()
  }
}

/** What a case adds to a load that would succeed. */
type More = (side: LoadBench) => { readonly [field: string]: FieldValue | string | null | undefined }

const load = (type: number, fields: Fields, more: More) => (side: LoadBench): number => {
  const { license = "GPL", size, ...others } = more(side)
  const code = returning(1)
  const result = side.call(bpf_cmd.BPF_PROG_LOAD, bpf_attr_prog_load, {
    prog_type: type,
    insn_cnt: code.length / 8,
    insns: side.place(code),
    license: license === null ? 0n : side.text(String(license)),
    ...fields,
    ...others as Fields
  }, size as number | undefined)
  side.close(result)
  return Math.min(result, 0)
}

const licenses: ReadonlyArray<string | null> = [
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
  "Proprietary",
  "gpl",
  "GPL ",
  "",
  "x".repeat(126),
  "x".repeat(127),
  "x".repeat(128),
  "x".repeat(500),
  null
]

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Fields with values that are seldom right. */
const oddities: { readonly [name: string]: More } = {
  "no instructions": () => ({ insn_cnt: 0 }),
  "one instruction": () => ({ insn_cnt: 1 }),
  "a million instructions and one": () => ({ insn_cnt: 1_000_001 }),
  "2^31 instructions": () => ({ insn_cnt: 2 ** 31 }),
  "instructions nowhere": () => ({ insns: 0n }),
  "a name": () => ({ prog_name: bytes("name.of_x1") }),
  "a name of 15": () => ({ prog_name: bytes("n".repeat(15)) }),
  "a name of 16": () => ({ prog_name: bytes("n".repeat(16)) }),
  "a name with a space": () => ({ prog_name: bytes("a b") }),
  "a name with a dash": () => ({ prog_name: bytes("a-b") }),
  "a name with bytes behind its end": () => ({ prog_name: bytes("a\0b") }),
  "a kernel version": () => ({ kern_version: 123 }),
  "device 1": () => ({ prog_ifindex: 1 }),
  "device 99": () => ({ prog_ifindex: 99 }),
  "program descriptor of nothing": ({ fds }) => ({ attach_prog_fd: fds["nothing"] }),
  "program descriptor of a map": ({ fds }) => ({ attach_prog_fd: fds["map"] }),
  "program descriptor of a program": ({ fds }) => ({ attach_prog_fd: fds["program"] }),
  "program descriptor and a type": ({ fds }) => ({ attach_prog_fd: fds["program"], attach_btf_id: 1 }),
  "program descriptor of a map and a type": ({ fds }) => ({ attach_prog_fd: fds["map"], attach_btf_id: 1 }),
  "program descriptor of nothing and a type": ({ fds }) => ({ attach_prog_fd: fds["nothing"], attach_btf_id: 1 }),
  "type 1": () => ({ attach_btf_id: 1 }),
  "type 2^30": () => ({ attach_btf_id: 2 ** 30 }),
  "type 2^31": () => ({ attach_btf_id: 2 ** 31 }),
  "BTF descriptor 0 and functions": (side) => ({ func_info_cnt: 1, func_info_rec_size: 8, func_info: side.place(8) }),
  "functions without records": () => ({ func_info_cnt: 1 }),
  "functions of record size 8": () => ({ func_info_rec_size: 8 }),
  "functions somewhere": (side) => ({ func_info: side.place(8) }),
  "lines": (side) => ({ line_info_cnt: 1, line_info_rec_size: 16, line_info: side.place(16) }),
  "lines without records": () => ({ line_info_cnt: 1 }),
  "lines, 2^31": () => ({ line_info_cnt: 2 ** 31, line_info_rec_size: 16 }),
  "relocations": (side) => ({ core_relo_cnt: 1, core_relo_rec_size: 16, core_relos: side.place(16) }),
  "relocations without records": () => ({ core_relo_cnt: 1 }),
  "debug information of nothing": ({ fds }) => ({ prog_btf_fd: fds["nothing"] }),
  "debug information of a map": ({ fds }) => ({ prog_btf_fd: fds["map"] }),
  "debug information of nothing, functions": (side) => ({
    prog_btf_fd: side.fds["nothing"],
    func_info_cnt: 1,
    func_info_rec_size: 8,
    func_info: side.place(8)
  }),
  "descriptors nowhere, one": () => ({ fd_array_cnt: 1 }),
  "descriptors, one map": (side) => ({ fd_array: side.place(i32(side.fds["map"]!)), fd_array_cnt: 1 }),
  "descriptors, one of nothing": (side) => ({ fd_array: side.place(i32(CLOSED)), fd_array_cnt: 1 }),
  "descriptors, one program": (side) => ({ fd_array: side.place(i32(side.fds["program"]!)), fd_array_cnt: 1 }),
  "descriptors, none": (side) => ({ fd_array: side.place(i32(side.fds["map"]!)) }),
  "descriptors, 2^30": (side) => ({ fd_array: side.place(64), fd_array_cnt: 2 ** 30 }),
  "a token of nothing": ({ fds }) => ({ prog_token_fd: fds["nothing"] }),
  "a token flag": () => ({ prog_flags: 1 << 16 }),
  "a token flag and a map": ({ fds }) => ({ prog_flags: 1 << 16, prog_token_fd: fds["map"] }),
  "a token flag and nothing": ({ fds }) => ({ prog_flags: 1 << 16, prog_token_fd: fds["nothing"] }),
  "a signature nowhere": () => ({ signature_size: 8 }),
  "a signature": (side) => ({ signature: side.place(8), signature_size: 8 }),
  "a key ring": () => ({ keyring_id: 1 }),
  "a signature of no length": (side) => ({ signature: side.place(8) }),
  "8 bytes": () => ({ size: 8 }),
  "24 bytes": () => ({ size: 24 }),
  "48 bytes": () => ({ size: 48 }),
  "72 bytes": () => ({ size: 72 }),
  "120 bytes": () => ({ size: 120 }),
  "4096 bytes": () => ({ size: 4096 }),
  "4097 bytes": () => ({ size: 4097 })
}

const i32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer)

/** Log levels, buffers and sizes (`bpf_vlog_init`). */
function* logs(): Generator<readonly [name: string, more: More]> {
  for (const level of [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 1 << 20]) {
    for (const size of [0, 1, 64, 127, 128, 4096, 2 ** 30 - 1, 2 ** 30, 2 ** 31]) {
      yield [`log level ${level}, size ${size}, no buffer`, () => ({ log_level: level, log_size: size })]
      if (size > 65536) continue
      yield [
        `log level ${level}, size ${size}`,
        (side) => ({ log_level: level, log_size: size, log_buf: side.place(Math.max(8, size)) })
      ]
    }
  }
}

const defaults: ReadonlyArray<ProgramType> = ["socket_filter", "kprobe", "sched_cls", "xdp", "tracepoint", "syscall"]

/** The fields of a kind in words of its own, in place of its number. */
export function* loadArguments(): Generator<Case<LoadBench>> {
  const lastType = Math.max(...Object.values(programTypes))
  const lastAttach = Math.max(...Object.values(attachTypes))
  for (let type = 0; type <= lastType + 2; type++) {
    for (let attach = 0; attach <= lastAttach + 2; attach++) {
      for (const flags of [0, 1 << 4]) {
        yield {
          name: `type ${type}, attach type ${attach}, flags ${flags}`,
          run: load(type, { expected_attach_type: attach, prog_flags: flags }, () => ({}))
        }
      }
    }
  }
  for (const kind of kinds) {
    if (kind.type === "struct_ops") continue
    const name = nameOf(kind)
    const run = (more: More) => (side: LoadBench): number => {
      const { prog_type, ...fields } = loadFields(kind, side.btf)
      return load(Number(prog_type), fields, more)(side)
    }
    for (let bit = 0; bit < 32; bit++) {
      yield { name: `${name}, flag ${bit}`, run: run(() => ({ prog_flags: 2 ** bit })) }
      yield { name: `${name}, flag ${bit} and 4`, run: run(() => ({ prog_flags: 2 ** bit + (bit === 4 ? 0 : 16) })) }
    }
    for (const license of licenses) {
      yield {
        name: `${name}, licence ${JSON.stringify(license?.slice(0, 20))} ${license?.length}`,
        run: run(() => ({ license }))
      }
    }
    for (const [odd, more] of Object.entries(oddities)) yield { name: `${name}, ${odd}`, run: run(more) }
  }
  for (const type of defaults) {
    const flags = type === "syscall" ? { prog_flags: 16 } : {}
    for (const [log, more] of logs()) {
      yield { name: `${type}, ${log}`, run: load(programTypes[type], flags, more) }
      yield {
        name: `${type}, rejected, ${log}`,
        run: load(
          programTypes[type],
          flags,
          (side) => ({ ...more(side), insns: side.place(joined(returning(1)).fill(0, 0, 8)) })
        )
      }
    }
  }
}
