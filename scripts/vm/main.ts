// Runs a command under another kernel: npm run vm -- [--kernel 6.1] [--seconds 300] [--megabytes 1024] -- COMMAND…
//
// The exit status is the command's own (128 + n for signal n), 124 for a time-out, 125 for a VM that failed.
import { parseArgs } from "node:util"
import { boot, installNeeds } from "./boot.ts"
import { fetchKernel, type KernelName, kernelNames } from "./kernels.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: "string", default: "6.1" },
    seconds: { type: "string", default: "300" },
    megabytes: { type: "string", default: "1024" }
  }
})

const log = (line: string) => console.error(`vm: ${line}`)

const isKernelName = (name: string): name is KernelName => kernelNames.includes(name as KernelName)

const main = async (): Promise<number> => {
  if (!isKernelName(values.kernel) || positionals.length === 0) {
    log(`--kernel is one of ${kernelNames.join(", ")}; the command follows --`)
    return 125
  }
  installNeeds(log)
  const environment = Object.fromEntries(
    ["PATH", "HOME", "USER", "LANG", "TERM", "CI"].flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    })
  )
  const outcome = await boot(fetchKernel(values.kernel, log), {
    job: { command: positionals, directory: process.cwd(), environment },
    seconds: Number(values.seconds),
    megabytes: Number(values.megabytes),
    onOutput: (chunk) => process.stdout.write(chunk),
    onError: (chunk) => process.stderr.write(chunk)
  })
  if (outcome._tag === "Exited") return outcome.status
  if (outcome._tag === "TimedOut") {
    log(`time-out after ${outcome.seconds} s`)
    return 124
  }
  log(`${outcome.reason}\n${outcome.console}`)
  return 125
}

process.exitCode = await main()
