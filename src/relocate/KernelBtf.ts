/** The running kernel's own types, from `/sys/kernel/btf/vmlinux`. */
import * as Effect from "effect/Effect"
import * as Btf from "../btf/Btf.ts"
import { readFile } from "../kernel/internal/syscall.ts"
import { Kernel } from "../kernel/Kernel.ts"
import type { SystemCallError } from "../kernel/KernelError.ts"

/**
 * Reads and parses the kernel's BTF, about 6 MB; keep the result where it is needed more than once.
 *
 * Needs Linux 5.4 with CONFIG_DEBUG_INFO_BTF, and no privilege. Fails with `SystemCallError` of ENOENT without it.
 */
export const load: Effect.Effect<Btf.Btf, Btf.BtfError | SystemCallError, Kernel> = Effect.flatMap(
  Kernel,
  (kernel) =>
    Effect.flatMap(readFile(kernel, "/sys/kernel/btf/vmlinux"), (bytes) => Effect.fromResult(Btf.parse(bytes)))
)
