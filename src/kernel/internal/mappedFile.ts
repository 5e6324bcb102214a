// Files whose content is the same as long as the kernel runs, mapped in place of read: sysfs hands out a page a call, and
// fresh memory costs more than the copy.
import { closeSync, fstatSync, openSync } from "node:fs"
import type { Reserved } from "./thread.ts"

/** Pages of the process, or of the thread that owns them. */
export type Pages = Omit<Reserved, "owner"> & { readonly owner: object | undefined }

/** Maps files, to be read only, and unmaps them. */
export interface Mapper {
  /** `-errno` where it cannot be mapped. */
  readonly map: (length: number, fd: number) => Pages | number
  readonly unmap: (pages: Pages, length: number) => void
  readonly view: (address: number, length: number) => ArrayBuffer
}

/** A file of sysfs that cannot change or shrink: reading another one that did would be SIGBUS. */
const isConstant = (path: string): boolean => path.startsWith("/sys/kernel/btf/")

/** Of the module, as mappings may outlive the kernel that made them: a registry that is collected calls nobody. */
const mappings = new FinalizationRegistry<() => void>((unmap) => unmap())

/**
 * Gives the content of such files. Each mapping is read-only and goes when nothing refers to its bytes any more, which is
 * why whoever gets them must hand out no view of them that could be written to or outlive them.
 */
export const makeMapFile = (mapper: Mapper): (path: string) => Uint8Array | undefined => {
  return (path) => {
    if (!isConstant(path)) return undefined
    let fd: number
    try {
      fd = openSync(path, "r")
    } catch {
      return undefined // reading it gives the reason
    }
    try {
      const length = fstatSync(fd).size
      if (length === 0) return undefined
      const pages = mapper.map(length, fd)
      if (typeof pages === "number") return undefined // before 6.16 they cannot be mapped
      const buffer = mapper.view(pages.address, length)
      mappings.register(buffer, () => mapper.unmap(pages, length))
      return new Uint8Array(buffer)
    } finally {
      closeSync(fd)
    }
  }
}
