// Maps as wholes: BPF_MAP_CREATE and BPF_MAP_FREEZE.
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import type { Descriptor } from "../kernel/systemCall.ts"
import { acquire, type Fields, perform, type Purpose } from "./command.ts"

/** BPF_MAP_CREATE: a descriptor that is closed with the scope. */
export const createMap = (
  kernel: KernelService,
  fields: Fields<"BPF_MAP_CREATE">,
  purpose: Purpose
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> => acquire(kernel, "BPF_MAP_CREATE", fields, purpose)

/** BPF_MAP_FREEZE: read-only for all processes, for good. Kernel 5.2. */
export const freezeMap = (kernel: KernelService, fd: number, purpose: Purpose): Effect.Effect<void, SystemCallError> =>
  perform(kernel, "BPF_MAP_FREEZE", { map_fd: fd }, purpose)
