// A program of type `syscall` (kernel 5.14) that looks up, or updates, many keys of a map in one system call: it goes over
// keys and values that lie in an mmapable array, where this process writes and reads them.
//
// The array has one value: a header (the number of keys, the flags of updates), then results, keys and values, each with
// as many places as a run may have keys.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { bpf_map_create_flags } from "../../abi/generated/enums.ts"
import { errno } from "../../abi/errno.ts"
import { programTypes } from "../../abi/names.ts"
import { mman } from "../../abi/os.ts"
import { pointTo, pointToText } from "../../bpf/command.ts"
import { acquireRuns, loadProgram } from "../../bpf/programs.ts"
import * as Asm from "../../isa/Asm.ts"
import { acquireMapping, retrying } from "../../kernel/systemCall.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { InvalidArgument, SystemCallError } from "../../kernel/KernelError.ts"
import { createMap } from "./create.ts"
import { describe, type Opened } from "./handle.ts"

/** BPF_F_SLEEPABLE of include/uapi/linux/bpf.h: `syscall` programs take no other form. */
const BPF_F_SLEEPABLE = 1 << 4

const HEADER = 16
const FLAGS_AT = 8
/**
 * The verifier follows the loop to its end, so this many rounds are what it has to check: some 10 ms. A run costs 1.5 µs
 * whatever it does, 3 ns a key for this many.
 */
const MOST_KEYS = 512
/** Fewer places than this, for large values, are not worth it. */
const FEWEST_KEYS = 32
const MOST_BYTES = 1 << 20
/** Values up to here are copied by loads and stores; larger ones by a helper. */
const MOST_UNROLLED = 256

const round8 = (size: number): number => Math.ceil(size / 8) * 8

/** Where things are in the array. */
export interface Places {
  readonly capacity: number
  readonly keyStride: number
  readonly valueStride: number
  readonly results: number
  readonly keys: number
  readonly values: number
  readonly size: number
}

/** `undefined` for sizes that no program is made for. */
export const placesOf = (keySize: number, valueSize: number): Places | undefined => {
  const keyStride = round8(keySize)
  const valueStride = round8(valueSize)
  const capacity = Math.min(MOST_KEYS, Math.floor(MOST_BYTES / (keyStride + valueStride + 4)))
  if (capacity < FEWEST_KEYS || keySize === 0 || valueSize === 0) return undefined
  const results = HEADER
  const keys = results + round8(capacity * 4)
  const values = keys + capacity * keyStride
  return { capacity, keyStride, valueStride, results, keys, values, size: values + capacity * valueStride }
}

/** Copies `size` bytes from `r0` to `r8`, by way of `r1`. */
const copy = (size: number): Asm.Item => {
  if (size > MOST_UNROLLED) {
    return [
      Asm.mov("r1", "r8"),
      Asm.mov("r2", size),
      Asm.mov("r3", "r0"),
      Asm.call("probe_read_kernel")
    ]
  }
  const items: Array<Asm.Item> = []
  let at = 0
  for (
    const [width, load, store] of [[8, Asm.ldxdw, Asm.stdw], [4, Asm.ldxw, Asm.stw], [2, Asm.ldxh, Asm.sth], [
      1,
      Asm.ldxb,
      Asm.stb
    ]] as const
  ) {
    for (; size - at >= width; at += width) items.push(load("r1", "r0", at), store("r8", at, "r1"))
  }
  return items
}

/** `r6`: the key, `r7`: how many are done, `r8`: the value, `r9`: the result; the number of keys is on the stack. */
const loop = (places: Places, round: Asm.Item): ReadonlyArray<Asm.Item> => [
  Asm.ldMapValue("r6", "io"),
  Asm.ldxw("r1", "r6", 0),
  Asm.stdw("r10", -8, "r1"),
  Asm.ldxdw("r1", "r6", FLAGS_AT),
  Asm.stdw("r10", -16, "r1"),
  Asm.mov("r8", "r6"),
  Asm.add("r8", places.values),
  Asm.mov("r9", "r6"),
  Asm.add("r9", places.results),
  Asm.add("r6", places.keys),
  Asm.mov("r7", 0),
  Asm.label("next"),
  Asm.ldxdw("r1", "r10", -8),
  Asm.jge("r7", "r1", "out"),
  round,
  Asm.add("r6", places.keyStride),
  Asm.add("r8", places.valueStride),
  Asm.add("r9", 4),
  Asm.add("r7", 1),
  Asm.jlt("r7", places.capacity, "next"),
  Asm.label("out"),
  Asm.mov("r0", 0),
  Asm.exit()
]

