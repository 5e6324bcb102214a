// One kernel with what the rows of runs need beside: BPF_PROG_TEST_RUN with any attribute, and its answer in words.
import { bpf_cmd } from "../../../src/abi/generated/enums.ts"
import { bpf_attr_test } from "../../../src/abi/generated/structs.ts"
import type { Btf } from "../../../src/index.ts"
import type { KernelService } from "../../../src/kernel/Kernel.ts"
import { type Kind, loadFields } from "../helperProbe.ts"
import { Bench, type Fields } from "./bench.ts"

/** What is where nothing was written. */
export const UNWRITTEN = 0xa5

/** Bytes as hexadecimal where they are few, else their number and a hash of them (FNV-1a). */
export const digest = (bytes: Uint8Array): string => {
  if (bytes.length <= 64) return Buffer.from(bytes).toString("hex")
  let value = 0x811c9dc5
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193)
  return `${bytes.length}#${(value >>> 0).toString(16)}`
}

/** Where bytes are others than before: `offset:bytes` for each run of them. */
export const changes = (before: Uint8Array, after: Uint8Array): string => {
  const runs: Array<string> = []
  for (let at = 0; at < after.length; at++) {
    if (before[at] === after[at]) continue
    let end = at + 1
    // A byte that happens to be the same does not end a run.
    while (end < after.length && after.subarray(end, end + 4).some((byte, i) => byte !== before[end + i])) end++
    runs.push(`${at}:${digest(after.subarray(at, end))}`)
    at = end
  }
  return runs.join(" ")
}

/** One test run. `undefined` where nothing is passed. */
export interface TestRun {
  readonly data?: Uint8Array | undefined
  /** How many bytes may come back. */
  readonly dataRoom?: number | undefined
  readonly context?: Uint8Array | undefined
  readonly contextRoom?: number | undefined
  /** Fields of the attribute as they are, in place of those that follow from what is above. */
  readonly fields?: Fields | undefined
  /** The size of the attribute that the kernel is told. */
  readonly size?: number | undefined
}

export class RunBench extends Bench {
  readonly btf: Btf.Btf
  private readonly opened = new Map<string, number>()

  constructor(kernel: KernelService, btf: Btf.Btf) {
    super(kernel)
    this.btf = btf
  }

  override free(): void {
    for (const fd of this.opened.values()) this.close(fd)
    super.free()
  }

  loadKind(kind: Kind, code: Uint8Array, fields: Fields = {}): number {
    const { prog_type, ...rest } = loadFields(kind, this.btf)
    return this.load({ type: Number(prog_type), code, fields: { ...rest, ...fields } })
  }

  /** A descriptor that is opened once, or the error of that. */
  kept(name: string, open: () => number): number {
    const known = this.opened.get(name)
    if (known !== undefined) return known
    const fd = open()
    this.opened.set(name, fd)
    return fd
  }

  /** What a run answers: its error, and all that the kernel wrote. */
  testRun(program: number, run: TestRun): string {
    const room = (size: number) => this.place(new Uint8Array(size).fill(UNWRITTEN))
    const data = run.data === undefined ? 0n : this.place(run.data)
    const context = run.context === undefined ? 0n : this.place(run.context)
    const dataOut = run.dataRoom === undefined ? 0n : room(run.dataRoom)
    const contextOut = run.contextRoom === undefined ? 0n : room(run.contextRoom)
    const error = this.call(bpf_cmd.BPF_PROG_TEST_RUN, bpf_attr_test, {
      prog_fd: program,
      data_size_in: run.data?.length,
      data_size_out: run.dataRoom,
      data_in: data,
      data_out: dataOut,
      ctx_size_in: run.context?.length,
      ctx_size_out: run.contextRoom,
      ctx_in: context,
      ctx_out: contextOut,
      ...run.fields
    }, run.size)
    const { ctx_size_out, data_size_out, retval } = bpf_attr_test.fields
    const parts = [`${error}`, `returned ${this.answered(retval)}`]
    parts.push(`data ${this.answered(data_size_out)} ${this.written(dataOut, run.dataRoom, run.data)}`)
    parts.push(`context ${this.answered(ctx_size_out)} ${this.written(contextOut, run.contextRoom, run.context)}`)
    if (run.context !== undefined) {
      const changed = changes(run.context, this.bytes(context, run.context.length))
      if (changed !== "") parts.push(`in place ${changed}`)
    }
    return parts.join(", ")
  }

  private written(address: bigint, size: number | undefined, given: Uint8Array | undefined): string {
    if (size === undefined) return "-"
    const bytes = this.bytes(address, size)
    let end = bytes.length
    while (end > 0 && bytes[end - 1] === UNWRITTEN) end--
    const out = bytes.subarray(0, end)
    return given !== undefined && Buffer.compare(out, given) === 0 ? "as given" : digest(out)
  }
}
