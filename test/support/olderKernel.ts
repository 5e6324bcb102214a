// Kernels that lack what maps use where they can: the same kernel, with commands that answer as if it had none of them.
import * as Effect from "effect/Effect"
import { bpf_cmd } from "../../src/abi/generated/enums.ts"
import { bpf_attr_prog_load } from "../../src/abi/generated/structs.ts"
import { errno } from "../../src/abi/errno.ts"
import { programTypes } from "../../src/abi/names.ts"
import { Kernel } from "../../src/index.ts"
import { readNumber } from "../../src/kernel/attribute.ts"

const batches: ReadonlySet<number> = new Set([
  bpf_cmd.BPF_MAP_LOOKUP_BATCH,
  bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
  bpf_cmd.BPF_MAP_UPDATE_BATCH,
  bpf_cmd.BPF_MAP_DELETE_BATCH
])

/** What a kernel is to lack: `syscall` programs (before 5.14), batches on maps (before 5.6). */
export interface Lacks {
  readonly programs?: boolean
  readonly batches?: boolean
}

/** Runs an effect on a kernel that lacks some things. Unknown commands and program types are EINVAL. */
export const lacking = (lacks: Lacks) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Kernel.Kernel, (kernel) => {
    const call: Kernel.BpfCalls["call"] = (command, attr, size) => {
      const isProgram = command === bpf_cmd.BPF_PROG_LOAD &&
        readNumber(attr, bpf_attr_prog_load, "prog_type") === programTypes.syscall
      const isLacking = (lacks.batches === true && batches.has(command)) || (lacks.programs === true && isProgram)
      return isLacking ? -errno.EINVAL : kernel.bpf.call(command, attr, size)
    }
    return Effect.provideService(effect, Kernel.Kernel, { ...kernel, bpf: { ...kernel.bpf, call } })
  })

/** All ways that maps have of doing the same, by what the kernel lacks. */
export const ways: ReadonlyArray<readonly [name: string, lacks: Lacks]> = [
  ["as the kernel is", {}],
  ["with no syscall programs", { programs: true }],
  ["with neither programs nor batches", { programs: true, batches: true }]
]

/** Runs an effect after changing the door: `watch` sees each call of `bpf` and makes it, or answers itself. */
export const watching = (
  watch: (command: number, call: () => number) => number
) =>
<A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Kernel.Kernel, (kernel) =>
    Effect.provideService(effect, Kernel.Kernel, {
      ...kernel,
      bpf: { ...kernel.bpf, call: (command, attr, size) => watch(command, () => kernel.bpf.call(command, attr, size)) }
    }))

/** Runs an effect on a kernel that says it is of a version just before another; `watch` sees its calls of `bpf`. */
export const olderThan = (
  [major, minor]: readonly [major: number, minor: number],
  watch: (command: number) => void
) =>
<A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(Kernel.Kernel, (kernel) => {
    const version = { major, minor: minor - 1, patch: 0, release: `${major}.${minor - 1}.0` }
    const call: Kernel.BpfCalls["call"] = (command, attr, size) => {
      watch(command)
      return kernel.bpf.call(command, attr, size)
    }
    return Effect.provideService(effect, Kernel.Kernel, { ...kernel, version, bpf: { ...kernel.bpf, call } })
  })
