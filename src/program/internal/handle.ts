// Handles of programs.
import type { AttachType, ProgramType } from "../../abi/names.ts"
import { type Handle, handleOf } from "../../kernel/handle.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import type { Descriptor } from "../../kernel/systemCall.ts"
import type { AttachTypeOf } from "../../spec/ProgramKind.ts"
import { programHandles } from "../handles.ts"

const TypeId = programHandles.typeId

/**
 * A loaded program of a type, made for an attach type (`undefined` for types without). `fd` is -1 once the scope that it
 * was loaded in has closed. It prints as `xdp program "pass", id 7, fd 12`.
 */
export interface Program<
  out T extends ProgramType = ProgramType,
  out A extends AttachType | undefined = AttachTypeOf<T>
> extends Handle {
  readonly [TypeId]: typeof TypeId
  readonly type: T
  readonly name: string
  /** What it was loaded for. The kernel does not tell it: for programs that were opened, it is what the caller said. */
  readonly attachType: A
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
