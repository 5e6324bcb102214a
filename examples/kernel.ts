// The kernel that the examples run on: the real one for root on Linux, and else a simulated one.
import { Kernel } from "effect-ebpf"
import * as SimulatedKernel from "effect-ebpf/SimulatedKernel"

const real = process.platform === "linux" && process.getuid?.() === 0

export const layer = real ? Kernel.layer : SimulatedKernel.layer()

console.log(real ? "on this machine's kernel" : "on a simulated kernel: not root on Linux")
