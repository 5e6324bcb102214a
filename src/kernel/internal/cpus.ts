/**
 * How many CPUs a list such as `"0-3,8\n"` names, as in /sys/devices/system/cpu/possible; `undefined` if it is no such
 * list.
 */
export const countCpus = (list: string): number | undefined => {
  let count = 0
  for (const part of list.trim().split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part)
    if (match === null) return undefined
    const first = Number(match[1])
    const last = Number(match[2] ?? match[1])
    if (last < first) return undefined
    count += last - first + 1
  }
  return count
}
