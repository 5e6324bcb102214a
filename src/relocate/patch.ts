// Puts the numbers of a kernel's types into an assembled program: what `Relocation` answers for each reference becomes the
// offset of its load or store, or the immediate of any other instruction. Pure, as is all left of `Program.load`.
//
// An instruction whose number the kernel does not have is replaced by a call of a helper that no kernel has, as libbpf does:
// where control can reach it the verifier rejects the program, and else it is dead code.
import * as Result from "effect/Result"
import type { Btf } from "../btf/Btf.ts"
import type { Assembled, Unresolved } from "../isa/Asm.ts"
import { immediateRange } from "../isa/immediates.ts"
import { CALL, classes, fields, sizes, WIDE_LOAD } from "../isa/opcodes.ts"
import { describe, RelocationError, resolve, resolveAccess, resolveLocalAccess } from "./Relocation.ts"

/** A program for one kernel. */
export interface Patched {
  readonly bytes: Uint8Array
  /** Why instructions were replaced by one that is always rejected, by their slots. */
  readonly poisoned: ReadonlyMap<number, RelocationError>
}

/** The number of the helper that no kernel has; libbpf's, so that its users recognise it ("bad relo"). */
const BAD_HELPER = 0xbad2310

const poison = (view: DataView, slot: number): void => {
  view.setUint8(slot * 8, CALL)
  view.setUint8(slot * 8 + 1, 0)
  view.setInt16(slot * 8 + 2, 0, true)
  view.setInt32(slot * 8 + 4, BAD_HELPER, true)
}

const widths: { readonly [size: number]: number } = { 1: sizes.BPF_B, 2: sizes.BPF_H, 4: sizes.BPF_W, 8: sizes.BPF_DW }

const isBetween = (value: number | bigint, minimum: number, maximum: number): boolean =>
  value >= minimum && value <= maximum

const tooWide = ({ reference }: Unresolved, expected: string, value: number | bigint): RelocationError =>
  new RelocationError({ reason: "missing", reference: describe(reference), expected, actual: String(value) })

/** Writes a number into an instruction, or says why it does not fit. */
const put = (view: DataView, use: Unresolved, value: number | bigint): RelocationError | undefined => {
  const at = use.slot * 8
  const opcode = view.getUint8(at)
  const instructionClass = opcode & fields.CLASS
  if (opcode === WIDE_LOAD) {
    const wide = BigInt.asUintN(64, BigInt(value))
    view.setUint32(at + 4, Number(wide & 0xffffffffn), true)
    view.setUint32(at + 12, Number(wide >> 32n), true)
  } else if (instructionClass >= classes.BPF_LDX && instructionClass <= classes.BPF_STX) {
    if (!isBetween(value, 0, 0x7fff)) return tooWide(use, "an offset of 16 bits (add it to the register)", value)
    view.setInt16(at + 2, Number(value), true)
  } else {
    // An operation on 64 bits would extend the sign of what has more.
    const [minimum, maximum] = immediateRange(opcode)
    if (!isBetween(value, minimum, maximum)) {
      return tooWide(use, `a number from ${minimum} to ${maximum} (lddwCore takes 64 bits)`, value)
    }
    view.setInt32(at + 4, Number(value), true)
  }
  return undefined
}

const patchAccess = (view: DataView, use: Unresolved, btf: Btf): RelocationError | undefined => {
  const found = resolveAccess(btf, use.reference as Extract<Unresolved["reference"], { readonly _tag: "Core" }>)
  if (Result.isFailure(found)) return found.failure
  const { offset, size } = found.success
  const width = widths[size]
  if (width === undefined) return tooWide(use, "a field of 1, 2, 4 or 8 bytes", size)
  view.setUint8(use.slot * 8, (view.getUint8(use.slot * 8) & ~fields.SIZE) | width)
  return put(view, use, offset)
}

/** A load or store by local types changes its size with the field's, where that cannot change what is read. */
const patchLocal = (view: DataView, use: Unresolved, btf: Btf): RelocationError | undefined => {
  const { reference } = use
  if (reference._tag !== "LocalCore") return undefined
  const at = use.slot * 8
  const opcode = view.getUint8(at)
  const isMemory = (opcode & fields.CLASS) >= classes.BPF_LDX && (opcode & fields.CLASS) <= classes.BPF_STX
  const found = resolveLocalAccess(btf, reference, isMemory)
  if (Result.isFailure(found)) return found.failure
  const { size, value } = found.success
  if (size !== undefined) {
    const width = widths[size]
    if (width === undefined) return tooWide(use, "a field of 1, 2, 4 or 8 bytes", size)
    view.setUint8(at, (opcode & ~fields.SIZE) | width)
  }
  return put(view, use, value)
}

const patchOne = (view: DataView, use: Unresolved, btf: Btf): RelocationError | undefined => {
  if (use.reference._tag === "LocalCore") return patchLocal(view, use, btf)
  if (use.reference._tag === "Core" && use.reference.access === true) return patchAccess(view, use, btf)
  const found = resolve(btf, use.reference)
  return Result.isFailure(found) ? found.failure : put(view, use, found.success)
}

/**
 * The bytes of a program for the kernel that has these types. Fails with `RelocationError` for a reference that is wrong
 * on every kernel or ambiguous on this one; what this kernel has not is poisoned.
 */
export const patch = (program: Assembled, btf: Btf): Result.Result<Patched, RelocationError> => {
  const bytes = program.bytes.slice()
  const view = new DataView(bytes.buffer)
  const poisoned = new Map<number, RelocationError>()
  for (const use of program.unresolved) {
    const isWide = bytes[use.slot * 8] === WIDE_LOAD
    const error = patchOne(view, use, btf)
    if (error === undefined) continue
    // As libbpf: what a kernel has in several ways is no guess to make.
    if (error.reason !== "missing") return Result.fail(error)
    poison(view, use.slot)
    if (isWide) poison(view, use.slot + 1)
    poisoned.set(use.slot, error)
  }
  return Result.succeed({ bytes, poisoned })
}
