// What a program may return (check_return_code). Most types may return anything.
import { bpf_attach_type } from "../../../abi/generated/enums.ts"
import { programTypes } from "../../../abi/names.ts"
import type { Path } from "./path.ts"
import * as Scalar from "./scalar.ts"
import type { Register } from "./state.ts"

const a = bpf_attach_type

const BOOLEAN_TYPES: ReadonlySet<number> = new Set([
  programTypes.cgroup_sock,
  programTypes.sock_ops,
  programTypes.cgroup_device,
  programTypes.cgroup_sysctl,
  programTypes.cgroup_sockopt,
  programTypes.sk_lookup,
  programTypes.netfilter
])

const MUST_BE_ONE: ReadonlySet<number> = new Set([
  a.BPF_CGROUP_UDP4_RECVMSG,
  a.BPF_CGROUP_UDP6_RECVMSG,
  a.BPF_CGROUP_UNIX_RECVMSG,
  a.BPF_CGROUP_INET4_GETPEERNAME,
  a.BPF_CGROUP_INET6_GETPEERNAME,
  a.BPF_CGROUP_UNIX_GETPEERNAME,
  a.BPF_CGROUP_INET4_GETSOCKNAME,
  a.BPF_CGROUP_INET6_GETSOCKNAME,
  a.BPF_CGROUP_UNIX_GETSOCKNAME
])

/** The smallest and the largest result, or `undefined` where any will do. */
const allowed = (type: number, attachType: number): readonly [number, number] | undefined => {
  if (BOOLEAN_TYPES.has(type)) return [0, 1]
  switch (type) {
    case programTypes.cgroup_skb:
      return attachType === a.BPF_CGROUP_INET_EGRESS ? [0, 3] : [0, 1]
    case programTypes.cgroup_sock_addr:
      if (MUST_BE_ONE.has(attachType)) return [1, 1]
      return attachType === a.BPF_CGROUP_INET4_BIND || attachType === a.BPF_CGROUP_INET6_BIND ? [0, 3] : [0, 1]
    case programTypes.tracing:
      if (attachType === a.BPF_TRACE_FENTRY || attachType === a.BPF_TRACE_FEXIT) return [0, 0]
      return attachType === a.BPF_TRACE_ITER ? [0, 1] : undefined
    default:
      return undefined
  }
}

/** Checks r0 at the program's end. */
export const checkReturn = (path: Path, returned: Register): void => {
  const range = allowed(path.type, path.attachType)
  if (range === undefined || returned.kind === "anything") return
  if (returned.kind !== "scalar") path.invalid("At program exit the register R0 is not a known value")
  path.precise(0)
  const [least, most] = range
  if (Scalar.smin(returned.scalar) >= least && Scalar.smax(returned.scalar) <= most) return
  const { smax, smin } = Scalar.exact(returned.scalar)
  const unknown = smin === -(2n ** 63n) && smax === 2n ** 63n - 1n
  const has = unknown ? "has unknown scalar value" : `has smin=${smin} smax=${smax}`
  path.invalid(`At program exit the register R0 ${has} should have been in [${least}, ${most}]`)
}
