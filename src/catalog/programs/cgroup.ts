// Programs at the hooks of cgroups: what processes of one cgroup connect to.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Address from "../../layout/Address.ts"
import * as Layout from "../../layout/Layout.ts"
import * as RingBufferMap from "../../map/RingBufferMap.ts"
import { bpf_sock_addr } from "../../spec/ProgramContext.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { cgroup } from "../../spec/ReturnCode.ts"
import { checked, configured, recipe } from "../internal/entry.ts"
import { offsetOf } from "../internal/headers.ts"
import { verdict } from "../internal/parse.ts"
import type { RingOptions } from "./events.ts"

/** A connection that a process of the cgroup asked for. */
export const Connection = Layout.struct({
  /** In nanoseconds since boot. */
  time: Layout.u64,
  pid: Layout.u32,
  uid: Layout.u32,
  /** 2 for IPv4, 10 for IPv6. */
  family: Layout.u32,
  /** 6 for TCP, 17 for UDP. */
  protocol: Layout.u32,
  port: Layout.u32,
  /** `0.0.0.0` for IPv6. */
  ipv4: Address.ipv4,
  /** `::` for IPv4. */
  ipv6: Address.ipv6,
  command: Layout.cstring(16)
})

/** r1 = the port that is asked for; the context is in `context`. */
const portOf = (context: Asm.Register): Asm.Item => [
  Snippets.readField("r1", context, bpf_sock_addr, "user_port"),
  Asm.be("r1", 16)
]

/** Copies an address of the context: the kernel takes loads of 4 bytes there, and stores none of another size. */
const copyAddress = (to: "ipv4" | "ipv6", from: "user_ip4" | "user_ip6"): Asm.Item => {
  const { size } = Layout.field(Connection, to)!
  return Array.from({ length: size / 4 }, (_, i) => [
    Asm.ldxw("r1", "r6", offsetOf(bpf_sock_addr, from) + i * 4),
    Asm.stw("r7", offsetOf(Connection, to) + i * 4, "r1")
  ])
}

/** Fills with zeros an address that the connection does not have. */
const noAddress = (to: "ipv4" | "ipv6"): Asm.Item => {
  const { size } = Layout.field(Connection, to)!
  return Array.from({ length: size / 4 }, (_, i) => Asm.stw("r7", offsetOf(Connection, to) + i * 4, 0))
}

const log = (name: string, hook: "cgroup_inet4_connect" | "cgroup_inet6_connect") =>
  ProgramSpec.make({
    type: "cgroup_sock_addr",
    name,
    expectedAttachType: hook,
    instructions: [
      Asm.mov("r6", "r1"),
      Snippets.ringbufReserve("connections", Connection, "allow"),
      Asm.mov("r7", "r0"),
      Asm.call("ktime_get_ns"),
      Snippets.writeField("r7", Connection, "time", "r0"),
      Asm.call("get_current_pid_tgid"), // the upper half is the process id
      Asm.rsh("r0", 32),
      Snippets.writeField("r7", Connection, "pid", "r0"),
      Asm.call("get_current_uid_gid"), // the lower half is the user id
      Snippets.writeField("r7", Connection, "uid", "r0"),
      Snippets.readField("r1", "r6", bpf_sock_addr, "user_family"),
      Snippets.writeField("r7", Connection, "family", "r1"),
      Snippets.readField("r1", "r6", bpf_sock_addr, "protocol"),
      Snippets.writeField("r7", Connection, "protocol", "r1"),
      portOf("r6"),
      Snippets.writeField("r7", Connection, "port", "r1"),
      hook === "cgroup_inet4_connect"
        ? [copyAddress("ipv4", "user_ip4"), noAddress("ipv6")]
        : [noAddress("ipv4"), copyAddress("ipv6", "user_ip6")],
      Asm.mov("r1", "r7"),
      Asm.add("r1", offsetOf(Connection, "command")),
      Asm.mov("r2", Layout.field(Connection, "command")!.size),
      Asm.call("get_current_comm"),
      Snippets.ringbufSubmit("r7"),
      verdict("allow", cgroup.ALLOW)
    ]
  })

/**
 * Writes a record into the ring buffer `connections` for each connect(2) of a process in the cgroup, to IPv4 and IPv6
 * addresses, also of UDP sockets. The program is for the hook `cgroup_inet4_connect`, and its companion `connect6` for
 * `cgroup_inet6_connect`. It allows all. Kernel 5.8.
 */
export const connectionLog = configured(["ringBytes"], ({ ringBytes = 262_144 }: RingOptions = {}) =>
  recipe({
    description: "Writes a record of each connect(2) in a cgroup into a ring buffer.",
    since: [5, 8],
    maps: { connections: RingBufferMap.define({ name: "connections", record: Connection, maxEntries: ringBytes }) },
    companions: { connect6: log("log_connect6", "cgroup_inet6_connect") },
    program: log("log_connect4", "cgroup_inet4_connect")
  }))

/** The options of `connect-port-block`. */
export interface ConnectPortBlockOptions {
  /** The port that no process may connect to, from 0 to 65535; 25 (SMTP) unless given. */
  readonly port?: number
}

const block = (name: string, hook: "cgroup_inet4_connect" | "cgroup_inet6_connect", port: number) =>
  ProgramSpec.make({
    type: "cgroup_sock_addr",
    name,
    expectedAttachType: hook,
    instructions: [
      checked("port", port, 0, 0xffff),
      portOf("r1"),
      Asm.jeq("r1", port, "deny"),
      verdict("allow", cgroup.ALLOW),
      verdict("deny", cgroup.DENY)
    ]
  })

/**
 * Refuses connect(2) to one port with EPERM, for the processes of a cgroup: over IPv4, and over IPv6 by the companion
 * `connect6`. Kernel 4.17.
 */
export const connectPortBlock = configured(["port"], ({ port = 25 }: ConnectPortBlockOptions = {}) =>
  recipe({
    description: "Refuses connections of a cgroup to one port.",
    since: [4, 17],
    companions: { connect6: block("block_connect6", "cgroup_inet6_connect", port) },
    program: block("block_connect4", "cgroup_inet4_connect", port)
  }))
