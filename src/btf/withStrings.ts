const encoder = new TextEncoder()

/** The offset of `str_len` in `struct btf_header`. */
const STR_LEN = 20

/**
 * A BTF blob of `encodeTypes` with more strings at its end, and the offset of each: line records refer to the text of a
 * line and the name of its file so.
 */
export const withStrings = (
  blob: Uint8Array,
  strings: Iterable<string>
): { readonly bytes: Uint8Array; readonly offsets: ReadonlyMap<string, number> } => {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength)
  const start = view.getUint32(STR_LEN, true)
  const offsets = new Map<string, number>([["", 0]])
  let text = ""
  for (const string of strings) {
    if (offsets.has(string)) continue
    offsets.set(string, start + text.length)
    text += `${string}\0`
  }
  const more = encoder.encode(text)
  if (more.length !== text.length) countBytes(offsets, start)
  const bytes = new Uint8Array(blob.length + more.length)
  bytes.set(blob)
  bytes.set(more, blob.length)
  new DataView(bytes.buffer).setUint32(STR_LEN, start + more.length, true)
  return { bytes, offsets }
}

/** Offsets in bytes, in place of those in characters that hold for ASCII. */
const countBytes = (offsets: Map<string, number>, start: number): void => {
  let at = start
  for (const string of offsets.keys()) {
    if (string === "") continue
    offsets.set(string, at)
    at += encoder.encode(string).length + 1
  }
}
