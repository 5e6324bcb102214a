// What a row of the tables of helpers is made of. Kinds of arguments and results stand before the C type, as in
// "mapKey const void *key".
/** What an argument must be, in the words of the verifier's `enum bpf_arg_type`. */
export type ArgumentKind =
  | "any"
  | "context"
  | "contextOrNull"
  | "map"
  | "mapKey"
  | "mapValue"
  | "mapValueOrNull"
  | "mapValueOut"
  | "read"
  | "readOrNull"
  | `read:${number}`
  | "write"
  | "writeOrNull"
  | `write:${number}`
  | "readWrite"
  | `readWrite:${number}`
  | "size"
  | "sizeOrZero"
  | "recordSize"
  | "ringbufRecord"
  | "socketCommon"
  | "socketLike"
  | "socketLikeOrNull"
  | "btf"
  | "btfOrNull"
  | "percpuBtf"
  | "spinLock"
  | "timer"
  | "kptr"
  | "dynptr"
  | "dynptrOut"
  | "callback"
  | "constString"
  | "stackOrNull"

/** What a helper gives back, in the words of the verifier's `enum bpf_return_type`. */
export type ResultKind =
  | "integer"
  | "void"
  | "mapValue"
  | "mapValueOrNull"
  | "ringbufRecordOrNull"
  | "dynptrDataOrNull"
  | "memoryOrBtf"
  | "memoryOrBtfOrNull"
  | "socketOrNull"
  | "socketCommonOrNull"
  | "tcpSocketOrNull"
  | "btf"
  | "btfOrNull"

export type Mark =
  /** Only programs under a licence compatible with the GPL may call it. */
  | "gpl"
  /** The packet may lie elsewhere afterwards: addresses taken from `data` are void. */
  | "movesPacket"
  /** It may wait, so only sleepable programs may call it. */
  | "sleeps"
  /** Values may follow the last argument. */
  | "variadic"

export interface Row {
  readonly since: `${number}.${number}`
  readonly returns: `${ResultKind} ${string}`
  readonly takes: ReadonlyArray<`${ArgumentKind} ${string}`>
  readonly text: string
  readonly marks: ReadonlyArray<Mark>
}

export const row = (
  since: Row["since"],
  returns: Row["returns"],
  takes: Row["takes"],
  text: string,
  ...marks: Row["marks"]
): Row => ({ since, returns, takes, text, marks })
