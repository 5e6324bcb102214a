// Boots a kernel under QEMU's emulation (no KVM is needed) and runs one command in it, as root, on a read-only view of
// this machine's root file system. What the command writes to files is lost; what it prints comes out here as it runs.
import { execFileSync, spawn } from "node:child_process"
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Job, makeInitramfs } from "./initramfs.ts"
import type { KernelFiles } from "./kernels.ts"

/** How a run ended. */
export type Outcome =
  /** The command ended: its exit status, or 128 and the signal's number. */
  | { readonly _tag: "Exited"; readonly status: number }
  | { readonly _tag: "TimedOut"; readonly seconds: number }
  /** The VM did not come up, panicked, or its output was cut. `console` is what the kernel printed last. */
  | { readonly _tag: "Failed"; readonly reason: string; readonly console: string }

export interface BootOptions {
  readonly job: Job
  readonly seconds: number
  readonly megabytes: number
  readonly onOutput: (chunk: Buffer) => void
  readonly onError: (chunk: Buffer) => void
  /** Further arguments of the kernel's command line. */
  readonly kernelArguments?: ReadonlyArray<string>
}

const VIRTIOFSD = "/usr/lib/qemu/virtiofsd"

/** A VM whose command has not started by then is stuck. */
const START_LIMIT = 90_000
const POLL = 50

/** Emits what is new in a growing file, each time that the function it gives is called. */
export const follow = (path: string, emit: (chunk: Buffer) => void): () => void => {
  const fd = openSync(path, "r")
  const buffer = Buffer.alloc(1 << 16)
  return () => {
    for (;;) {
      const length = readSync(fd, buffer, 0, buffer.length, null)
      if (length === 0) return
      emit(Buffer.from(buffer.subarray(0, length)))
    }
  }
}

export const sleep = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Runs in a mount namespace of its own: `/` and the file system of the working directory, read-only, shared by virtiofs. */
const SHARE_ROOT = `
mount --bind / "$1/root"
mount -o remount,bind,ro "$1/root"
top=$(findmnt -no TARGET -T "$2")
if [ "$top" != / ]; then
  mount --bind "$top" "$1/root$top"
  mount -o remount,bind,ro "$1/root$top"
fi
exec "$3" --socket-path="$1/virtiofs" -o source="$1/root" -o cache=always -o sandbox=chroot --thread-pool-size=0
`

/** Dies with us, so that no VM outlives its run. */
export const tied = (command: ReadonlyArray<string>, stdout: number | "ignore") =>
  spawn("setpriv", ["--pdeathsig", "KILL", ...command], { stdio: ["ignore", stdout, stdout] })

const needsCx16 = ({ version }: KernelFiles): boolean => Number.parseInt(version, 10) >= 7

const qemuArguments = (kernel: KernelFiles, directory: string, options: BootOptions): ReadonlyArray<string> => {
  const memory = `memory-backend-memfd,id=memory,size=${options.megabytes}M,share=on`
  const commandLine = [
    "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic reboot=t",
    "mitigations=off nokaslr nowatchdog audit=0 tsc=reliable no_timer_check random.trust_cpu=on",
    // BPF programs are an LSM only if the command line says so.
    "lsm=lockdown,yama,bpf",
    ...options.kernelArguments ?? []
  ].join(" ")
  const ports = ["out", "err", "ctl"].flatMap((name) => [
    "-chardev",
    `file,id=${name},path=${directory}/${name}`,
    "-device",
    `virtserialport,chardev=${name},name=${name}`
  ])
  return [
    ["-M", "q35,memory-backend=memory", "-object", memory, "-m", String(options.megabytes), "-smp", "2"],
    // cx16=off: a 6.12 kernel on QEMU 7.2's cmpxchg16b panics in a quarter of boots. 7.3 does not (12 boots of 12), and
    // without it has no memory for arenas and task storage: its kmalloc_nolock() is made of that instruction.
    // thread=single: thread=multi had a panic in 226 boots, and is slower where two VMs share two cores.
    ["-accel", "tcg,thread=single", "-cpu", needsCx16(kernel) ? "max,la57=off" : "max,la57=off,cx16=off"],
    ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ["-kernel", kernel.image, "-initrd", join(directory, "initrd"), "-append", commandLine],
    ["-serial", `file:${directory}/console`, "-device", "isa-debug-exit,iobase=0xf4,iosize=4"],
    ["-chardev", `socket,id=root,path=${directory}/virtiofs`],
    ["-device", "vhost-user-fs-pci,chardev=root,tag=rootfs"],
    // ioeventfd=off: bytes are in the file when the guest's write returns, before it can end QEMU.
    ["-device", "virtio-serial-pci,ioeventfd=off"],
    ports
  ].flat()
}

const sizeOf = (path: string): number => statSync(path).size

/** What init reported last, held against what arrived. `undefined` if it did not come to that. */
export const readReport = (directory: string): Outcome | undefined => {
  const lines = readFileSync(join(directory, "ctl"), "utf8").trimEnd().split("\n")
  const report = /^exit=(\d+) out=(\d+) err=(\d+) end$/.exec(lines.at(-1)!)
  if (report === null) return undefined
  const [status, out, err] = report.slice(1).map(Number) as [number, number, number]
  return sizeOf(join(directory, "out")) === out && sizeOf(join(directory, "err")) === err
    ? { _tag: "Exited", status }
    : { _tag: "Failed", reason: "output was cut", console: lastLines(join(directory, "console")) }
}

