// The batch commands of bpf(2), with the results and error numbers of kernel/bpf/syscall.c (`generic_map_*_batch`) and
// hashtab.c (`__htab_map_lookup_and_delete_batch`).
import { errno } from "../../abi/errno.ts"
import { bpf_cmd } from "../../abi/generated/enums.ts"
import { bpf_attr_batch } from "../../abi/generated/structs.ts"
import type { Attr } from "./attr.ts"
import { isBadLookup, mayRead, mayWrite, type OpenMap, openMap } from "./mapCommands.ts"
import type { Batches, Bucket } from "./maps.ts"
import { AccessFault, viewOf } from "./memory.ts"
import { readUser, writeUser } from "./userMemory.ts"
import type { KernelState } from "./kernelState.ts"

const f = bpf_attr_batch.fields

/** One call: what it is on, and where the process's arrays are. */
interface Batch extends OpenMap {
  readonly state: KernelState
  readonly attr: Attr
  readonly batches: Batches
  readonly most: number
  readonly keySize: number
  readonly valueBytes: number
}

const keyAt = ({ attr, keySize, state }: Batch, index: number): Uint8Array =>
  readUser(state.memory, attr.address(f.keys) + BigInt(index * keySize), keySize)

const writeAt = ({ attr, keySize, valueBytes, state }: Batch, index: number, key: Uint8Array, value: Uint8Array) => {
  writeUser(state.memory, attr.address(f.keys) + BigInt(index * keySize), key)
  writeUser(state.memory, attr.address(f.values) + BigInt(index * valueBytes), value)
}

/** Does something for each of the process's elements until one fails; the number done is written back. */
const forEach = (batch: Batch, act: (key: Uint8Array, index: number) => number): number => {
  let done = 0
  let error = 0
  try {
    while (done < batch.most && error === 0) {
      error = act(keyAt(batch, done), done)
      if (error === 0) done++
    }
  } catch (thrown) {
    if (!(thrown instanceof AccessFault)) throw thrown
    error = -errno.EFAULT
  }
  batch.attr.answer(f.count, done)
  return error
}

const updateAll = (batch: Batch): number => {
  const { attr, file, map, valueBytes, state } = batch
  const flags = attr.number(f.elem_flags)
  return forEach(batch, (key, index) => {
    const value = readUser(state.memory, attr.address(f.values) + BigInt(index * valueBytes), valueBytes)
    return map.calls.update(key, value, flags, file)
  })
}

const deleteAll = (batch: Batch): number => forEach(batch, (key) => batch.map.calls.delete(key))

/** Key after key. The cursor is the last key. */
const lookupByKeys = (batch: Batch): number => {
  const { attr, keySize, map, most, state } = batch
  const from = attr.address(f.in_batch)
  let last = from === 0n ? undefined : readUser(state.memory, from, keySize)
  let error = 0
  let done = 0
  while (done < most) {
    const key = map.calls.next(last)
    if (typeof key === "number") {
      error = key
      break
    }
    const value = map.calls.lookup(key, () => new Uint8Array(0))
    if (typeof value !== "number") writeAt(batch, done++, key, value)
    else if (value !== -errno.ENOENT) return value // an index without an object is passed over
    last = key
  }
  attr.answer(f.count, done)
  if (done > 0) writeUser(state.memory, attr.address(f.out_batch), last!)
  return error
}

/** Bucket after bucket, each as a whole. The cursor is the next bucket's number. */
const lookupByBuckets = (batch: Batch, deletes: boolean): number => {
  const { attr, batches, map, most, state } = batch
  const from = attr.address(f.in_batch)
  const buckets = batches.bucketCount!
  let index = from === 0n ? 0 : viewOf(readUser(state.memory, from, 4)).getUint32(0, true)
  if (index >= buckets) return -errno.ENOENT
  let done = 0
  let error = 0
  for (; index < buckets; index++) {
    const bucket: Bucket = batches.bucket!(index)
    if (bucket.length > most - done) {
      if (done === 0) error = -errno.ENOSPC
      break
    }
    // What cannot be written is gone nevertheless.
    if (deletes) { for (const { key } of bucket) map.calls.delete(key) }
    for (const { key, value } of bucket) writeAt(batch, done++, key, value)
  }
  if (index === buckets) error = -errno.ENOENT
  const cursor = new Uint8Array(4)
  viewOf(cursor).setUint32(0, index, true)
  writeUser(state.memory, attr.address(f.out_batch), cursor)
  attr.answer(f.count, done)
  return error
}

const run = (command: number, batch: Batch): number => {
  switch (command) {
    case bpf_cmd.BPF_MAP_UPDATE_BATCH:
      return updateAll(batch)
    case bpf_cmd.BPF_MAP_DELETE_BATCH:
      return deleteAll(batch)
    case bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH:
      return lookupByBuckets(batch, true)
    default:
      return batch.batches.lookup === "keys" ? lookupByKeys(batch) : lookupByBuckets(batch, false)
  }
}

/** True if the map has the command. */
const has = (command: number, batches: Batches): boolean => {
  switch (command) {
    case bpf_cmd.BPF_MAP_UPDATE_BATCH:
      return batches.update === true
    case bpf_cmd.BPF_MAP_DELETE_BATCH:
      return batches.delete === true
    case bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH:
      return batches.lookupAndDelete === true
    default:
      return batches.lookup !== undefined
  }
}

/** The commands on many elements. */
export const batch = (state: KernelState, command: number, attr: Attr): number => {
  if (!attr.endsWith(f.flags)) return -errno.EINVAL
  const open = openMap(state, attr.i32(f.map_fd))
  if (typeof open === "number") return open
  const reads = command === bpf_cmd.BPF_MAP_LOOKUP_BATCH || command === bpf_cmd.BPF_MAP_LOOKUP_AND_DELETE_BATCH
  const writes = command !== bpf_cmd.BPF_MAP_LOOKUP_BATCH
  if ((reads && !mayRead(open)) || (writes && !mayWrite(open))) return -errno.EPERM
  const { attributes: { keySize }, calls } = open.map
  const batches = calls.batches ?? {}
  if (!has(command, batches)) return -errno.ENOTSUPP
  if (isBadLookup(open.map, attr.number(f.elem_flags))) return -errno.EINVAL
  const most = attr.u32(f.count)
  // Only the batches by buckets look at this.
  if (reads && batches.lookup === "buckets" && attr.number(f.flags) !== 0) return -errno.EINVAL
  if (most === 0) return 0
  if (reads) attr.set(f.count, 0)
  return run(command, { ...open, state, attr, batches, most, keySize, valueBytes: calls.valueBytes })
}
