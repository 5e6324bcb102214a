// The kernels that the tests run on, and how to get them: Debian's cloud kernels, fetched with apt under a configuration
// of its own, so that the system's package lists and sources stay as they are.
import { execFileSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** The Debian suite that has each series. The last one floats: it is whatever the backports have. */
export const suites = {
  "5.10": "bullseye",
  "6.1": "bookworm",
  "6.12": "bookworm-backports",
  "7.x": "trixie-backports"
} as const

export type KernelName = keyof typeof suites

export const kernelNames = Object.keys(suites) as Array<KernelName>

/** Kernels are kept from run to run, outside the source tree. */
export const cacheDirectory = join(
  process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
  "effect-ebpf",
  "kernels"
)

/** A kernel on disk. */
export interface KernelFiles {
  readonly name: KernelName
  /** Debian's version, such as `6.1.0-50-cloud-amd64`. */
  readonly version: string
  readonly image: string
  readonly modules: string
}

const files = (name: KernelName): KernelFiles => {
  const directory = join(cacheDirectory, name)
  return {
    name,
    version: readFileSync(join(directory, "version"), "utf8").trim(),
    image: join(directory, "vmlinuz"),
    modules: join(directory, "modules")
  }
}

/** The mirror and key that the system's own sources name: one-line style or deb822. */
const mirror = (): { readonly uri: string; readonly signedBy: string } => {
  const signedBy = "/usr/share/keyrings/debian-archive-keyring.gpg"
  const candidates = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"]
  for (const path of candidates.filter((candidate) => existsSync(candidate))) {
    const text = readFileSync(path, "utf8")
    const uri = /^URIs:\s*(\S+)/m.exec(text)?.[1] ?? /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)/m.exec(text)?.[1]
    if (uri !== undefined) return { uri, signedBy }
  }
  throw new Error(`no Debian mirror found in ${candidates.join(" or ")}`)
}

/** apt with lists, cache and sources in a folder of its own. */
export const aptIn = (directory: string, suite: string, architecture: "amd64" | "arm64" = "amd64") => {
  const { signedBy, uri } = mirror()
  mkdirSync(join(directory, "lists/partial"), { recursive: true })
  mkdirSync(join(directory, "cache/archives/partial"), { recursive: true })
  writeFileSync(join(directory, "status"), "")
  writeFileSync(join(directory, "sources.list"), `deb [signed-by=${signedBy}] ${uri} ${suite} main\n`)
  const options = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::Etc::sourcelist=${directory}/sources.list`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::Lists=${directory}/lists`,
    `Dir::State::status=${directory}/status`,
    `Dir::Cache=${directory}/cache`,
    "APT::Sandbox::User=root",
    "Acquire::Languages=none",
    "Acquire::Retries=3"
  ].flatMap((option) => ["-o", option])
  return (tool: "apt-get" | "apt-cache", ...args: ReadonlyArray<string>): string =>
    execFileSync(tool, ["-q", ...options, ...args], {
      cwd: directory,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      maxBuffer: 64 << 20
    })
}

/** The packages that one depends on, by what apt-cache shows of it. */
export const dependencies = (show: string): ReadonlyArray<string> =>
  (/^Depends: (.*)$/m.exec(show)?.[1] ?? "").split(/[,|]/).map((part) => part.trim().split(" ")[0]!)

const onlyEntry = (directory: string): string => join(directory, readdirSync(directory)[0]!)

/** The kernel's files, fetched first if they are not there. About 30 MB each, and some 4 s. */
export const fetchKernel = (name: KernelName, log: (line: string) => void): KernelFiles => {
  const target = join(cacheDirectory, name)
  if (existsSync(join(target, "version"))) return files(name)
  log(`fetching Linux ${name}`)
  mkdirSync(cacheDirectory, { recursive: true })
  const work = mkdtempSync(join(cacheDirectory, "new-"))
  try {
    const apt = aptIn(join(work, "apt"), suites[name])
    apt("apt-get", "update")
    const image = dependencies(apt("apt-cache", "show", "linux-image-cloud-amd64")).find((d) =>
      /^linux-image-\d/.test(d)
    )
    if (image === undefined) throw new Error(`the suite ${suites[name]} has no cloud kernel`)
    const version = image.slice("linux-image-".length)
    // Newer kernels come in two packages.
    const isSplit = dependencies(apt("apt-cache", "show", image)).some((d) => d.startsWith("linux-binary-"))
    const packages = isSplit ? [`linux-binary-${version}`, `linux-modules-${version}`] : [image]
    apt("apt-get", "download", ...packages)
    const unpacked = join(work, "unpacked")
    const archives = readdirSync(join(work, "apt")).filter((file) => file.endsWith(".deb"))
    for (const archive of archives) execFileSync("dpkg-deb", ["-x", join(work, "apt", archive), unpacked])
    const modules = onlyEntry(
      [join(unpacked, "usr/lib/modules"), join(unpacked, "lib/modules")].find((directory) => existsSync(directory))!
    )
    const images = [join(unpacked, "boot", `vmlinuz-${version}`), join(modules, "vmlinuz")]
    const ready = join(work, "ready")
    mkdirSync(ready)
    renameSync(images.find((path) => existsSync(path))!, join(ready, "vmlinuz"))
    renameSync(join(modules, "kernel"), join(ready, "modules"))
    writeFileSync(join(ready, "version"), `${version}\n`)
    // Another run may have been faster: its files are as good.
    if (!existsSync(target)) renameSync(ready, target)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return files(name)
}
