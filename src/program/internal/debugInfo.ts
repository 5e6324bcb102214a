// BTF for programs made here: their functions, and for each instruction the line of TypeScript that made it. The
// verifier writes those lines into its log, and bpftool shows them. Callbacks and global functions cannot be without.
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import { withStrings } from "../../btf/withStrings.ts"
import type { Assembled, AssembledFunction } from "../../isa/Asm.ts"
import type { Instruction } from "../../isa/Instruction.ts"
import type { DebugInfo } from "../../spec/ProgramSpec.ts"

/** sizeof(struct bpf_func_info): insn_off, type_id */
export const FUNCTION_RECORD = 8
/** sizeof(struct bpf_line_info): insn_off, file_name_off, line_off, line_col */
export const LINE_RECORD = 16

/** BTF_FUNC_STATIC and BTF_FUNC_GLOBAL, the linkage of functions */
const STATIC = 0
const GLOBAL = 1

const u64: BtfType = {
  _tag: "Int",
  name: "unsigned long long",
  size: 8,
  bits: 64,
  offset: 0,
  signed: false,
  char: false,
  bool: false
}
const U64 = 1

/** A C identifier: a program's name may have dots, which BTF's may not before 6.x. */
const identifier = (name: string): string => name.replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d)/, "_")

/** Two types for each function: its prototype and itself. Registers hold 64-bit numbers, as far as anyone knows. */
const typesOf = (fn: AssembledFunction, index: number, programName: string): ReadonlyArray<BtfType> => [
  {
    _tag: "FuncProto",
    returns: U64,
    parameters: Array.from({ length: fn.parameters }, (_, i) => ({ name: `r${i + 1}`, type: U64 }))
  },
  {
    _tag: "Func",
    name: fn.name ?? identifier(programName),
    type: U64 + 1 + index * 2,
    linkage: fn.global || index === 0 ? GLOBAL : STATIC
  }
]

interface Line {
  readonly slot: number
  readonly file: string
  readonly text: string
  readonly line: number
  readonly column: number
}

const nowhere = { file: "", text: "", line: 0, column: 0 }

const lineOf = ({ source }: Instruction): Omit<Line, "slot"> => {
  const location = source?.location
  if (source === undefined || location === undefined) return nowhere
  const { column, file, line } = location
  // Kernels before 6.9 print the text alone, so file and line stand in it too.
  return { file, text: `${file.slice(file.lastIndexOf("/") + 1)}:${line}: ${source.builder}(...)`, line, column }
}

/** One record for each run of instructions of one place; the kernel wants one at the start of each function. */
const linesOf = (program: Assembled): ReadonlyArray<Line> => {
  const starts = new Set(program.functions.map((fn) => fn.slot))
  const lines: Array<Line> = []
  let before: Line | undefined
  for (const [index, instruction] of program.instructions.entries()) {
    const slot = program.slots[index]!
    const line = { slot, ...lineOf(instruction) }
    const isSame = before !== undefined && before.text === line.text && before.file === line.file &&
      before.column === line.column
    if (!isSame || starts.has(slot)) lines.push(line)
    before = line
  }
  return lines.some((line) => line.text !== "") ? lines : []
}

const words = (values: ReadonlyArray<number>): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer)

/** `line_col`: 22 bits of line and 10 of column (BPF_LINE_INFO_LINE_NUM() and BPF_LINE_INFO_LINE_COL()). */
const COLUMN_BITS = 10
const MOST_COLUMN = 2 ** COLUMN_BITS - 1
const MOST_LINE = 2 ** 22 - 1

const lineColumn = ({ column, line }: Line): number =>
  ((Math.min(line, MOST_LINE) << COLUMN_BITS) | Math.min(column, MOST_COLUMN)) >>> 0

/** The debug information of a program; `undefined` where BTF has no room for it, as for a name with NUL. */
export const debugInfoOf = (program: Assembled, name: string): DebugInfo | undefined => {
  const encoded = Btf.encode([u64, ...program.functions.flatMap((fn, i) => typesOf(fn, i, name))])
  if (Result.isFailure(encoded)) return undefined
  const blob = encoded.success
  const lines = linesOf(program)
  const { bytes, offsets } = withStrings(blob, lines.flatMap((line) => [line.file, line.text]))
  return {
    btf: bytes,
    functions: words(program.functions.flatMap((fn, i) => [fn.slot, U64 + 2 + i * 2])),
    lines: words(
      lines.flatMap((line) => [line.slot, offsets.get(line.file)!, offsets.get(line.text)!, lineColumn(line)])
    )
  }
}

/** The line that debug information has for a slot, as `file:line`: that of the last record at or before it. */
export const lineAt = (
  { btf, lineRecordSize = LINE_RECORD, lines }: DebugInfo,
  slot: number
): string | undefined => {
  const view = new DataView(lines.buffer, lines.byteOffset, lines.byteLength)
  let found: number | undefined
  for (let at = 0; at + LINE_RECORD <= lines.length; at += Math.max(LINE_RECORD, lineRecordSize)) {
    if (view.getUint32(at, true) <= slot) found = at
  }
  const strings = found === undefined ? undefined : Result.getOrElse(Btf.parse(btf), () => undefined)
  if (found === undefined || strings === undefined) return undefined
  const file = strings.string(view.getUint32(found + 4, true))
  return file === "" ? undefined : `${file}:${view.getUint32(found + 12, true) >>> COLUMN_BITS}`
}
