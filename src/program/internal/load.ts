// BPF_PROG_LOAD, and what its log costs: the first load has none, since a log slows the verifier; a rejected program is
// loaded once more, with one.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_btf_load, bpf_attr_prog_load } from "../../abi/generated/structs.ts"
import { errno } from "../../abi/errno.ts"
import { programTypes } from "../../abi/names.ts"
import type { Assembled } from "../../isa/Asm.ts"
import { sourceOf } from "../../isa/Instruction.ts"
import { fill } from "../../kernel/attribute.ts"
import {
  acquireBlock,
  acquireDescriptor,
  type Call,
  charged,
  type Descriptor,
  retrying,
  withLocalScope
} from "../../kernel/systemCall.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import { flags, type ProgramSpec } from "../../spec/ProgramSpec.ts"
import { VerifierError } from "../VerifierError.ts"
import type { Attachment } from "./attachTo.ts"
import { type DebugInfo, debugInfoOf, FUNCTION_RECORD, LINE_RECORD } from "./debugInfo.ts"
import { failingInstruction, lastLines, logSizes, readLog, reasonOf, type VerifierLog } from "./verifierLog.ts"

/** The verifier answers EAGAIN when a signal is pending; libbpf tries 5 times. */
const MOST_ATTEMPTS = 5

const encoder = new TextEncoder()

const textBlock = (kernel: KernelService, text: string) =>
  Effect.map(acquireBlock(kernel, encoder.encode(text).length + 1), (block) => {
    block.bytes.set(encoder.encode(text))
    return block
  })

const bytesBlock = (kernel: KernelService, bytes: Uint8Array) =>
  Effect.map(acquireBlock(kernel, Math.max(8, bytes.length)), (block) => {
    block.bytes.set(bytes)
    return block
  })

const locationOf = (program: Assembled, slot: number | undefined): string | undefined => {
  const index = slot === undefined ? -1 : program.slots.indexOf(slot)
  const source = index < 0 ? undefined : sourceOf(program.instructions[index]!)
  return source === undefined ? undefined : `${source.file}:${source.line}`
}

const programFlags = (spec: ProgramSpec): number => spec.flags.reduce((all, flag) => all | flags[flag], 0)

/** EPERM and the like come before the verifier runs, and have no log. */
const mayHaveLog = (error: SystemCallError): boolean =>
  ![errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EBADF, errno.EINTR].includes(error.errno as never)

/** A program with all its numbers in place, and where they came from for those who ask. */
export interface Loadable {
  readonly spec: ProgramSpec
  readonly program: Assembled
  readonly bytes: Uint8Array
  /** Instructions that were replaced, by slot, and why. */
  readonly poisoned: ReadonlyMap<number, { readonly message: string }>
  readonly attachment: Attachment
  /** `log_level` of a log: 1 or 2. */
  readonly logLevel: number
}

/** The debug information in the kernel's hands: `undefined` where it does not take it, and then programs go without. */
const acquireDebugInfo = (
  kernel: KernelService,
  info: DebugInfo
): Effect.Effect<number | undefined, SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const blob = yield* bytesBlock(kernel, info.btf)
    const attr = yield* acquireBlock(kernel, bpf_attr_btf_load.size)
    const size = fill(attr, bpf_attr_btf_load, { btf: blob, btf_size: info.btf.length })
    const call = charged(kernel, () => kernel.bpf.call(bpf_cmd.BPF_BTF_LOAD, attr, Math.max(size, BTF_LOAD_SIZE)))
    const fd = yield* Effect.acquireRelease(
      Effect.sync(() => retrying(call)),
      (result) => Effect.sync(() => result >= 0 && kernel.files.close(result))
    )
    return fd < 0 ? undefined : fd
  })

/** The kernel wants all of the first five fields, up to btf_log_level. */
const BTF_LOAD_SIZE = bpf_attr_btf_load.fields.btf_log_level.offset + 4

