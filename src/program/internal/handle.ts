// Handles of programs.
import type { AttachType, ProgramType } from "../../abi/names.ts"
import { type HandleKind, handleOf } from "../../kernel/handle.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { Program } from "../Program.ts"
import type { Descriptor } from "../../kernel/systemCall.ts"

export const programHandles: HandleKind = {
  typeId: "~effect-ebpf/Program",
  closed: "The scope that the program was loaded in has closed",
  idLine: "prog_id"
}

/** What a handle of a program tells of it. */
interface Facts<T extends ProgramType, A extends AttachType | undefined> {
  readonly type: T
  readonly name: string
  readonly attachType: A
}

/** `xdp program "pass"`, as errors name a program. */
export const describe = ({ name, type }: { readonly type: ProgramType; readonly name: string }): string =>
  `${type} program "${name}"`

/** A handle whose `fd` is the descriptor's as it is now: -1 once closed. */
export const handle = <T extends ProgramType, A extends AttachType | undefined>(
  kernel: KernelService,
  descriptor: Descriptor,
  { attachType, name, type }: Facts<T, A>
): Program<T, A> =>
  handleOf(kernel, descriptor, programHandles, describe({ type, name }), { type, name, attachType }) as Program<T, A>
