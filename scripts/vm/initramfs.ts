// The VM's initial file system: our init, the modules it loads, and the job, as a cpio archive ("newc" format,
// Documentation/driver-api/early-userspace/buffer-format.rst).
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { cacheDirectory, type KernelFiles } from "./kernels.ts"

/** What the VM needs to reach its root and its output, and what tests attach to. Nothing loads modules inside. */
const MODULES = [
  "virtio_pci",
  "virtio_console",
  "virtiofs",
  "overlay",
  "veth",
  "dummy",
  "sch_ingress",
  "cls_bpf",
  "act_bpf"
]

const FILE = 0o100644
const EXECUTABLE = 0o100755
const FOLDER = 0o040755

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0")
const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4)

const entry = (inode: number, name: string, mode: number, content: Buffer): Buffer => {
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0]
  const header = Buffer.from(`070701${fields.map(hex).join("")}${name}\0`)
  return Buffer.concat([header, padding(header.length), content, padding(content.length)])
}

/** A cpio archive of files in order; names without content are folders. */
export const archive = (
  entries: ReadonlyArray<{ readonly name: string; readonly content?: Buffer; readonly executable?: boolean }>
): Buffer => {
  const parts = entries.map(({ content, executable, name }, index) =>
    entry(
      index + 1,
      name,
      content === undefined ? FOLDER : executable === true ? EXECUTABLE : FILE,
      content ?? Buffer.alloc(0)
    )
  )
  return Buffer.concat([...parts, entry(0, "TRAILER!!!", 0, Buffer.alloc(0))])
}

/** Every module of a kernel by its name, in which the kernel takes `-` for `_`. */
const moduleFiles = (kernel: KernelFiles): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(kernel.modules, { recursive: true, encoding: "utf8" }).flatMap((path) => {
      const name = /([^/]+)\.ko(\.xz)?$/.exec(path)?.[1]
      return name === undefined ? [] : [[name.replaceAll("-", "_"), join(kernel.modules, path)] as const]
    })
  )

const readModule = (path: string): Buffer =>
  path.endsWith(".xz") ? execFileSync("xz", ["-dc", path], { maxBuffer: 64 << 20 }) : readFileSync(path)

/** A module names what it needs in a string of its .modinfo section. */
const needs = (module: Buffer): ReadonlyArray<string> =>
  (/\0depends=([^\0]*)\0/.exec(module.toString("latin1"))?.[1] ?? "").split(",").filter((name) => name !== "")

/** Modules in load order, each after what it needs. One that is not there is built in. */
const modulesInOrder = (kernel: KernelFiles): ReadonlyMap<string, Buffer> => {
  const files = moduleFiles(kernel)
  const ordered = new Map<string, Buffer>()
  const add = (name: string): void => {
    const path = files.get(name.replaceAll("-", "_"))
    if (path === undefined || ordered.has(name)) return
    const module = readModule(path)
    for (const needed of needs(module)) add(needed)
    ordered.set(name, module)
  }
  for (const name of MODULES) add(name)
  return ordered
}

/** Compiles the init, once for each change of its source. It is static: the initial file system has no libraries. */
const buildInit = (): Buffer => {
  const source = fileURLToPath(new URL("init.c", import.meta.url))
  const binary = join(cacheDirectory, "init")
  if (!existsSync(binary) || statSync(binary).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(cacheDirectory, { recursive: true })
    const fresh = `${binary}.${process.pid}`
    execFileSync("gcc", ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-o", fresh, source], {
      stdio: "inherit"
    })
    renameSync(fresh, binary)
  }
  return readFileSync(binary)
}

/** A command to run in the VM. */
export interface Job {
  readonly command: ReadonlyArray<string>
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
}

/** NUL-terminated strings, as init reads them. */
const strings = (values: ReadonlyArray<string>): Buffer => Buffer.from(values.map((value) => `${value}\0`).join(""))

/** The whole initial file system for one run. */
export const makeInitramfs = (kernel: KernelFiles, job: Job): Buffer => {
  const modules = modulesInOrder(kernel)
  return archive([
    { name: "init", content: buildInit(), executable: true },
    { name: "modules" },
    ...[...modules].map(([name, content]) => ({ name: `modules/${name}.ko`, content })),
    { name: "modules/list", content: Buffer.from([...modules.keys()].map((name) => `${name}\n`).join("")) },
    { name: "job" },
    { name: "job/argv", content: strings(job.command) },
    { name: "job/env", content: strings(Object.entries(job.environment).map(([name, value]) => `${name}=${value}`)) },
    { name: "job/cwd", content: Buffer.from(job.directory) }
  ])
}