/** The fields of BPF_PROG_LOAD for debug information. */
const debugFields = (kernel: KernelService, { program, spec }: Loadable) =>
  Effect.gen(function*() {
    const info = debugInfoOf(program, spec.name)
    const fd = yield* acquireDebugInfo(kernel, info)
    if (fd === undefined) return {}
    const functions = yield* bytesBlock(kernel, info.functions)
    const lines = info.lines.length === 0 ? undefined : yield* bytesBlock(kernel, info.lines)
    return {
      prog_btf_fd: fd,
      func_info_rec_size: FUNCTION_RECORD,
      func_info: functions,
      func_info_cnt: info.functions.length / FUNCTION_RECORD,
      line_info_rec_size: lines && LINE_RECORD,
      line_info: lines,
      line_info_cnt: lines && info.lines.length / LINE_RECORD
    }
  })

/** So much of the attribute that a kernel can tell of the log. */
const LOAD_SIZE = bpf_attr_prog_load.fields.log_true_size.offset + bpf_attr_prog_load.fields.log_true_size.size

/** Loads a program: a descriptor that is closed with the scope, and -1 from then on. */
export const loadProgram = (
  kernel: KernelService,
  loadable: Loadable
): Effect.Effect<Descriptor, VerifierError | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const { attachment, bytes, logLevel, poisoned, program, spec } = loadable
    const instructions = yield* bytesBlock(kernel, bytes)
    const license = yield* textBlock(kernel, spec.license)
    const debug = yield* debugFields(kernel, loadable)
    const attr = yield* acquireBlock(kernel, bpf_attr_prog_load.size)
    const what: Call = { call: "bpf", command: "BPF_PROG_LOAD", subject: `${spec.type} program "${spec.name}"` }

    const attempt = (log?: Block, logSize?: number): Effect.Effect<Descriptor, SystemCallError> => {
      const size = fill(attr, bpf_attr_prog_load, {
        prog_type: programTypes[spec.type],
        insn_cnt: bytes.length / 8,
        insns: instructions,
        license,
        prog_flags: programFlags(spec),
        prog_name: encoder.encode(spec.name),
        expected_attach_type: attachment.expectedAttachType,
        ...(attachment.btfId === 0 ? {} : { attach_btf_id: attachment.btfId }),
        ...debug,
        ...(log === undefined ? {} : { log_level: logLevel, log_size: logSize, log_buf: log })
      })
      const once = charged(
        kernel,
        () => kernel.bpf.call(bpf_cmd.BPF_PROG_LOAD, attr, log === undefined ? size : LOAD_SIZE)
      )
      const call = (): number => {
        let result = once()
        for (let i = 1; i < MOST_ATTEMPTS && result === -errno.EAGAIN; i++) result = once()
        return result
      }
      return Scope.provide(acquireDescriptor(kernel, what, call), owner)
    }

    const explain = (error: number, log: VerifierLog): VerifierError => {
      const { lines } = lastLines(log.logBytes)
      const instruction = failingInstruction(lines)
      return new VerifierError({
        ...log,
        program: spec.name,
        errno: error,
        reason: reasonOf(lines),
        instruction,
        location: locationOf(program, instruction),
        missing: instruction === undefined ? undefined : poisoned.get(instruction)?.message
      })
    }

    /** The second load: what `refusal` was for. ENOSPC says no more than that the log did not fit. */
    const withLog = (
      refusal: SystemCallError,
      [size, ...others]: ReadonlyArray<number>
    ): Effect.Effect<Descriptor, VerifierError | SystemCallError> =>
      size === undefined ? Effect.fail(refusal) : Effect.scoped(
        // Without memory for a log there is still the refusal to tell of.
        Effect.flatMap(
          Effect.mapError(acquireBlock(kernel, size), () => refusal),
          (block) =>
            Effect.map(
              Effect.result(attempt(block, size)),
              (outcome) =>
                Result.mapError(outcome, (error) => ({ error, log: readLog(kernel, attr, block, size, error.errno) }))
            )
        )
      ).pipe(Effect.flatMap((outcome) => {
        if (Result.isSuccess(outcome)) return Effect.succeed(outcome.success)
        const { error, log } = outcome.failure
        if (log.logBytes.length === 0) {
          return error.errno === errno.EINVAL && others.length > 0 ? withLog(refusal, others) : Effect.fail(error)
        }
        return Effect.fail(explain(error.errno === errno.ENOSPC ? refusal.errno : error.errno, log))
      }))

    return yield* attempt().pipe(Effect.catchIf(mayHaveLog, (refusal) => withLog(refusal, logSizes(kernel))))
  }))
