// The descriptor table of the simulated process, and what descriptors refer to.
import { errno } from "../../abi/errno.ts"
import type { Code } from "./interpreter.ts"
import type { SimulatedMap } from "./maps.ts"

export interface SimulatedProgram {
  readonly _tag: "Program"
  readonly id: number
  readonly name: string
  readonly type: number
  readonly code: Code
}

/** A perf event on a tracepoint: what attaches a program to it. */
export interface PerfEvent {
  readonly _tag: "PerfEvent"
  readonly tracepoint: number
  program: SimulatedProgram | undefined
  enabled: boolean
}

/** A file system context (`fsopen`), or a mount (`fsmount`). */
export interface FileSystem {
  readonly _tag: "FileSystem"
  readonly type: string
  state: "configuring" | "created" | "mounted"
}

export type KernelObject = SimulatedMap | SimulatedProgram | PerfEvent | FileSystem

/** 0 to 2 are the standard streams'. */
const FIRST_FD = 3
/** The soft limit that most systems have. */
const MOST_DESCRIPTORS = 1024

export class Descriptors {
  private readonly table = new Map<number, KernelObject>()

  get size(): number {
    return this.table.size
  }

  /** The lowest free number, as POSIX has it, so that a stale one is soon another object's. */
  open(object: KernelObject): number {
    let fd = FIRST_FD
    while (this.table.has(fd)) fd++
    if (fd >= MOST_DESCRIPTORS) return -errno.EMFILE
    this.table.set(fd, object)
    return fd
  }

  close(fd: number): number {
    return this.table.delete(fd) ? 0 : -errno.EBADF
  }

  get<T extends KernelObject["_tag"]>(fd: number, tag: T): Extract<KernelObject, { _tag: T }> | undefined {
    const object = this.table.get(fd)
    return object?._tag === tag ? object as Extract<KernelObject, { _tag: T }> : undefined
  }

  any(fd: number): KernelObject | undefined {
    return this.table.get(fd)
  }

  *objects(): Generator<KernelObject> {
    yield* this.table.values()
  }

  entries(): ReadonlyArray<readonly [fd: number, object: KernelObject]> {
    return [...this.table]
  }
}
