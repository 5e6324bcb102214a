/** The running kernel's own types, from `/sys/kernel/btf/vmlinux`. */
import * as Effect from "effect/Effect"
import * as Btf from "../btf/Btf.ts"
import { Kernel, type KernelService } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"
import { readConstant } from "../kernel/systemCall.ts"
import { turn } from "../kernel/turn.ts"

const parse = (bytes: Uint8Array): Effect.Effect<Btf.Btf, Btf.BtfError> =>
  Effect.suspend(() => {
    const parts = Btf.parseChecked(bytes)
    const rest: Effect.Effect<Btf.Btf, Btf.BtfError> = Effect.flatMap(turn, () => {
      const part = parts.next()
      return part.done === true ? Effect.fromResult(part.value) : rest
    })
    return rest
  })

const read = (kernel: KernelService): Effect.Effect<Btf.Btf, Btf.BtfError | SystemCallError> =>
  Effect.flatMap(turn, () => Effect.flatMap(readConstant(kernel, "/sys/kernel/btf/vmlinux"), parse))

/**
 * The kernel's BTF, about 6 MB; keep the result where it is needed more than once. It stays valid when the layer that it was
 * loaded with is released.
 *
 * Needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF, and no privilege. Since 6.16 the file is mapped and takes no memory; before, it
 * is read. Its records are indexed in parts, between which the event loop has its turn. Fails with `SystemCallError` of
 * ENOENT without it.
 */
export const load: Effect.Effect<Btf.Btf, Btf.BtfError | SystemCallError, Kernel> = Effect.flatMap(Kernel, read)

const known = new WeakMap<KernelService, Btf.Btf>()

/** @internal As `load`, read once for each `Kernel` and kept as long as that. */
export const shared = (kernel: KernelService): Effect.Effect<Btf.Btf, Btf.BtfError | SystemCallError> =>
  Effect.suspend(() => {
    const btf = known.get(kernel)
    return btf === undefined
      ? Effect.tap(read(kernel), (made) => Effect.sync(() => known.set(kernel, made)))
      : Effect.succeed(btf)
  })
