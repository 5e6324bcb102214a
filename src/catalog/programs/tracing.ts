// Programs that watch processes and the kernel.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Layout from "../../layout/Layout.ts"
import * as ArrayMap from "../../map/ArrayMap.ts"
import * as HashMap from "../../map/HashMap.ts"
import * as RingBufferMap from "../../map/RingBufferMap.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { configured, recipe } from "../internal/entry.ts"
import { increment, verdict } from "../internal/parse.ts"
import { type OneProcessOptions, onlyProcess, processId } from "../internal/process.ts"
import type { RingOptions } from "./events.ts"

/** The arguments of the raw tracepoint `sys_enter`: the task's registers, and the call's number. */
const RawSysEnter = Layout.struct({ registers: Layout.u64, number: Layout.u64 })

const doNothing = verdict("out", 0)

// ---------------------------------------------------------------- printing and time

const text = new TextEncoder().encode("effect-ebpf: pid %d\n\0")
const message = Snippets.stack({ text: Layout.bytes(text.length) })

/** Puts a text on the stack, four bytes at a time: `bpf_trace_printk` takes no other place on kernels before 5.2. */
const storeText: Asm.Item = [
  Snippets.zero(message.text),
  Array.from({ length: Math.ceil(text.length / 4) }, (_, word) => {
    const bytes = [0, 1, 2, 3].map((i) => text[word * 4 + i] ?? 0)
    return Asm.stw(
      "r10",
      message.text.offset + word * 4,
      bytes[0]! | bytes[1]! << 8 | bytes[2]! << 16 | bytes[3]! << 24
    )
  })
]

/**
 * Prints a line with the process id into the kernel's trace pipe (`/sys/kernel/tracing/trace_pipe`) whenever its raw
 * tracepoint fires, and gives the number of bytes printed. It is for debugging: all programs of the system share the pipe,
 * and the kernel warns in its log of a program that prints. Kernel 4.17.
 */
export const printkTracer = () =>
  recipe({
    description: "Prints a line with the process id into the kernel's trace pipe.",
    since: [4, 17],
    program: ProgramSpec.make({
      type: "raw_tracepoint",
      name: "printk_tracer",
      instructions: [
        processId,
        Asm.mov("r3", "r0"),
        storeText,
        Snippets.addressOf("r1", message.text),
        Asm.mov("r2", text.length),
        Asm.call("trace_printk"),
        Asm.exit()
      ]
    })
  })

/** What `timestamp-tracer` tells of an event. */
export const Timestamp = Layout.struct({
  /** In nanoseconds since boot, without the time asleep. */
  time: Layout.u64,
  pid: Layout.u32,
  cpu: Layout.u32
})

const stamps = Snippets.stack({ stamp: Timestamp })

/**
 * Writes the time, process and CPU of each event of its raw tracepoint into the ring buffer `timestamps`. Kernel 5.8.
 */
export const timestampTracer = configured(["ringBytes"], ({ ringBytes = 262_144 }: RingOptions = {}) =>
  recipe({
    description: "Writes the time, process and CPU of each event into a ring buffer.",
    since: [5, 8],
    maps: { timestamps: RingBufferMap.define({ name: "timestamps", record: Timestamp, maxEntries: ringBytes }) },
    program: ProgramSpec.make({
      type: "raw_tracepoint",
      name: "timestamps",
      instructions: [
        Asm.call("ktime_get_ns"),
        Asm.mov("r6", "r0"),
        Asm.call("get_smp_processor_id"),
        Asm.mov("r7", "r0"),
        processId,
        Snippets.storeStruct(stamps.stamp, { time: "r6", pid: "r0", cpu: "r7" }),
        Snippets.ringbufOutput("timestamps", stamps.stamp),
        verdict("out", 0)
      ]
    })
  }))

// ---------------------------------------------------------------- system calls

const calls = Snippets.stack({ key: Layout.u32, count: Layout.u64 })

/**
 * Counts system calls by their number in the map `calls`. It is for the raw tracepoint `sys_enter`. Kernel 4.17.
 */
