// What a line says of an instruction before its words: its slot, its opcode or its bytes. They are the instruction itself, and
// the words are read so that they agree; where they cannot, the line is refused.

/** What stands before the words of a line. */
export interface Given {
  /** The number of the slot. */
  readonly slot: number | undefined
  /** The kernel's form: the opcode in parentheses. */
  readonly opcode: number | undefined
  readonly bytes: Uint8Array | undefined
  /** What the verifier knows after the instruction, where its log shows it on the line. */
  readonly state: string | undefined
  /** Where the words begin, from 0. */
  readonly from: number
}

const EIGHT = String.raw`(?:[0-9a-f]{2}\s){7}[0-9a-f]{2}`
/** The number of a loop; the slot; which registers are alive, as newer verifiers list all three; bytes in one of two forms, or the opcode. */
const PREFIX = new RegExp(
  String
    .raw`^\s*(?:\d{1,9}\s+(?=\d+: [.0-9]{10} ))?(?:(\d{1,9}):\s*)?(?:[.0-9]{10}\s+(?=\())?(?:\[([0-9a-f ]*)\]\s*|(${EIGHT}(?:\s${EIGHT})?)(?:\s+|$)|\(([0-9a-f]{2})\)\s*)?`
)
const BYTES = new RegExp(String.raw`^\s+(${EIGHT}(?:\s${EIGHT})?)\s*$`)
const STATE = /;\s*((?:frame\d+: )?R\d.*)$/

const bytesOf = (text: string): Uint8Array =>
  Uint8Array.from(text.trim() === "" ? [] : text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16))

/** The bytes of a line that holds nothing else: bpftool writes them below the instruction. */
export const bytesAlone = (line: string | undefined): Uint8Array | undefined => {
  const text = line === undefined ? undefined : BYTES.exec(line)?.[1]
  return text === undefined ? undefined : bytesOf(text)
}

/** What a line says before its words; `below` are the bytes in the line after it. */
export const givenOf = (line: string, below: Uint8Array | undefined): Given => {
  const [whole, slot, bracketed, plain, opcode] = PREFIX.exec(line)!
  const bytes = bracketed ?? plain
  return {
    slot: slot === undefined ? undefined : Number(slot),
    opcode: opcode === undefined ? undefined : Number.parseInt(opcode, 16),
    bytes: bytes === undefined ? below : bytesOf(bytes),
    state: STATE.exec(line)?.[1],
    from: whole.length
  }
}

/** The opcode that the line itself tells. */
export const givenOpcode = ({ bytes, opcode }: Given): number | undefined => bytes?.[0] ?? opcode

/** The source register's field that the bytes tell. */
export const givenSource = ({ bytes }: Given): number | undefined => bytes === undefined ? undefined : bytes[1]! >> 4

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The first 4 bytes of the immediate that the bytes tell. */
export const givenImmediate = ({ bytes }: Given): number | undefined =>
  bytes === undefined || bytes.length < 8 ? undefined : viewOf(bytes).getInt32(4, true)

/** The offset that the bytes tell. */
export const givenOffset = ({ bytes }: Given): number =>
  bytes === undefined || bytes.length < 8 ? 0 : viewOf(bytes).getInt16(2, true)

/** The second half of the immediate of a wide load, that the bytes tell. */
export const givenUpper = ({ bytes }: Given): number | undefined =>
  bytes?.length === 16 ? viewOf(bytes).getUint32(12, true) : undefined

/** True for a line of llvm-objdump that was told to leave out the bytes: it has a slot, and nothing that tells the opcode. */
export const isBare = (given: Given): boolean => given.slot !== undefined && givenOpcode(given) === undefined
