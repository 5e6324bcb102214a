// BPF_PROG_LOAD, and what its log costs: the first load has none, since a log slows the verifier; a rejected program is
// loaded once more, with one.
import { whyRefused } from "./refusedHelper.ts"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import { programTypes } from "../../abi/names.ts"
import { loadBtf } from "../../bpf/btf.ts"
import { pointTo, pointToText } from "../../bpf/command.ts"
import * as bpf from "../../bpf/programs.ts"
import type { Assembled } from "../../isa/Asm.ts"
import { sourceOf } from "../../isa/Instruction.ts"
import { acquireBlock, type Descriptor, withLocalScope } from "../../kernel/systemCall.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { SystemCallError } from "../../kernel/KernelError.ts"
import { flags, type ProgramSpec } from "../../spec/ProgramSpec.ts"
import { VerifierError } from "../VerifierError.ts"
import type { Attachment } from "./attachTo.ts"
import { debugInfoOf, FUNCTION_RECORD, LINE_RECORD, lineAt } from "./debugInfo.ts"
import { failingInstruction, lastLines, logSizes, readLog, reasonOf, type VerifierLog } from "./verifierLog.ts"

const encoder = new TextEncoder()

const locationOf = ({ program, spec }: Loadable, slot: number | undefined): string | undefined => {
  if (slot !== undefined && spec.debugInfo !== undefined) return lineAt(spec.debugInfo, slot)
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

/** The fields of BPF_PROG_LOAD for debug information. Where the kernel does not take it, programs go without. */
const debugFields = (kernel: KernelService, { program, spec }: Loadable) =>
  Effect.gen(function*() {
    const info = spec.debugInfo ?? debugInfoOf(program, spec.name)
    if (info === undefined) return {}
    const { functionRecordSize = FUNCTION_RECORD, lineRecordSize = LINE_RECORD } = info
    const btf = yield* Effect.catchIf(
      loadBtf(kernel, info.btf, `the lines of ${subjectOf(spec)}`),
      (error) => error.call === "bpf",
      () => Effect.undefined
    )
    if (btf === undefined) return {}
    const hasLines = info.lines.length > 0
    return {
      prog_btf_fd: btf.fd,
      func_info_rec_size: functionRecordSize,
      func_info: pointTo(info.functions),
      func_info_cnt: Math.floor(info.functions.length / functionRecordSize),
      ...(hasLines
        ? {
          line_info_rec_size: lineRecordSize,
          line_info: pointTo(info.lines),
          line_info_cnt: Math.floor(info.lines.length / lineRecordSize)
        }
        : {})
    }
  })

const subjectOf = (spec: ProgramSpec): string => `${spec.type} program "${spec.name}"`

/** Loads a program: a descriptor that is closed with the scope, and -1 from then on. */
export const loadProgram = (
  kernel: KernelService,
  loadable: Loadable
): Effect.Effect<Descriptor, VerifierError | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const { attachment, bytes, logLevel, poisoned, spec } = loadable
    const debug = yield* debugFields(kernel, loadable)
    const subject = subjectOf(spec)

    const attempt = (log?: bpf.LogBuffer): Effect.Effect<Descriptor, SystemCallError> =>
      Scope.provide(
        bpf.loadProgram(
          kernel,
          {
            prog_type: programTypes[spec.type],
            insn_cnt: bytes.length / 8,
            insns: pointTo(bytes),
            license: pointToText(spec.license),
            prog_flags: programFlags(spec),
            prog_name: encoder.encode(spec.name),
            expected_attach_type: attachment.expectedAttachType,
            ...(attachment.btfId === 0 ? {} : { attach_btf_id: attachment.btfId }),
            ...debug
          },
          { subject },
          log
        ),
        owner
      )

    const explain = (error: number, log: VerifierLog): VerifierError => {
      const { lines } = lastLines(log.logBytes)
      const instruction = failingInstruction(lines)
      const reason = reasonOf(lines)
      return new VerifierError({
        ...log,
        program: spec.name,
        errno: error,
        reason,
        instruction,
        location: locationOf(loadable, instruction),
        missing: instruction === undefined ? undefined : poisoned.get(instruction)?.message,
        hint: whyRefused(spec, bytes, instruction, reason, kernel.version)
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
          (block) => {
            const log: bpf.LogBuffer = { block, size, level: logLevel, trueSize: 0 }
            return Effect.map(
              Effect.result(attempt(log)),
              (outcome) => Result.mapError(outcome, (error) => ({ error, log: readLog(kernel, log, error.errno) }))
            )
          }
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
