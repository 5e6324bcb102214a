import { existsSync } from "node:fs"

/**
 * Why this machine's kernel cannot be tested here, or `undefined`. CI sets REQUIRE_KERNEL_TESTS where it can: then a
 * reason is a failure, and no test is skipped in silence.
 */
export const whyNot = (): string | undefined => {
  if (process.platform !== "linux") return `this is ${process.platform}, and eBPF needs Linux`
  if (process.getuid?.() !== 0) return "not root"
  if (!existsSync("/sys/kernel/btf/vmlinux")) return "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"
  return undefined
}

/** For `beforeEach`: skips with the reason. */
export const skipUnlessPossible = (context: { skip: (condition: boolean, note: string) => void }): void => {
  const reason = whyNot()
  if (reason === undefined) return
  if (process.env["REQUIRE_KERNEL_TESTS"] === "1") throw new Error(`kernel tests are required here, but: ${reason}`)
  context.skip(true, reason)
}
