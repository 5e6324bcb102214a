// Names like one that is not there, for errors that say what may have been meant.

/** Longer words are no misspelt names; comparing them would only cost time. */
const LONGEST = 64

/** How many letters to add, drop or change to make one word of the other (Levenshtein's distance). */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

/** How far a name is from the one that was wanted: less is nearer, and `undefined` is no likeness. */
const unlikeness = (wanted: string, name: string): number | undefined => {
  if (name.includes(wanted) && wanted.length >= 3) return (name.length - wanted.length) / 100
  if (wanted.includes(name) && name.length >= 3) return (wanted.length - name.length) / 100
  const far = distance(wanted, name)
  return far <= Math.max(1, Math.floor(wanted.length / 3)) ? far : undefined
}

/** The names that are most like `wanted`, the nearest first: at most three, and none where none is like it. */
export const nearest = (wanted: string, names: Iterable<string>): ReadonlyArray<string> => {
  if (wanted === "" || wanted.length > LONGEST) return []
  const found: Array<readonly [unlikeness: number, name: string]> = []
  for (const name of names) {
    const far = unlikeness(wanted, name)
    if (far !== undefined) found.push([far, name])
  }
  const sorted = found.toSorted((a, b) => a[0] - b[0])
  // Where some names hold the word, those that only sound like it are no help.
  const holding = sorted.filter(([far]) => far < 1)
  return (holding.length > 0 ? holding : sorted).slice(0, 3).map(([, name]) => name)
}

/** `map_lookup_elem or map_push_elem`, or `undefined` where no name is like `wanted`. */
export const suggestion = (wanted: string, names: Iterable<string>): string | undefined => {
  const near = nearest(wanted, names)
  return near.length === 0 ? undefined : near.join(" or ")
}
