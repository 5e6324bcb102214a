// BPF_PROG_LOAD, and the dance around its log: first without one, since a log slows the verifier; after a rejection
// again with one, and with larger buffers until it fits.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_prog_load } from "../../abi/generated/structs.ts"
import { errno } from "../../abi/errno.ts"
import { programTypes } from "../../abi/names.ts"
import type { Assembled } from "../../isa/Asm.ts"
import { sourceOf } from "../../isa/Instruction.ts"
import { fill } from "../../kernel/internal/attr.ts"
import {
  acquireBlock,
  acquireDescriptor,
  type Call,
  charged,
  type Descriptor,
  withLocalScope
} from "../../kernel/internal/syscall.ts"
import type { Block, KernelService } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"
import type { ProgramSpec } from "../../spec/ProgramSpec.ts"
import { failingInstruction, VerifierError } from "../VerifierError.ts"

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

/** The program's bytes with the descriptors of its maps in place. */
const instructionBlock = (
  kernel: KernelService,
  program: Assembled,
  mapFds: ReadonlyMap<string, number>
): Effect.Effect<Block, SystemCallError, Scope.Scope> =>
  Effect.map(acquireBlock(kernel, program.bytes.length), (block) => {
    block.bytes.set(program.bytes)
    for (const [name, slots] of program.maps) {
      for (const slot of slots) block.view.setInt32(slot * 8 + 4, mapFds.get(name)!, true)
    }
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

/** EPERM and the like come before the verifier runs, and have no log. */
const mayHaveLog = (error: SystemCallError): boolean =>
  ![errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EBADF, errno.EINTR].includes(error.errno as never)

/** Loads an assembled program: a descriptor that is closed with the scope, and -1 from then on. */
export const loadProgram = (
  kernel: KernelService,
  spec: ProgramSpec,
  program: Assembled,
  mapFds: ReadonlyMap<string, number>
): Effect.Effect<Descriptor, VerifierError | SystemCallError, Scope.Scope> =>
  withLocalScope(Effect.fnUntraced(function*(owner) {
    const instructions = yield* instructionBlock(kernel, program, mapFds)
    const license = yield* textBlock(kernel, spec.license)
    const attr = yield* acquireBlock(kernel, bpf_attr_prog_load.size)
    const what: Call = { call: "bpf", command: "BPF_PROG_LOAD", subject: `${spec.type} program "${spec.name}"` }

    const attempt = (log?: Block, logSize?: number): Effect.Effect<Descriptor, SystemCallError> => {
      const size = fill(attr, bpf_attr_prog_load, {
        prog_type: programTypes[spec.type],
        insn_cnt: program.bytes.length / 8,
        insns: instructions,
        license,
        prog_name: encoder.encode(spec.name),
        ...(log === undefined ? {} : { log_level: 1, log_size: logSize, log_buf: log })
      })
      const once = charged(kernel, () => kernel.bpf(bpf_cmd.BPF_PROG_LOAD, attr, size))
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
        location: locationOf(program, instruction)
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
