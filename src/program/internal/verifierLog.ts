// The log that the verifier writes of a program that it rejects: how much room it gets, and what of it is kept.
import { errno } from "../../abi/errno.ts"
import type { LogBuffer } from "../../bpf/programs.ts"
import { isExpected } from "../../kernel/Features.ts"
import type { KernelService } from "../../kernel/Kernel.ts"

/** The most that is kept of a log. Kernels before 5.18 take no larger buffer (UINT_MAX >> 8). */
export const MOST_KEPT = (1 << 24) - 1

/** For kernels that keep a log's beginning: its end is wanted, and so it must fit as a whole. */
const WHOLE = 1 << 27

/**
 * The sizes of buffer to try. A size that the kernel does not take is refused at once, before it verifies anything.
 * Since 6.4 (log_true_size) what does not fit goes at the front. Pages that are not written cost nothing.
 */
export const logSizes = (kernel: KernelService): ReadonlyArray<number> =>
  isExpected(kernel.version, "logTrueSize") ? [MOST_KEPT] : [WHOLE, MOST_KEPT]

/** What is kept of a log. */
export interface VerifierLog {
  readonly logBytes: Uint8Array
  readonly missingBytes: number
  readonly isCutAtEnd: boolean
}

/** What a load has left in its log's buffer. */
export const readLog = (
  kernel: KernelService,
  { block, size, trueSize: told }: Pick<LogBuffer, "block" | "size" | "trueSize">,
  error: number
): VerifierLog => {
  const zero = block.bytes.indexOf(0)
  const end = zero < 0 ? size : zero
  const isCut = error === errno.ENOSPC
  const rotates = isExpected(kernel.version, "logTrueSize")
  const trueSize = isCut && rotates ? told : end + 1
  const start = Math.max(0, end - MOST_KEPT)
  return {
    logBytes: block.bytes.slice(start, end),
    missingBytes: start + Math.max(0, trueSize - 1 - end),
    isCutAtEnd: isCut && !rotates
  }
}

/** Where a log ends in words that are no more than a count. */
const isSummary = (line: string): boolean =>
  line.trim() === "" || /^(processed \d|verification time|stack depth|insns_state)/.test(line)

/** Where the end of a log is looked at for what it complains of, in bytes. */
const TAIL = 1 << 18

const decoder = new TextDecoder()

/** The last lines of a log, the first of them whole, and whether there are others. */
export const lastLines = (log: Uint8Array): { readonly lines: ReadonlyArray<string>; readonly isAll: boolean } => {
  const isAll = log.length <= TAIL
  const lines = decoder.decode(log.subarray(isAll ? 0 : log.length - TAIL)).split("\n")
  return { lines: (isAll ? lines : lines.slice(1)).filter((line) => line !== ""), isAll }
}

/** How a report in sentences begins, which 7.3 writes behind the line that complains. */
const REPORT = /^Verification failed:/

/** The line in which a log complains. */
export const reasonOf = (lines: ReadonlyArray<string>): string => {
  const report = lines.findLastIndex((line) => REPORT.test(line))
  return (report < 0 ? lines : lines.slice(0, report)).findLast((line) => !isSummary(line)) ?? ""
}

/**
 * The slot that the lines of a log complain of. Analysis prints each instruction as `12: (79) r1 = …` before it fails, so
 * the last one is at fault; the earlier passes say `insn 12` in the complaint itself.
 */
export const failingInstruction = (lines: ReadonlyArray<string>): number | undefined => {
  let last: number | undefined
  for (const line of lines) {
    if (line.startsWith(";")) continue // a line of the program's source
    const analysed = /^(\d+): \([0-9a-f]{2}\)/.exec(line)
    const named = /\binsn (\d+)\b/.exec(line)
    if (analysed !== null) last = Number(analysed[1])
    else if (named !== null && !line.startsWith("processed ")) last = Number(named[1])
  }
  return last
}
