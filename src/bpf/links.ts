// Links: what holds a program to where it is attached, as a descriptor. Kernel 5.7, and for most hooks later.
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { attachFlags } from "../abi/os.ts"
import type { KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import type { Descriptor } from "../kernel/systemCall.ts"
import { acquire, type Fields, perform, pointToText, type Purpose } from "./command.ts"

/** BPF_LINK_CREATE: the fields say which program, where, and what the hook asks for beside. */
export const createLink = (
  kernel: KernelService,
  fields: Fields<"BPF_LINK_CREATE">,
  purpose: Purpose
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> => acquire(kernel, "BPF_LINK_CREATE", fields, purpose)

/**
 * BPF_LINK_UPDATE: puts another program into a link's place in one step. With `old`, only if that is the program there now
 * (EPERM otherwise).
 */
export const updateLink = (
  kernel: KernelService,
  link: { readonly fd: number; readonly program: number; readonly old?: number | undefined },
  purpose: Purpose
): Effect.Effect<void, SystemCallError> =>
  perform(kernel, "BPF_LINK_UPDATE", {
    link_fd: link.fd,
    new_prog_fd: link.program,
    ...(link.old === undefined ? {} : { flags: attachFlags.BPF_F_REPLACE, old_prog_fd: link.old })
  }, purpose)

/** BPF_LINK_DETACH: ends the attachment while the link lives on. Kernel 5.9. */
export const detachLink = (kernel: KernelService, fd: number, purpose: Purpose): Effect.Effect<void, SystemCallError> =>
  perform(kernel, "BPF_LINK_DETACH", { link_fd: fd }, purpose)

/**
 * BPF_RAW_TRACEPOINT_OPEN: by a tracepoint's name, or without one for programs that were loaded for a BTF id (tracing, LSM).
 * The cookie needs kernel 6.10.
 */
export const openRawTracepoint = (
  kernel: KernelService,
  attachment: { readonly program: number; readonly name?: string | undefined; readonly cookie?: bigint | undefined },
  purpose: Purpose
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  acquire(kernel, "BPF_RAW_TRACEPOINT_OPEN", {
    name: attachment.name === undefined ? 0 : pointToText(attachment.name),
    prog_fd: attachment.program,
    cookie: attachment.cookie
  }, purpose)

/** BPF_ITER_CREATE: a descriptor to read what an iterator's program prints, from a link to it. Kernel 5.8. */
export const createIterator = (
  kernel: KernelService,
  link: number,
  purpose: Purpose
): Effect.Effect<Descriptor, SystemCallError, Scope.Scope> =>
  acquire(kernel, "BPF_ITER_CREATE", { link_fd: link, flags: 0 }, purpose)
