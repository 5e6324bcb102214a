/**
 * A loaded program: the kernel has verified and compiled it. It does nothing until it is attached (`Tracepoint.attach`)
 * or run once by `testRun`, and it is unloaded when its scope has closed and nothing else refers to it.
 *
 * Loading needs CAP_BPF, and CAP_PERFMON or CAP_NET_ADMIN for the types that trace or see packets; before 5.8,
 * CAP_SYS_ADMIN.
 *
 * @example
 * ```ts
 * import { Asm, Program, ProgramSpec } from "effect-ebpf"
 * import * as Effect from "effect/Effect"
 *
 * const pass = ProgramSpec.make({
 *   type: "xdp",
 *   name: "pass",
 *   instructions: [Asm.mov("r0", 2), Asm.exit()] // XDP_PASS
 * })
 *
 * const program = Effect.gen(function*() {
 *   const loaded = yield* Program.load(pass)
 *   const { returnValue } = yield* Program.testRun(loaded, { data: new Uint8Array(64) })
 *   return returnValue // 2
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { deferredStream } from "../effect/onDemand.ts"
import type { ProgramType } from "../abi/names.ts"
import * as Btf from "../btf/Btf.ts"
import * as Asm from "../isa/Asm.ts"
import { isHandle, openFd } from "../kernel/handle.ts"
import { allOrNothing } from "../kernel/systemCall.ts"
import { listById } from "../bpf/objectIds.ts"
import { pinObject } from "../bpf/pins.ts"
import { checkName } from "../kernel/validate.ts"
import { anInteger, type Checks, readOptions, whenRight } from "../kernel/options.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../kernel/KernelError.ts"
import * as KernelBtf from "../relocate/KernelBtf.ts"
import { patch } from "../relocate/patch.ts"
import type { RelocationError } from "../relocate/Relocation.ts"
import type { AttachTypeOf, TestRunnable } from "../spec/ProgramKind.ts"
import { type ProgramSpec, read as readProgram } from "../spec/ProgramSpec.ts"
import { attachmentOf, checkKind, needsBtf } from "./internal/attachTo.ts"
import { programHandles } from "./handles.ts"
import { describe, handle, type Program } from "./internal/handle.ts"
import { type Info, openByFd, openById, openByPath, readInfo } from "./internal/info.ts"
import { loadProgram } from "./internal/load.ts"
import { findMaps, type MapReference, withMaps } from "./internal/maps.ts"
import { readTestInput, runTest, type TestRunInput, type TestRunResult } from "./internal/testRun.ts"
import type { VerifierError } from "./VerifierError.ts"

export type { TestRunnable } from "../spec/ProgramKind.ts"
export type { Program } from "./internal/handle.ts"
export type { Info } from "./internal/info.ts"
export type { TestRunInput, TestRunResult } from "./internal/testRun.ts"

/** True for programs. */
export const isProgram = (value: unknown): value is Program => isHandle(programHandles, value)

export type { MapReference } from "./internal/maps.ts"

/** The fields of `Program.load`'s options. */
export interface LoadOptions {
  /** The maps that the program refers to by name. Those that it refers to by handle need not be here. */
  readonly maps?: { readonly [name: string]: MapReference }
  /** The kernel's types; read from it when the program refers to them, unless given. `KernelBtf.load` gives them. */
  readonly btf?: Btf.Btf
  /**
   * How much the verifier writes of a program that it rejects: 1, the path that it failed on (the default), or 2, all
   * paths. Programs that load have no log.
   */
  readonly logLevel?: 1 | 2
}

const loadChecks: Checks<LoadOptions> = {
  maps: {
    expected: "maps by name",
    accepts: (maps) =>
      typeof maps === "object" && maps !== null && !Array.isArray(maps) &&
      Object.values<any>(maps).every((map) => typeof map?.fd === "number")
  },
  btf: { expected: "BTF, as KernelBtf.load gives it", accepts: Btf.isBtf },
  logLevel: anInteger(1, 2)
}

/** All that loading can fail with. */
export type LoadError =
  | Asm.AsmError
  | InvalidArgument
  | RelocationError
  | Btf.BtfError
  | VerifierError
  | SystemCallError

/** The kernel's types, where the program needs them. */
const typesFor = (kernel: KernelService, spec: ProgramSpec, program: Asm.Assembled, given: Btf.Btf | undefined) =>
  given !== undefined || (program.unresolved.length === 0 && !needsBtf(spec))
    ? Effect.succeed(given)
    : KernelBtf.shared(kernel)

/**
 * Assembles and loads a program, which is closed with the scope. It carries the lines of TypeScript that made it, which
 * the verifier's log then shows, where the kernel takes them.
 *
 * Fails with `AsmError` for a program that cannot be assembled, `InvalidArgument` for a bad name, a missing map or
 * something to attach to that is not there, `VerifierError` with its log when the verifier rejects it, and
 * `SystemCallError` for any other refusal. For programs that refer to the kernel's types also with `RelocationError` for
 * a reference that no kernel can have, and with `BtfError` or `SystemCallError` where its types cannot be read.
 */
export const load = <T extends ProgramType, A extends AttachTypeOf<T>>(
  spec: ProgramSpec<T, A>,
  options?: LoadOptions
): Effect.Effect<Program<T, A>, LoadError, Kernel | Scope.Scope> =>
  whenRight(() => {
    const given = readOptions("options of a load", options, loadChecks)
    const read = readProgram(spec as unknown as ProgramSpec)
    const { name, type } = read
    return Effect.map(
      loadAny(read, given),
      // Every attach type of a type is one of all of them; TypeScript cannot see that.
      ({ descriptor, kernel }) =>
        handle<T, A>(kernel, descriptor, { type: type as T, name, attachType: read.expectedAttachType as A })
    ).pipe(Effect.withSpan("Program.load", { attributes: { "bpf.program.type": type, "bpf.program.name": name } }))
  })

