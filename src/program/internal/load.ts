// BPF_PROG_LOAD, and the dance around its log: first without one, since a log slows the verifier; after a rejection
// again with one, and with larger buffers until it fits.
import * as Effect from "effect/Effect"
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
import { failingInstruction, VerifierError } from "../VerifierError.ts"
import type { Attachment } from "./attachTo.ts"
import { type DebugInfo, debugInfoOf, FUNCTION_RECORD, LINE_RECORD } from "./debugInfo.ts"

/** Log sizes to try. Kernels before 5.18 take less than 16 MiB (UINT_MAX >> 8); later ones 1 GiB. */
const LOG_SIZES = [1 << 16, 1 << 20, (1 << 24) - 1, 1 << 27, (1 << 30) - 1]

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

const readLog = (log: Block): string => {
  const end = log.bytes.indexOf(0)
  return new TextDecoder().decode(log.bytes.slice(0, end < 0 ? log.size : end))
}

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

/** Loads a program: a descriptor that is closed with the scope, and -1 from then on. */
export const loadProgram = (
  kernel: KernelService,
  loadable: Loadable
): Effect.Effect<Descriptor, VerifierError | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const { attachment, bytes, poisoned, program, spec } = loadable
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
        ...(log === undefined ? {} : { log_level: 1, log_size: logSize, log_buf: log })
      })
      const once = charged(kernel, () => kernel.bpf.call(bpf_cmd.BPF_PROG_LOAD, attr, size))
      const call = (): number => {
        let result = once()
        for (let i = 1; i < MOST_ATTEMPTS && result === -errno.EAGAIN; i++) result = once()
        return result
      }
      return Scope.provide(acquireDescriptor(kernel, what, call), owner)
    }

    const explain = (error: SystemCallError, log: string): VerifierError | SystemCallError => {
      if (log === "") return error
      const instruction = failingInstruction(log)
      return new VerifierError({
        program: spec.name,
        errno: error.errno,
        log,
        instruction,
        location: locationOf(program, instruction),
        missing: instruction === undefined ? undefined : poisoned.get(instruction)?.message
      })
    }

    /** Tries with ever larger logs. A log that did not fit is told by ENOSPC, and kept in case nothing larger works. */
    const withLog = (
      refusal: SystemCallError,
      sizes: ReadonlyArray<number>,
      truncated: string
    ): Effect.Effect<Descriptor, VerifierError | SystemCallError> => {
      const [logSize, ...larger] = sizes
      if (logSize === undefined) return Effect.fail(explain(refusal, truncated))
      return Effect.scoped(Effect.gen(function*() {
        const log = yield* acquireBlock(kernel, logSize)
        return yield* attempt(log, logSize).pipe(
          Effect.map((loaded) => ({ loaded, error: refusal, log: "" })),
          Effect.catch((error) => Effect.succeed({ loaded: undefined, error, log: readLog(log) }))
        )
      })).pipe(Effect.flatMap((outcome) => {
        if (outcome.loaded !== undefined) return Effect.succeed(outcome.loaded)
        if (outcome.error.errno === errno.ENOSPC) return withLog(refusal, larger, outcome.log)
        return Effect.fail(explain(outcome.error, outcome.log === "" ? truncated : outcome.log))
      }))
    }

    return yield* attempt().pipe(
      Effect.catchIf(mayHaveLog, (refusal) => withLog(refusal, LOG_SIZES, ""))
    )
  }))
