// CPUs by number. The kernel may have holes in its numbers, and CPUs that are possible but not online.
import * as Effect from "effect/Effect"
import { errno } from "../abi/errno.ts"
import type { KernelService } from "./kernelService.ts"
import { SystemCallError } from "./KernelError.ts"
import { readFile } from "./systemCall.ts"

/** More CPUs than any kernel is built for (NR_CPUS is 8192 at most): a file that names more is none of its. */
const MOST_CPUS = 1 << 16

/** The numbers in a list such as `"0-3,8\n"`, in its order; `undefined` if it is no such list. */
export const parseCpus = (list: string): ReadonlyArray<number> | undefined => {
  const cpus: Array<number> = []
  for (const part of list.trim().split(",")) {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part)
    if (match === null) return undefined
    const first = Number(match[1])
    const last = Number(match[2] ?? match[1])
    if (last < first || cpus.length + last - first >= MOST_CPUS) return undefined
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu)
  }
  return cpus
}

/** The CPUs that may ever be there (`"possible"`), or that are in use now (`"online"`). */
export const readCpus = (
  kernel: KernelService,
  which: "online" | "possible"
): Effect.Effect<ReadonlyArray<number>, SystemCallError> => {
  const path = `/sys/devices/system/cpu/${which}`
  return Effect.flatMap(readFile(kernel, path), (content) => {
    const cpus = parseCpus(new TextDecoder().decode(content))
    if (cpus !== undefined) return Effect.succeed(cpus)
    const hint = "The file holds no list of CPUs such as 0-3,8"
    return Effect.fail(
      new SystemCallError({ call: "read", command: undefined, subject: path, errno: errno.EINVAL, hint })
    )
  })
}
