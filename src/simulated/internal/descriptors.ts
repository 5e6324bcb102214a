// The descriptor table of the simulated process, and what descriptors refer to.
import { errno } from "../../abi/errno.ts"
import type { BpfFileTree } from "./bpffs.ts"
import type { SimulatedBtf } from "./btfObject.ts"
import type { Code } from "./interpreter/code.ts"
import type { SimulatedMap } from "./maps.ts"
import { type Lifetime, Objects } from "./objects.ts"
import type { PerfOutputEvent } from "./perfOutput.ts"

export interface SimulatedProgram extends Lifetime {
  readonly _tag: "Program"
  readonly id: number
  readonly name: string
  readonly type: number
  readonly code: Code
  /** `expected_attach_type` and `attach_btf_id`, as it was loaded. */
  readonly attachType: number
  readonly attachBtfId: number
  /** The bytes of context that it may look at, where it says so (`max_ctx_offset`). */
  readonly contextSize: number
  readonly isGpl: boolean
  readonly sleeps: boolean
}

/** A perf event: on a tracepoint, to attach a program to it, or one that takes what programs output. */
export interface PerfEvent extends Lifetime {
  readonly _tag: "PerfEvent"
  /** -1 for one that takes output. */
  readonly tracepoint: number
  readonly output: PerfOutputEvent | undefined
  program: SimulatedProgram | undefined
  enabled: boolean
}

/** A file system context (`fsopen`), or a mount (`fsmount`). */
export interface FileSystem extends Lifetime {
  readonly _tag: "FileSystem"
  readonly type: string
  state: "configuring" | "created" | "mounted"
  /** The files of a BPF file system. */
  readonly tree?: BpfFileTree | undefined
}

/** A process as a descriptor (`pidfd_open`). */
export interface ProcessDescriptor extends Lifetime {
  readonly _tag: "Process"
  readonly pid: number
}

/** A socket of the simulated process. */
export interface SimulatedSocket extends Lifetime {
  readonly _tag: "Socket"
  readonly cookie: bigint
  /** What may be in a sockmap is connected TCP or bound UDP; what may be in an xskmap is AF_XDP. */
  readonly kind: "tcp" | "udp" | "xdp"
}

/** A program at a hook, and the cookie it was put there with. */
export interface Attachment {
  program: SimulatedProgram
  readonly cookie: bigint
  /** The link that it is there by, if it is by one. */
  link?: SimulatedLink | undefined
  /** In a cgroup: it runs before those that are not so (BPF_F_PREORDER). */
  readonly isPreordered?: boolean
}

/** What there is to tell of a link's place. */
export interface LinkFacts {
  /** Of `enum bpf_link_type`. */
  readonly type: number
  /** By the names of `struct bpf_link_info`. */
  readonly fields: { readonly [field: string]: number | bigint }
  readonly text?: { readonly field: string; readonly length: string; readonly value: string }
}

/** A program's attachment to a hook, which lasts as long as the link. */
export interface SimulatedLink extends Lifetime {
  readonly _tag: "Link"
  readonly id: number
  readonly hook: string
  /** What info says of it beside: its type, and the fields that the type has; texts are written where the caller points. */
  readonly facts: LinkFacts
  /** False once it was detached by force. */
  attached: boolean
  /** Its program may be replaced (BPF_LINK_UPDATE); the link holds the one that is there. */
  readonly attachment: Attachment
}

/** A cgroup's folder, opened. Two of the same `id` are the same cgroup. */
export interface CgroupDescriptor extends Lifetime {
  readonly _tag: "Cgroup"
  readonly id: bigint
  readonly path: string
}

/** Standard input, output or error: no object of BPF's, but an open file. */
export interface StandardStream extends Lifetime {
  readonly _tag: "Stream"
}

export type KernelObject =
  | StandardStream
  | SimulatedMap
  | SimulatedProgram
  | PerfEvent
  | SimulatedBtf
  | FileSystem
  | ProcessDescriptor
  | SimulatedSocket
  | CgroupDescriptor
  | SimulatedLink

/** What one open file may do, whoever shares it: BPF_F_RDONLY and BPF_F_WRONLY limit it. */
export interface Access {
  readonly reads: boolean
  readonly writes: boolean
}

/** An open file: descriptors that were duplicated share one. */
export interface OpenFile extends Access {
  readonly object: KernelObject
  /** The descriptors that share it. */
  descriptors: number
}

/** The standard streams are 0 to 2, and never closed here. */
const FIRST_FD = 3
/** The soft limit that most systems have. */
const MOST_DESCRIPTORS = 1024
const READ_WRITE: Access = { reads: true, writes: true }

export class DescriptorTable {
  private readonly table = new Map<number, OpenFile>()
  private readonly references: Objects<KernelObject>
  private readonly streams = Array.from(
    { length: FIRST_FD },
    (): OpenFile => ({ ...READ_WRITE, object: { _tag: "Stream" }, descriptors: 1 })
  )

  constructor(references: Objects<KernelObject> = new Objects()) {
    this.references = references
  }

  get size(): number {
    return this.table.size
  }

  /** A new file of an object, at the lowest free number, as POSIX has it, so that a stale one is soon another's. */
  open(object: KernelObject, access: Access = READ_WRITE): number {
    return this.place({ ...access, object, descriptors: 0 })
  }

  /** One more descriptor of the same file. */
  dup(fd: number): number {
    const file = this.file(fd)
    return file === undefined ? -errno.EBADF : this.place(file)
  }

  close(fd: number): number {
    const file = this.table.get(fd)
    if (file === undefined) return -errno.EBADF
    this.table.delete(fd)
    if (--file.descriptors === 0 && file.object._tag === "Map") file.object.closeFile?.(file)
    this.references.release(file.object, true)
    return 0
  }

  get<T extends KernelObject["_tag"]>(fd: number, tag: T): Extract<KernelObject, { _tag: T }> | undefined {
    const object = this.any(fd)
    return object?._tag === tag ? object as Extract<KernelObject, { _tag: T }> : undefined
  }

  any(fd: number): KernelObject | undefined {
    return this.file(fd)?.object
  }

  file(fd: number): OpenFile | undefined {
    return this.streams[fd] ?? this.table.get(fd)
  }

  /** The objects that descriptors refer to, some of them more than once. Others live by pins and links: `Objects.all`. */
  *objects(): Generator<KernelObject> {
    for (const { object } of this.table.values()) yield object
  }

  entries(): ReadonlyArray<readonly [fd: number, object: KernelObject]> {
    return [...this.table].map(([fd, { object }]) => [fd, object])
  }

  private place(file: OpenFile): number {
    // Held before a number is looked for: an object that finds none was never held by anyone else, and ends here.
    this.references.retain(file.object, true)
    let fd = FIRST_FD
    while (this.table.has(fd)) fd++
    if (fd >= MOST_DESCRIPTORS) {
      this.references.release(file.object, true)
      return -errno.EMFILE
    }
    file.descriptors++
    this.table.set(fd, file)
    return fd
  }
}
