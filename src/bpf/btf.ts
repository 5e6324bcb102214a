// BPF_BTF_LOAD
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import type { Descriptor } from "../kernel/systemCall.ts"
import { acquire, pointTo } from "./command.ts"

/** BPF_BTF_LOAD: types in the kernel's hands, closed with the scope; whatever was made with them keeps them. Kernel 4.18. */
export const loadBtf = (
  kernel: KernelService,
  bytes: Uint8Array,
  subject: string
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  acquire(kernel, "BPF_BTF_LOAD", { btf: pointTo(bytes), btf_size: bytes.length }, { subject })
