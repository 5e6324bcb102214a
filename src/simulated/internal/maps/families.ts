// All kinds of map that the simulated kernel has, which are all that Linux 6.18 has.
import type { MapType } from "../../../abi/names.ts"
import type { Family } from "../maps.ts"
import { arena } from "./arena.ts"
import { array, percpuArray } from "./array.ts"
import { bloomFilter } from "./bloomFilter.ts"
import { cgroupStorage } from "./cgroupStorage.ts"
import { hash } from "./hash.ts"
import { hashOfMaps } from "./hashOfMaps.ts"
import { cgrpStorage, inodeStorage, skStorage, taskStorage } from "./localStorage.ts"
import { lpmTrie } from "./lpmTrie.ts"
import { arrayOfMaps, cgroupArray, perfEventArray, progArray } from "./objectArray.ts"
import { queue } from "./queue.ts"
import { cpumap, devmap, devmapHash, xskmap } from "./redirect.ts"
import { ringbuf, userRingbuf } from "./rings.ts"
import { reuseportSockarray, sockhash, sockmap } from "./sockets.ts"
import { stackTrace } from "./stackTrace.ts"
import { structOps } from "./structOps.ts"

export const families: { readonly [K in MapType]?: Family } = {
  hash,
  array,
  prog_array: progArray,
  perf_event_array: perfEventArray,
  percpu_hash: hash,
  percpu_array: percpuArray,
  stack_trace: stackTrace,
  cgroup_array: cgroupArray,
  lru_hash: hash,
  lru_percpu_hash: hash,
  lpm_trie: lpmTrie,
  array_of_maps: arrayOfMaps,
  hash_of_maps: hashOfMaps,
  devmap,
  sockmap,
  cpumap,
  xskmap,
  sockhash,
  cgroup_storage: cgroupStorage,
  reuseport_sockarray: reuseportSockarray,
  percpu_cgroup_storage: cgroupStorage,
  queue,
  stack: queue,
  sk_storage: skStorage,
  devmap_hash: devmapHash,
  struct_ops: structOps,
  ringbuf,
  inode_storage: inodeStorage,
  task_storage: taskStorage,
  bloom_filter: bloomFilter,
  user_ringbuf: userRingbuf,
  cgrp_storage: cgrpStorage,
  arena
}