const loadAny = (spec: ProgramSpec, options: LoadOptions) =>
  Effect.gen(function*() {
    const kernel = yield* Kernel
    const { btf: given, logLevel = 1, maps = {} } = options
    const invalid = checkName("name", spec.name) ?? checkKind(spec)
    if (invalid !== undefined) return yield* invalid
    const program = yield* Effect.fromResult(Asm.assemble(spec.instructions))
    const btf = yield* typesFor(kernel, spec, program, given)
    const attachment = yield* Effect.fromResult(attachmentOf(spec, btf))
    const patched = btf === undefined
      ? { bytes: program.bytes, poisoned: new Map<number, RelocationError>() }
      : yield* Effect.fromResult(patch(program, btf))
    // Last of all: a map that closes meanwhile must not leave the number of another's descriptor here.
    const bytes = withMaps(patched.bytes, yield* Effect.fromResult(findMaps(program, maps)))
    const descriptor = yield* loadProgram(kernel, { ...patched, spec, program, bytes, attachment, logLevel })
    return { descriptor, kernel }
  })

/**
 * Runs a program in the kernel without attaching it, on the given packet or context; kernel 4.12, and later for some types
 * (`ProgramKind`). What a program is given, and how large it may be, is said at `TestRunInput`.
 *
 * `repeat` runs it that often in one system call. A packet may grow by 16 KiB, which is more than helpers let one
 * grow at once; for one that grew further the program is run a second time, with more room.
 *
 * Fails with `InvalidArgument` for what a type of program cannot be given or misses, and with `SystemCallError` if the
 * kernel refuses: EINVAL for a packet or context of a size or with fields that it does not take.
 */
export const testRun = (
  program: Program<TestRunnable>,
  input?: TestRunInput
): Effect.Effect<TestRunResult, InvalidArgument | SystemCallError, Kernel> =>
  whenRight(() => {
    const given = readTestInput(input)
    return Effect.flatMap(
      Kernel,
      (kernel) => Effect.flatMap(openFd("program", program, programHandles), () => runTest(kernel, program, given))
    )
  })

/** What the kernel says of the program. Fails with `SystemCallError`, EBADF after its scope has closed. */
export const info = (program: Program): Effect.Effect<Info, InvalidArgument | SystemCallError, Kernel> =>
  Effect.flatMap(
    Kernel,
    (kernel) =>
      Effect.flatMap(openFd("program", program, programHandles), (fd) => readInfo(kernel, fd, describe(program)))
  )

/**
 * Gives the program a name in a BPF file system, under which it lives on when no process holds it, and other processes find
 * it. `BpfFs.unpin` takes the name away.
 *
 * Fails with `SystemCallError`: EEXIST where something is pinned there already, EPERM in another file system.
 */
export const pin = (program: Program, path: string): Effect.Effect<void, InvalidArgument | SystemCallError, Kernel> =>
  Effect.flatMap(
    Kernel,
    (kernel) =>
      Effect.flatMap(openFd("program", program, programHandles), (fd) => pinObject(kernel, fd, describe(program), path))
  )

/**
 * Opens the program that is pinned at a path, which must be of the type given. It is closed with the scope, and stays
 * loaded as long as something else refers to it, such as the pin.
 *
 * Fails with `SystemCallError`, ENOENT where nothing is pinned, and with `InvalidArgument` for an object of another kind or
 * a program of another type.
 */
export const openPinned = <const T extends ProgramType, const A extends AttachTypeOf<T> = AttachTypeOf<T>>(
  type: T,
  path: string,
  attachType?: A
): Effect.Effect<Program<T, A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.flatMap(Kernel, (kernel) => openByPath(kernel, { type, attachType: attachType as A }, path)))

/**
 * Opens a program of the system by its id, which must be of the type given. `attachType` is what it was loaded for, where
 * that is known: the kernel does not tell it, and refuses to attach where it is not true. It is closed with the scope, and stays loaded
 * as long as something else refers to it. Needs CAP_SYS_ADMIN.
 *
 * Fails with `SystemCallError` ENOENT for an unknown id, and with `InvalidArgument` for a program of another type.
 */
export const fromId = <const T extends ProgramType, const A extends AttachTypeOf<T> = AttachTypeOf<T>>(
  type: T,
  id: number,
  attachType?: A
): Effect.Effect<Program<T, A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.flatMap(Kernel, (kernel) => openById(kernel, { type, attachType: attachType as A }, id)))

/**
 * Opens the program that a descriptor of this process refers to, such as one inherited or received. The descriptor stays
 * the caller's: a duplicate is made, and closed with the scope.
 *
 * Fails with `SystemCallError` EBADF for a closed one, and with `InvalidArgument` for that of no program or of another
 * type.
 */
export const fromFd = <const T extends ProgramType, const A extends AttachTypeOf<T> = AttachTypeOf<T>>(
  type: T,
  fd: number,
  attachType?: A
): Effect.Effect<Program<T, A>, InvalidArgument | SystemCallError, Kernel | Scope.Scope> =>
  allOrNothing(Effect.flatMap(Kernel, (kernel) => openByFd(kernel, { type, attachType: attachType as A }, fd)))

/** All programs of the system, by ascending id. Those that come and go meanwhile may be missing. Needs CAP_SYS_ADMIN. */
export const list: Stream.Stream<Info, InvalidArgument | SystemCallError, Kernel> = deferredStream((stream) =>
  stream.unwrap(
    Effect.map(Kernel, (kernel) => listById(kernel, "program", (fd, subject) => readInfo(kernel, fd, subject)))
  )
)
