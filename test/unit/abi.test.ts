import { describe, it } from "@effect/vitest"
import { constants } from "node:os"
import { expect } from "vitest"
import { errno, errnoDescription, type ErrnoName, errnoName } from "../../src/abi/errno.ts"
import { bpf_cmd, bpf_func_id, bpf_map_type, bpf_prog_type } from "../../src/abi/generated/enums.ts"
import { commandName, mapTypes, programTypes } from "../../src/abi/names.ts"
import { capabilities, epoll, fcntl, mman, mount, perf } from "../../src/abi/os.ts"
import { syscalls } from "../../src/abi/syscalls.ts"
import { KernelError } from "../../src/index.ts"

describe("error numbers", () => {
  it("are those that Node knows on Linux", (context) => {
    context.skip(process.platform !== "linux", "Node's table is that of the platform")
    const known = constants.errno as Record<string, number | undefined>
    const compared = Object.entries(errno).filter(([name]) => known[name] !== undefined)
    expect(compared.length).toBeGreaterThan(30)
    for (const [name, number] of compared) expect(known[name], name).toBe(number)
    const others = Object.entries(errno).filter(([name]) => known[name] === undefined)
    // From include/uapi/asm-generic/errno.h, and include/linux/errno.h for the last.
    expect(Object.fromEntries(others)).toEqual({ EBADFD: 77, ENOTSUPP: 524 })
  })

  it("have one name each, and words", () => {
    for (const [name, number] of Object.entries(errno)) {
      expect(errnoName(number)).toBe(name)
      expect(errnoDescription(number), name).toMatch(/^[a-z].{4,}/)
      expect(errnoDescription(number)).not.toBe("unknown error")
    }
    expect(new Set(Object.values(errno)).size).toBe(Object.keys(errno).length)
    expect(errno.ENOTSUPP satisfies number).toBe(524)
  })

  it("that are not known keep their number", () => {
    expect(errnoName(9999)).toBe("E9999")
    expect(errnoDescription(9999)).toBe("unknown error")
  })

  it("stand in a system call's error with their name, words and hint", () => {
    const error = new KernelError.SystemCallError({
      call: "bpf",
      command: "BPF_MAP_CREATE",
      subject: "hash map \"counters\"",
      errno: 1,
      hint: "Run as root"
    })
    expect(error.code satisfies string).toBe("EPERM" satisfies ErrnoName)
    expect(error.message).toBe(
      "bpf(BPF_MAP_CREATE) for hash map \"counters\": EPERM (1), operation not permitted. Run as root"
    )
    const bare = new KernelError.SystemCallError({
      call: "close",
      command: undefined,
      subject: undefined,
      errno: 777,
      hint: undefined
    })
    expect(bare.message).toBe("close: E777 (777), unknown error")
  })
})

describe("names", () => {
  it("of map types are bpftool's", () => {
    const names = { hash: 1, array: 2, prog_array: 3, percpu_hash: 5, lru_hash: 9, ringbuf: 27, arena: 33 }
    expect(mapTypes).toMatchObject(names)
    for (const [name, number] of Object.entries(mapTypes)) {
      expect(bpf_map_type[`BPF_MAP_TYPE_${name.toUpperCase()}` as keyof typeof bpf_map_type], name).toBe(number)
    }
    expect(Object.keys(mapTypes).filter((name) => name.startsWith("_") || name.includes("max"))).toEqual([])
  })

  it("of program types are bpftool's", () => {
    const names = { socket_filter: 1, kprobe: 2, tracepoint: 5, xdp: 6, raw_tracepoint: 17, tracing: 26, syscall: 31 }
    expect(programTypes).toMatchObject(names)
    for (const [name, number] of Object.entries(programTypes)) {
      expect(bpf_prog_type[`BPF_PROG_TYPE_${name.toUpperCase()}` as keyof typeof bpf_prog_type], name).toBe(number)
    }
    expect(Object.keys(programTypes).filter((name) => name.startsWith("_"))).toEqual([])
  })

  it("of commands are the current spelling", () => {
    expect(commandName(0)).toBe("BPF_MAP_CREATE")
    expect(commandName(5)).toBe("BPF_PROG_LOAD")
    // BPF_PROG_RUN is an alias of BPF_PROG_TEST_RUN.
    expect(commandName(10)).toBe("BPF_PROG_TEST_RUN")
    expect(commandName(bpf_cmd.BPF_LINK_CREATE)).toBe("BPF_LINK_CREATE")
    expect(commandName(4000)).toBe("command 4000")
    expect(commandName(-1)).toBe("command -1")
  })
})

// Printed by a C program that GCC 12 compiled with the headers named in src/abi.
describe("constants", () => {
  it("of the memory calls, epoll and fcntl are those of the C library", () => {
    expect(mman).toMatchObject({
      PROT_READ: 0x1,
      PROT_WRITE: 0x2,
      MAP_SHARED: 0x1,
      MAP_PRIVATE: 0x2,
      MAP_FIXED: 0x10,
      MAP_ANONYMOUS: 0x20
    })
    expect(epoll).toMatchObject({
      EPOLL_CLOEXEC: 0x80000,
      EPOLL_CTL_ADD: 1,
      EPOLL_CTL_DEL: 2,
      EPOLL_CTL_MOD: 3,
      EPOLLIN: 1,
      EPOLLONESHOT: 0x40000000
    })
    expect(fcntl).toMatchObject({ F_DUPFD_CLOEXEC: 0x406 })
  })

  it("of mounts, perf and capabilities are those of the kernel's headers", () => {
    expect(mount).toMatchObject({ FSOPEN_CLOEXEC: 1, FSMOUNT_CLOEXEC: 1 })
    expect(perf).toMatchObject({
      PERF_EVENT_IOC_ENABLE: 0x2400,
      PERF_EVENT_IOC_DISABLE: 0x2401,
      PERF_EVENT_IOC_SET_BPF: 0x40042408,
      PERF_FLAG_FD_CLOEXEC: 8
    })
    expect(capabilities).toMatchObject({
      CAP_NET_ADMIN: 0xc,
      CAP_SYS_ADMIN: 0x15,
      CAP_SYS_RESOURCE: 0x18,
      CAP_PERFMON: 0x26,
      CAP_BPF: 0x27
    })
  })

  it("of system calls are the table's", () => {
    expect(syscalls.x64).toMatchObject({
      bpf: 0x141,
      perf_event_open: 0x12a,
      fsopen: 0x1ae,
      fsconfig: 0x1af,
      fsmount: 0x1b0
    })
    // From include/uapi/asm-generic/unistd.h.
    expect(syscalls.arm64).toMatchObject({ bpf: 280, perf_event_open: 241, fsopen: 430, fsconfig: 431, fsmount: 432 })
    expect(Object.keys(syscalls.arm64)).toEqual(Object.keys(syscalls.x64))
  })

  it("of helpers and types are those of linux/bpf.h", () => {
    expect(bpf_func_id).toMatchObject({
      BPF_FUNC_map_lookup_elem: 1,
      BPF_FUNC_ktime_get_ns: 5,
      BPF_FUNC_get_current_pid_tgid: 14,
      BPF_FUNC_ringbuf_output: 130
    })
  })
})