export const syscallCounter = configured(["pid"], ({ pid = 0 }: OneProcessOptions = {}) =>
  recipe({
    description: "Counts system calls by their number.",
    since: [4, 17],
    maps: { calls: HashMap.define({ name: "calls", key: Layout.u32, value: Layout.u64, maxEntries: 1024 }) },
    program: ProgramSpec.make({
      type: "raw_tracepoint",
      name: "syscalls",
      instructions: [
        Snippets.readField("r6", "r1", RawSysEnter, "number"),
        onlyProcess(pid),
        Snippets.store(calls.key, "r6"),
        Snippets.mapLookup("calls", calls.key, "new"),
        increment("r0"),
        Asm.ja("out"),
        Asm.label("new"),
        Snippets.store(calls.count, 1),
        Snippets.mapUpdate("calls", calls.key, calls.count),
        doNothing
      ]
    })
  }))

/** How many buckets `latency-histogram` has: one for each bit of a time in nanoseconds. */
const BUCKETS = 64

const latency = Snippets.stack({ thread: Layout.u64, time: Layout.u64, bucket: Layout.u32 })

/** `dst` = the number of the highest bit set in `value`, which it destroys; 0 for 0. */
const log2 = (dst: Asm.Register, value: Asm.Register, scratch: Asm.Register): Asm.Item => [
  Asm.mov(dst, 0),
  [32, 16, 8, 4, 2, 1].map((bits) =>
    Asm.scope([
      Asm.mov(scratch, value),
      Asm.rsh(scratch, bits),
      Asm.jeq(scratch, 0, "below"),
      Asm.mov(value, scratch),
      Asm.add(dst, bits),
      Asm.label("below")
    ])
  )
]

/**
 * Measures how long something takes in a thread, as a histogram of powers of two: element `n` of the map `latencies`
 * counts times of 2^n to 2^(n+1) - 1 nanoseconds. The program is for the raw tracepoint where it begins (`sys_enter`), its
 * companion `end` for that where it ends (`sys_exit`); the map `started` has the threads in between. Kernel 4.17.
 */
export const latencyHistogram = configured(["pid"], ({ pid = 0 }: OneProcessOptions = {}) =>
  recipe({
    description: "Measures the time between two raw tracepoints in a thread, as a histogram of powers of two.",
    since: [4, 17],
    maps: {
      started: HashMap.define({ name: "started", key: Layout.u64, value: Layout.u64, maxEntries: 10_240 }),
      latencies: ArrayMap.define({ name: "latencies", value: Layout.u64, maxEntries: BUCKETS })
    },
    companions: {
      end: ProgramSpec.make({
        type: "raw_tracepoint",
        name: "latency_end",
        instructions: [
          Asm.call("get_current_pid_tgid"),
          Snippets.store(latency.thread, "r0"),
          Snippets.mapLookup("started", latency.thread, "out"),
          Asm.ldxdw("r6", "r0", 0),
          Asm.call("ktime_get_ns"),
          Asm.mov("r7", "r0"),
          Asm.sub("r7", "r6"),
          Snippets.mapDelete("started", latency.thread),
          log2("r8", "r7", "r1"),
          Snippets.store(latency.bucket, "r8"),
          Snippets.mapLookup("latencies", latency.bucket, "out"),
          increment("r0"),
          doNothing
        ]
      })
    },
    program: ProgramSpec.make({
      type: "raw_tracepoint",
      name: "latency_start",
      instructions: [
        onlyProcess(pid),
        Asm.call("get_current_pid_tgid"),
        Snippets.store(latency.thread, "r0"),
        Asm.call("ktime_get_ns"),
        Snippets.store(latency.time, "r0"),
        Snippets.mapUpdate("started", latency.thread, latency.time),
        doNothing
      ]
    })
  }))

// ---------------------------------------------------------------- functions of the kernel

/**
 * Counts the calls of a function of the kernel by process id in the map `calls`. It is for a kprobe on any function.
 * Kernel 4.12.
 */
export const kprobeCounter = configured(["pid"], ({ pid = 0 }: OneProcessOptions = {}) =>
  recipe({
    description: "Counts the calls of a function of the kernel by process.",
    since: [4, 12],
    maps: { calls: HashMap.define({ name: "calls", key: Layout.u32, value: Layout.u64, maxEntries: 10_240 }) },
    program: ProgramSpec.make({
      type: "kprobe",
      name: "kprobe_counter",
      instructions: [
        onlyProcess(pid),
        processId,
        Snippets.store(calls.key, "r0"),
        Snippets.mapLookup("calls", calls.key, "new"),
        increment("r0"),
        Asm.ja("out"),
        Asm.label("new"),
        Snippets.store(calls.count, 1),
        Snippets.mapUpdate("calls", calls.key, calls.count),
        doNothing
      ]
    })
  }))