export const lastLines = (path: string): string => readFileSync(path, "utf8").split("\n").slice(-60).join("\n")

/** How one attempt ended, and whether the command had begun. */
interface Attempt {
  readonly outcome: Outcome
  readonly started: boolean
}

const bootOnce = async (kernel: KernelFiles, options: BootOptions): Promise<Attempt> => {
  const directory = mkdtempSync(join(tmpdir(), "effect-ebpf-vm-"))
  const children: Array<ReturnType<typeof spawn>> = []
  const start = (command: ReadonlyArray<string>, log: string) => {
    const fd = openSync(join(directory, log), "w")
    const child = tied(command, fd)
    closeSync(fd)
    children.push(child)
    return child
  }
  const failed = (reason: string): Outcome => ({
    _tag: "Failed",
    reason,
    console: ["console", "qemu.log", "virtiofsd.log"].map((name) => lastLines(join(directory, name))).join("\n").trim()
  })
  try {
    for (const name of ["out", "err", "ctl", "console", "qemu.log"]) writeFileSync(join(directory, name), "")
    writeFileSync(join(directory, "initrd"), makeInitramfs(kernel, options.job))
    mkdirSync(join(directory, "root"))
    const share = ["unshare", "-m", "--propagation", "private", "sh", "-ec", SHARE_ROOT, "-"]
    const server = start([...share, directory, options.job.directory, VIRTIOFSD], "virtiofsd.log")
    for (let i = 0; i < 200 && !existsSync(join(directory, "virtiofs")) && server.exitCode === null; i++) {
      await sleep(POLL)
    }
    if (!existsSync(join(directory, "virtiofs"))) return { outcome: failed("virtiofsd did not start"), started: false }

    const qemu = start(["qemu-system-x86_64", ...qemuArguments(kernel, directory, options)], "qemu.log")
    const copy = [
      follow(join(directory, "out"), options.onOutput),
      follow(join(directory, "err"), options.onError)
    ]
    const began = Date.now()
    const isStarted = () => sizeOf(join(directory, "ctl")) > 0
    const isRunning = () => qemu.exitCode === null && qemu.signalCode === null
    let timedOut = false
    while (isRunning()) {
      await sleep(POLL)
      for (const step of copy) step()
      const elapsed = Date.now() - began
      timedOut ||= elapsed > options.seconds * 1000
      if (timedOut || (elapsed > START_LIMIT && !isStarted())) qemu.kill("SIGKILL")
    }
    for (const step of copy) step()
    const started = isStarted()
    const report = started ? readReport(directory) : undefined
    if (report !== undefined) return { outcome: report, started }
    if (timedOut) return { outcome: { _tag: "TimedOut", seconds: options.seconds }, started }
    const how = started ? "the VM ended without a result" : "the VM did not come up"
    return { outcome: failed(`${how} (QEMU: ${qemu.exitCode ?? qemu.signalCode})`), started }
  } finally {
    for (const child of children) child.kill("SIGKILL")
    // virtiofsd's mounts are in its own namespace and go with it.
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Runs a job under a kernel. A VM that did not come up is tried once more: emulation fails about once in 200 boots. */
export const boot = async (kernel: KernelFiles, options: BootOptions): Promise<Outcome> => {
  const first = await bootOnce(kernel, options)
  if (first.outcome._tag !== "Failed" || first.started) return first.outcome
  return (await bootOnce(kernel, options)).outcome
}

const packagesNeeded = (arm64: boolean) =>
  [
    ...(arm64 ? [{ file: "/usr/bin/qemu-system-aarch64", name: "qemu-system-arm" }] : []),
    { file: "/usr/bin/qemu-system-x86_64", name: "qemu-system-x86" },
    { file: VIRTIOFSD, name: "qemu-system-common" },
    { file: "/usr/bin/gcc", name: "gcc" },
    { file: "/usr/lib/x86_64-linux-gnu/libc.a", name: "libc6-dev" },
    { file: "/usr/bin/xz", name: "xz-utils" },
    { file: "/usr/bin/cpio", name: "cpio" },
    { file: "/usr/bin/setpriv", name: "util-linux" }
  ].filter(({ file }) => !existsSync(file)).map(({ name }) => name)

/** Installs what a VM needs, where this is Debian and we are root; otherwise throws with what to do. */
export const installNeeds = (log: (line: string) => void, options?: { readonly arm64: boolean }): void => {
  const arm64 = options?.arm64 ?? false
  const missing = packagesNeeded(arm64)
  if (missing.length === 0) return
  const command = `apt-get install --no-install-recommends ${missing.join(" ")}`
  if (process.getuid?.() !== 0 || !existsSync("/usr/bin/apt-get")) throw new Error(`VMs need root, and: ${command}`)
  log(`installing ${missing.join(", ")}`)
  const quiet = {
    stdio: ["ignore", "ignore", "inherit"] as const,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  }
  execFileSync("apt-get", ["-qq", "update"], { ...quiet, stdio: [...quiet.stdio] })
  execFileSync("apt-get", ["-qq", "install", "-y", "--no-install-recommends", ...missing], {
    ...quiet,
    stdio: [...quiet.stdio]
  })
  const still = packagesNeeded(arm64)
  if (still.length > 0) throw new Error(`${still.join(", ")} could not be installed`)
}
