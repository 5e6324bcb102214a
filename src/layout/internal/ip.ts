// IP addresses between text and bytes in network order.

export const formatIpv4 = (address: Uint8Array): string => address.join(".")

/** Four decimal numbers; leading zeros, which some read as octal, are refused. */
export const parseIpv4 = (text: string): Uint8Array | undefined => {
  const parts = text.split(".")
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)
    ? Uint8Array.from(parts, Number)
    : undefined
}

/** The 16-bit groups of one side of `::`, whose last may be an IPv4 address; `undefined` for what is none. */
const groupsOf = (text: string, isLast: boolean): Array<number> | undefined => {
  if (text === "") return []
  const groups: Array<number> = []
  const parts = text.split(":")
  for (const [i, part] of parts.entries()) {
    const embedded = isLast && i === parts.length - 1 && part.includes(".") ? parseIpv4(part) : undefined
    if (embedded !== undefined) groups.push((embedded[0]! << 8) | embedded[1]!, (embedded[2]! << 8) | embedded[3]!)
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16))
    else return undefined
  }
  return groups
}

export const parseIpv6 = (text: string): Uint8Array | undefined => {
  const sides = text.split("::")
  if (sides.length > 2) return undefined
  const head = groupsOf(sides[0]!, sides.length === 1)
  const tail = sides.length === 1 ? [] : groupsOf(sides[1]!, true)
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  // `::` stands for at least one group.
  if (sides.length === 1 ? missing !== 0 : missing < 1) return undefined
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail]
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]))
}

/** The longest run of zeros, of two or more: its start and end. */
const longestZeros = (groups: ReadonlyArray<number>): readonly [start: number, end: number] => {
  let best: readonly [number, number] = [0, 0]
  for (let start = 0; start < groups.length; start++) {
    let end = start
    while (groups[end] === 0) end++
    if (end - start > 1 && end - start > best[1] - best[0]) best = [start, end]
  }
  return best
}

/** The text that RFC 5952 recommends; IPv4-mapped addresses (`::ffff:10.0.0.1`) in their mixed form. */
export const formatIpv6 = (address: Uint8Array): string => {
  const groups = Array.from({ length: 8 }, (_, i) => (address[i * 2]! << 8) | address[i * 2 + 1]!)
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatIpv4(address.subarray(12))}`
  }
  const hex = (from: number, to: number): string => groups.slice(from, to).map((group) => group.toString(16)).join(":")
  const [start, end] = longestZeros(groups)
  return end === start ? hex(0, 8) : `${hex(0, start)}::${hex(end, 8)}`
}
