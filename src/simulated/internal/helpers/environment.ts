// What helpers see of the simulated kernel, and what all of them share.
import type { bpf_func_id } from "../../../abi/generated/enums.ts"
import type { Helper } from "../interpreter/helper.ts"
import type { Processor } from "../interpreter/processor.ts"
import type { SimulatedMap } from "../maps.ts"
import { AccessFault, type AddressSpace } from "../memory.ts"
import type { Packet } from "../packets.ts"
import type { Records } from "../records.ts"
import type { Task } from "../tasks.ts"

/** What is going on while programs run: the part of an event that helpers ask for. */
export interface CurrentEvent {
  /** What the program was attached with (bpf_get_attach_cookie). */
  cookie: bigint
  /** The address of the traced function (bpf_get_func_ip). */
  readonly functionAddress: bigint
  /** The traced function's arguments and result. */
  readonly arguments: ReadonlyArray<bigint>
  readonly returned: bigint | undefined
  /** What the hook answers (bpf_get_retval, bpf_set_retval). */
  retval: number
  /** What bpf_override_return asked for. */
  override: bigint | undefined
  readonly socketCookie: bigint
  /** Socket options by level and name. */
  readonly socketOptions: Map<string, Uint8Array>
  readonly sysctl: { readonly name: string; readonly current: string; readonly next: string } | undefined
  /** What bpf_sysctl_set_new_value asked for. */
  sysctlNew: string | undefined
}

export const noEvent = (): CurrentEvent => ({
  cookie: 0n,
  functionAddress: 0n,
  arguments: [],
  returned: undefined,
  retval: 0,
  override: undefined,
  socketCookie: 1n,
  socketOptions: new Map(),
  sysctl: undefined,
  sysctlNew: undefined
})

/** What helpers see of the kernel. The task is that of the event being handled. */
export interface Environment {
  readonly memory: AddressSpace
  readonly task: () => { readonly task: Task; readonly address: bigint }
  readonly event: () => CurrentEvent
  readonly map: (pointer: bigint) => SimulatedMap | undefined
  readonly packets: ReadonlyMap<number, Packet>
  readonly processor: () => Processor
  readonly records: Records
  readonly possibleCpus: number
  /** True for the index of a network device that exists. */
  readonly hasDevice: (ifindex: number) => boolean
  /** Nanoseconds of a clock that does not jump. */
  readonly now: () => bigint
  /** A random number from 0 to 1. */
  readonly random: () => number
  /** Runs something once, so many nanoseconds from now; what it gives back cancels it. */
  readonly schedule: (delay: bigint, run: () => void) => () => void
}

/** Helpers by the names of the UAPI. */
export type Helpers = { readonly [K in keyof typeof bpf_func_id]?: Helper }

export const u64 = (value: bigint | number): bigint => BigInt.asUintN(64, BigInt(value))
/** An error as a 64-bit result. */
export const failed = (number: number): bigint => u64(-number)
/** An `u32` argument: the upper half of the register is not looked at. */
export const u32 = (value: bigint): number => Number(value & 0xffffffffn)
export const s32 = (value: bigint): number => Number(BigInt.asIntN(32, value))

/** Runs what may touch memory that is not there; `otherwise` if it does. */
export const unlessFault = <A>(run: () => A, otherwise: () => A): A => {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof AccessFault)) throw error
    return otherwise()
  }
}

/** A string of the program's memory or the kernel's, up to its NUL. */
export const readString = (memory: AddressSpace, address: bigint, most = 4096): Uint8Array => {
  const { offset, region } = memory.find(address, 1)
  const bytes = region.bytes.subarray(offset, offset + most)
  const end = bytes.indexOf(0)
  return end < 0 ? bytes : bytes.subarray(0, end)
}

/** A string of at most `size` bytes with its NUL. */
export const terminated = (source: Uint8Array, size: number): Uint8Array => {
  const end = source.indexOf(0)
  const length = Math.min(end < 0 ? source.length : end, size - 1)
  const out = new Uint8Array(length + 1)
  out.set(source.subarray(0, length))
  return out
}
