// One reader for each perf event array. The kernel has no such rule: an entry that is written again has a new event, and the
// reader before it gets nothing more, which it cannot see. Nor may an entry be read back, or be written only if it is empty.
// So what can be held is held: this thread knows which maps it reads. Another process, or a worker, is not seen.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { errno } from "../../abi/errno.ts"
import type { KernelService } from "../../kernel/Kernel.ts"
import { SystemCallError } from "../../kernel/KernelError.ts"

/** Maps by id: those of Linux have the same ids through any layer, those of a simulated kernel are its own. */
const onLinux = new Set<number>()
const onSimulated = new WeakMap<KernelService["files"], Set<number>>()

const mapsOf = (kernel: KernelService): Set<number> => {
  if (kernel.kind === "linux") return onLinux
  const known = onSimulated.get(kernel.files)
  if (known !== undefined) return known
  const maps = new Set<number>()
  onSimulated.set(kernel.files, maps)
  return maps
}

/** Makes this reader the map's until the scope closes; EEXIST if it has one. */
export const acquireReading = (
  kernel: KernelService,
  subject: string,
  id: number
): Effect.Effect<void, SystemCallError, Scope.Scope> => {
  const maps = mapsOf(kernel)
  const claim = Effect.suspend(() => {
    if (!maps.has(id)) return Effect.sync(() => void maps.add(id))
    const hint = "It has a reader in this process already, whose rings a second one would put out of the map"
    return Effect.fail(
      new SystemCallError({ call: "bpf", command: "BPF_MAP_UPDATE_ELEM", subject, errno: errno.EEXIST, hint })
    )
  })
  return Effect.acquireRelease(claim, () => Effect.sync(() => maps.delete(id)))
}
