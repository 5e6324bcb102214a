/** The errors that every module's effects can fail with. Each says what was expected and found, and what to do. */
import * as Data from "effect/Data"
import { errnoDescription, errnoName } from "../abi/errno.ts"

/**
 * A system call that the kernel refused. `hint` is the likely cause in words, found after the failure by looking at the
 * process and the kernel; `undefined` where nothing was found.
 */
export class SystemCallError extends Data.TaggedError("SystemCallError")<{
  /** The system call: `"bpf"`, `"perf_event_open"`, `"mmap"` … */
  readonly call: string
  /** The command of a multiplexed call, as in the UAPI: `"BPF_MAP_CREATE"`. */
  readonly command: string | undefined
  /** What it was done for: `hash map "counters"`. */
  readonly subject: string | undefined
  readonly errno: number
  readonly hint: string | undefined
}> {
  /** The name of the error number: `"EPERM"`. */
  get code(): string {
    return errnoName(this.errno)
  }
  override get message(): string {
    const call = this.command === undefined ? this.call : `${this.call}(${this.command})`
    const subject = this.subject === undefined ? "" : ` for ${this.subject}`
    const hint = this.hint === undefined ? "" : `. ${this.hint}`
    return `${call}${subject}: ${this.code} (${this.errno}), ${errnoDescription(this.errno)}${hint}`
  }
}

/** An argument that was rejected before any system call was made. `field` names it. */
export class InvalidArgument extends Data.TaggedError("InvalidArgument")<{
  readonly field: string
  readonly expected: string
  readonly actual: string
}> {
  override get message(): string {
    return `${this.field}: expected ${this.expected}, got ${this.actual}`
  }
}

/** There is no Linux kernel to talk to here: another operating system or processor, or koffi cannot be loaded. */
export class KernelUnavailable extends Data.TaggedError("KernelUnavailable")<{
  readonly reason: string
}> {
  override get message(): string {
    return `${this.reason}; SimulatedKernel.layer runs everywhere`
  }
}
