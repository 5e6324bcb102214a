// What the kernel tells of a program, and how to get at one by its id or a descriptor of this process.
import * as Effect from "effect/Effect"
import { bpf_prog_info } from "../../abi/generated/structs.ts"
import { type AttachType, type ProgramType, programTypes } from "../../abi/names.ts"
import { acquireById } from "../../bpf/objectIds.ts"
import { type ObjectInfo, readObjectInfo } from "../../bpf/objectInfo.ts"
import { acquirePinned } from "../../bpf/pins.ts"
import { acquireDescriptor, type Call, type Descriptor } from "../../kernel/systemCall.ts"
import { checkFd, checkId } from "../../kernel/validate.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { InvalidArgument, type SystemCallError } from "../../kernel/KernelError.ts"
import { handle, type Program } from "./handle.ts"

/** What the kernel says of a program. Numbers that a kernel is too old to tell are 0. */
export interface Info {
  /** Unique among all programs of the system; never used again soon. */
  readonly id: number
  /** The name of its type, or the number of one that is newer than this library. */
  readonly type: ProgramType | number
  /** Empty for programs made without one. */
  readonly name: string
  /** A hash of its instructions, as hexadecimal digits. */
  readonly tag: string
  /** The size in bytes of its instructions, as the verifier left them. */
  readonly translatedSize: number
  /** The size in bytes of its machine code; 0 where it is interpreted. */
  readonly compiledSize: number
  /** When it was loaded, in nanoseconds since boot. */
  readonly loadTime: bigint
  readonly userId: number
  readonly isGplCompatible: boolean
  /** How many maps it uses. */
  readonly maps: number
  /** The id of its BTF; 0 without. */
  readonly btfId: number
  /** How many lines of source are known of it. */
  readonly sourceLines: number
  /** Time and number of its runs, while the kernel counts them (`kernel.bpf_stats_enabled`). */
  readonly runTime: bigint
  readonly runCount: bigint
  /** How many instructions the verifier looked at; kernel 5.16. */
  readonly verifiedInstructions: number
}

const names = new Map<number, ProgramType>(
  (Object.keys(programTypes) as Array<ProgramType>).toReversed().map((name) => [programTypes[name], name])
)

const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")

const parseInfo = ({ bigint, block, number, text }: ObjectInfo<"program">): Info => {
  const { gpl_compatible, tag } = bpf_prog_info.fields
  return {
    id: number("id"),
    type: names.get(number("type")) ?? number("type"),
    name: text("name"),
    tag: hex(block.bytes.slice(tag.offset, tag.offset + tag.size)),
    translatedSize: number("xlated_prog_len"),
    compiledSize: number("jited_prog_len"),
    loadTime: bigint("load_time"),
    userId: number("created_by_uid"),
    isGplCompatible: ((block.view.getUint32(gpl_compatible.offset, true) >>> gpl_compatible.shift) & 1) === 1,
    maps: number("nr_map_ids"),
    btfId: number("btf_id"),
    sourceLines: number("nr_line_info"),
    runTime: bigint("run_time_ns"),
    runCount: bigint("run_cnt"),
    verifiedInstructions: number("verified_insns")
  }
}

/** Every kernel since 5.1 has at least so much to tell of a program, and none so much of another object. */
const LEAST_LENGTH = bpf_prog_info.fields.run_time_ns.offset

const notAProgram = (actual: string): InvalidArgument =>
  new InvalidArgument({ field: "fd", expected: "a descriptor of a program", actual })

/** Reads the info of a descriptor. The length that comes back tells programs from other objects. */
export const readInfo = (
  kernel: KernelService,
  fd: number,
  subject: string
): Effect.Effect<Info, InvalidArgument | SystemCallError> =>
  Effect.flatMap(
    readObjectInfo(kernel, "program", { fd, subject }, (info) =>
      info.length < LEAST_LENGTH ? undefined : parseInfo(info)),
    (info) =>
      info === undefined ? Effect.fail(notAProgram("one of another object")) : Effect.succeed(info)
  )

/** A program as the caller takes it to be. */
interface Expected<T extends ProgramType, A extends AttachType | undefined> {
  readonly type: T
  readonly attachType: A
}

const withType = <T extends ProgramType, A extends AttachType | undefined>(
  kernel: KernelService,
  { attachType, type }: Expected<T, A>,
  descriptor: Descriptor
): Effect.Effect<Program<T, A>, InvalidArgument | SystemCallError> =>
  Effect.flatMap(readInfo(kernel, descriptor.fd, `a ${type} program`), (info) =>
    info.type === type
      ? Effect.succeed(handle(kernel, descriptor, { type, name: info.name, attachType }))
      : Effect.fail(new InvalidArgument({ field: "type", expected: String(info.type), actual: type })))

/** A handle of the program of an id. */
export const openById = <T extends ProgramType, A extends AttachType | undefined>(
  kernel: KernelService,
  expected: Expected<T, A>,
  id: number
) =>
  Effect.gen(function*() {
    const invalid = checkId(id)
    if (invalid !== undefined) return yield* invalid
    return yield* withType(kernel, expected, yield* acquireById(kernel, "program", id))
  })

/** A handle of the program of a descriptor, which is duplicated. */
export const openByFd = <T extends ProgramType, A extends AttachType | undefined>(
  kernel: KernelService,
  expected: Expected<T, A>,
  fd: number
) =>
  Effect.gen(function*() {
    const invalid = checkFd(fd)
    if (invalid !== undefined) return yield* invalid
    const what: Call = { call: "fcntl", command: "F_DUPFD_CLOEXEC", subject: `descriptor ${fd}` }
    return yield* withType(kernel, expected, yield* acquireDescriptor(kernel, what, () => kernel.files.dup(fd)))
  })

/** A handle of the program that is pinned at a path. */
export const openByPath = <T extends ProgramType, A extends AttachType | undefined>(
  kernel: KernelService,
  expected: Expected<T, A>,
  path: string
) => Effect.flatMap(acquirePinned(kernel, path), (descriptor) => withType(kernel, expected, descriptor))
