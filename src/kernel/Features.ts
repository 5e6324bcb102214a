/**
 * What kernels can do since when. One table serves the hints of failed calls ("needs Linux 5.8 or later") and the tests,
 * which hold it against real kernels in both directions: a feature must work from its version on, and must not before.
 */

/** A feature of the kernel, and the version that brought it. */
export interface Feature {
  /** In words, as the subject of "needs Linux x.y". */
  readonly name: string
  readonly since: readonly [major: number, minor: number]
}

/** The table. Versions are those of the commits that added each feature to Linus's tree. */
export const features = {
  atomics: { name: "atomic operations beside BPF_ADD", since: [5, 12] },
  batch: { name: "batch operations on maps", since: [5, 6] },
  boundsOfDivision: { name: "knowing the bounds of what was divided", since: [7, 0] },
  bloomFilter: { name: "a bloom_filter map", since: [5, 16] },
  arena: { name: "an arena map", since: [6, 9] },
  cpuV4: { name: "instructions of cpu v4", since: [6, 6] },
  cgroupLocalStorage: { name: "a cgrp_storage map", since: [6, 2] },
  hashLookupAndDelete: { name: "looking up and deleting an entry of a hash table in one step", since: [5, 14] },
  inodeStorage: { name: "an inode_storage map", since: [5, 10] },
  syscallProgram: { name: "a syscall program", since: [5, 14] },
  taskStorage: { name: "a task_storage map", since: [5, 11] },
  fsopen: { name: "fsopen(2)", since: [5, 2] },
  loadAcquire: { name: "load-acquire and store-release", since: [6, 15] },
  logTrueSize: { name: "telling the size of a verifier log", since: [6, 4] },
  memcgAccounting: { name: "accounting BPF memory to cgroups in place of RLIMIT_MEMLOCK", since: [5, 11] },
  perfEventLink: { name: "a BPF link to a perf event", since: [5, 15] },
  perfLost: { name: "counting what a perf event lost", since: [6, 0] },
  privateStacks: { name: "functions of tracing programs with a stack of their own", since: [6, 13] },
  rawTracepointCookie: { name: "a cookie of a raw tracepoint", since: [6, 10] },
  rawTracepointTestRun: { name: "a test run of a raw tracepoint", since: [5, 10] },
  ringbuf: { name: "a ringbuf map", since: [5, 8] },
  tcx: { name: "programs of traffic control without a qdisc (tcx)", since: [6, 6] },
  unwrittenStack: { name: "reading bytes of the stack that were never written, with privilege", since: [6, 3] },
  userRingbuf: { name: "a user_ringbuf map", since: [6, 1] }
} as const satisfies Record<string, Feature>

/** The names of the table's rows. */
export type FeatureName = keyof typeof features

/** True if a kernel of this version has the feature, as far as its version tells. */
export const isExpected = (
  version: { readonly major: number; readonly minor: number },
  feature: FeatureName
): boolean => {
  const [major, minor] = features[feature].since
  return version.major > major || (version.major === major && version.minor >= minor)
}