/** The result of a key is 1 if it is there. */
const looksUp = (valueSize: number): Asm.Item => [
  Asm.ldMapFd("r1", "map"),
  Asm.mov("r2", "r6"),
  Asm.call("map_lookup_elem"),
  Asm.jeq("r0", 0, "missing"),
  copy(valueSize),
  Asm.mov("r0", 1),
  Asm.label("missing"),
  Asm.stw("r9", 0, "r0")
]

/** The result of a key is that of the helper; the first that is not 0 ends the run. */
const updates: Asm.Item = [
  Asm.ldMapFd("r1", "map"),
  Asm.mov("r2", "r6"),
  Asm.mov("r3", "r8"),
  Asm.ldxdw("r4", "r10", -16),
  Asm.call("map_update_elem"),
  Asm.stw("r9", 0, "r0"),
  Asm.jne("r0", 0, "out")
]

/** Loads the assembled program, with the descriptors of its maps in place; closed with the scope. */
const acquireProgram = (
  kernel: KernelService,
  program: Asm.Assembled,
  fds: ReadonlyMap<string, number>,
  subject: string
): Effect.Effect<number, SystemCallError, Scope.Scope> =>
  Effect.suspend(() => {
    const bytes = program.bytes.slice()
    const view = new DataView(bytes.buffer)
    for (const [name, slots] of program.maps) {
      for (const slot of slots) view.setInt32(slot * 8 + 4, fds.get(name)!, true)
    }
    const fields = {
      prog_type: programTypes.syscall,
      insn_cnt: bytes.length / 8,
      insns: pointTo(bytes),
      license: pointToText("GPL"),
      prog_flags: BPF_F_SLEEPABLE,
      prog_name: new TextEncoder().encode("many")
    }
    return Effect.map(loadProgram(kernel, fields, { subject, features: ["syscallProgram"] }), ({ fd }) => fd)
  })

/** A loaded program and its array, mapped. */
export interface ManyProgram extends Places {
  /** False from the moment that its scope begins to release any of it. */
  readonly isLive: () => boolean
  /** True from the first key that is encoded to the last value that is decoded: the memory is one operation's alone. */
  busy: boolean
  readonly view: DataView
  readonly bytes: Uint8Array
  /** Runs it on the first `count` keys: 0, or `-errno` if it could not be run. */
  readonly run: (count: number, flags: number) => number
}

/**
 * Loads the program for one map. Fails where the kernel has no such programs, or does not allow this one: the caller goes
 * another way then.
 */
export const acquireManyProgram = (
  { kernel, map }: Opened,
  does: "lookup" | "update"
): Effect.Effect<ManyProgram | undefined, InvalidArgument | SystemCallError, Scope.Scope> =>
  Effect.gen(function*() {
    const { keySize, valueSize } = map.spec
    const places = placesOf(keySize, valueSize)
    if (places === undefined) return undefined
    const io = yield* createMap(kernel, {
      type: "array",
      name: "many",
      keySize: 4,
      valueSize: places.size,
      maxEntries: 1,
      flags: bpf_map_create_flags.BPF_F_MMAPABLE
    })
    const mapping = yield* acquireMapping(kernel, `the keys and values of ${describe(map.spec)}`, {
      fd: io.fd,
      length: Math.ceil(places.size / kernel.pageSize) * kernel.pageSize,
      protection: mman.PROT_READ | mman.PROT_WRITE,
      offset: 0
    })
    const assembled = Asm.assemble(loop(places, does === "lookup" ? looksUp(valueSize) : updates))
    if (Result.isFailure(assembled)) return yield* Effect.die(assembled.failure)
    const program = assembled.success
    const fd = yield* acquireProgram(kernel, program, new Map([["io", io.fd], ["map", map.fd]]), describe(map.spec))
    const { attr, call } = yield* acquireRuns(kernel, fd)
    const view = new DataView(mapping.buffer)
    return {
      ...places,
      isLive: () => attr.live, // acquired last, so released first
      busy: false,
      view,
      bytes: new Uint8Array(mapping.buffer),
      run: (count, flags) => {
        if (!attr.live) return -errno.EBADF
        view.setUint32(0, count, true)
        view.setUint32(FLAGS_AT, flags, true)
        return retrying(call)
      }
    }
  })
