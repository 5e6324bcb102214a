// Helpers on packets: net/core/filter.c.
import { errno } from "../../../abi/errno.ts"
import { bpf_skb_store_bytes_flags } from "../../../abi/generated/enums.ts"
import { programTypes } from "../../../abi/names.ts"
import { viewOf } from "../memory.ts"
import { ETHERNET_HEADER, type Packet, SkBuff, XDP_HEADROOM, XdpMd } from "../packets.ts"
import * as Checksum from "./checksum.ts"
import { type Environment, failed, type Helpers, s32, u32, u64, unlessFault } from "./environment.ts"

const MOST_OFFSET = 0xffff
/** BPF_SKB_MAX_LEN: four pages less what stands behind a packet. */
const MOST_LENGTH = 4 * 4096 - 320
const INT_MAX = 2 ** 31 - 1
/** sizeof(struct xdp_frame), at the very beginning of an XDP packet's buffer. */
const XDP_FRAME = 40
/** A page less the `skb_shared_info` at its end. */
const XDP_LIMIT = 4096 - 320
const LOOPBACK = 1
const LOOPBACK_MTU = 65_536
const ETHERNET_MTU = 1500

/** Types of what an Ethernet frame carries. */
const [ETH_P_IP, ETH_P_IPV6] = [0x0800, 0x86dd]

/** The flags of bpf_skb_adjust_room() (`enum bpf_adj_room_flags`, BPF_F_ADJ_ROOM_…); what shrinks takes few of them. */
const ROOM = {
  encapIpv4: 1n << 1n,
  encapIpv6: 1n << 2n,
  encapGre: 1n << 3n,
  encapUdp: 1n << 4n,
  encapEthernet: 1n << 6n,
  decapIpv4: 1n << 7n,
  decapIpv6: 1n << 8n,
  shrinking: 0x1a1n,
  all: 0x1ffn | (0xffn << 56n),
  innerLinkShift: 56n
} as const
const VLAN = { [0x8100]: true, [0x88a8]: true } as { readonly [protocol: number]: true }
const XDP = { aborted: 0n, redirect: 4n } as const
const TC = { shot: 2n, redirect: 7n } as const

const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

export const packetHelpers = ({ hasDevice, map, memory, packets }: Environment): Helpers => {
  const packetOf = (context: bigint): Packet => {
    const packet = packets.get(Number(context >> 32n))
    if (packet === undefined || (context & 0xffffffffn) !== 0n) {
      throw new RangeError("the first argument is no packet's context")
    }
    return packet
  }
  const inside = (packet: Packet, offset: number, length: number): boolean =>
    offset >= 0 && length >= 0 && offset + length <= packet.data.length

  const loadBytes = (context: bigint, offset: bigint, to: bigint, length: bigint): bigint => {
    const packet = packetOf(context)
    const [at, size] = [u32(offset), u32(length)]
    // A test run of a flow dissector has no skb, and that is the only run it has here.
    if (at > INT_MAX || !inside(packet, at, size) || packet.type === programTypes.flow_dissector) {
      memory.write(to, new Uint8Array(size))
      return failed(errno.EFAULT)
    }
    memory.write(to, packet.data.subarray(at, at + size))
    return 0n
  }
  /** From the link header or from the network header on, wherever the data begin. */
  const loadRelative = (context: bigint, offset: bigint, to: bigint, length: bigint, header: bigint): bigint => {
    const packet = packetOf(context)
    const [MAC, NET] = [0, 1]
    const [from, at, size] = [u32(header), u32(offset), u32(length)]
    const whole = concat(packet.link, packet.data)
    const start = from === NET ? ETHERNET_HEADER : 0
    if (at > MOST_OFFSET || (from !== MAC && from !== NET) || start + at + size > whole.length) {
      memory.write(to, new Uint8Array(size))
      return failed(errno.EFAULT)
    }
    memory.write(to, whole.subarray(start + at, start + at + size))
    return 0n
  }
  const storeBytes = (context: bigint, offset: bigint, from: bigint, length: bigint): bigint => {
    const packet = packetOf(context)
    const [at, size] = [u32(offset), u32(length)]
    const bytes = memory.read(from, size)
    if (at > INT_MAX || !inside(packet, at, size)) return failed(errno.EFAULT)
    packet.data.set(bytes, at)
    packet.replace(packet.data.slice())
    return 0n
  }

  const redirect = (context: Packet | undefined, helper: string, target: number, flags: bigint): bigint => {
    context?.redirects.push({ helper, target, flags })
    if (context?.kind === "xdp") return flags === 0n ? XDP.redirect : XDP.aborted
    return (flags & ~1n) === 0n ? TC.redirect : TC.shot
  }
  /** Redirects have no context among their arguments: it is the packet that is looked at last. */
  const latest = (): Packet | undefined => [...packets.values()].at(-1)

  const changed = (context: bigint, change: (packet: Packet) => Uint8Array | number): bigint => {
    const packet = packetOf(context)
    const data = change(packet)
    if (typeof data === "number") return failed(data)
    packet.replace(data)
    return 0n
  }

  const adjustHead = (packet: Packet, delta: number): number => {
    const start = XDP_HEADROOM + packet.moved + delta
    if (start < XDP_FRAME + packet.meta.length || delta > packet.data.length - ETHERNET_HEADER) return -errno.EINVAL
    packet.moveHead(delta)
    return 0
  }
  const adjustTail = (packet: Packet, delta: number): number => {
    if (packet.pieces.length > 0) return adjustPieces(packet, delta)
    const length = packet.data.length + delta
    if (XDP_HEADROOM + packet.moved + length > XDP_LIMIT || length < ETHERNET_HEADER) return -errno.EINVAL
    packet.replace(delta < 0 ? packet.data.slice(0, length) : concat(packet.data, new Uint8Array(delta)))
    return 0
  }
  /** A packet in pieces grows to the end of its last page, and shrinks from there (bpf_xdp_frags_increase_tail). */
  const adjustPieces = (packet: Packet, delta: number): number => {
    const { pieces } = packet
    const inPage = pieces.length % PAGE === 0 ? PAGE : pieces.length % PAGE
    if (delta > PAGE - inPage) return -errno.EINVAL
    const length = pieces.length + delta
    if (packet.data.length + length < ETHERNET_HEADER) return -errno.EINVAL
    if (length < 0) packet.replace(packet.data.slice(0, packet.data.length + length))
    const next = new Uint8Array(Math.max(0, length))
    next.set(pieces.subarray(0, next.length))
    packet.pieces = next
    return 0
  }
  const adjustMeta = (packet: Packet, delta: number): number => {
    const length = packet.meta.length - delta
    if (length < 0 || XDP_HEADROOM + packet.moved - length < XDP_FRAME) return -errno.EINVAL
    if (length % 4 !== 0 || length >= 256) return -errno.EACCES
    const meta = delta < 0 ? concat(new Uint8Array(-delta), packet.meta) : packet.meta.slice(delta)
    packet.replace(packet.data.slice(), meta)
    return 0
  }

  /** Inserts or takes out room behind the link or the network header (bpf_skb_adjust_room). */
  const adjustRoom = (packet: Packet, delta: number, mode: number, flags: bigint): Uint8Array | number => {
    const [BPF_ADJ_ROOM_NET, BPF_ADJ_ROOM_MAC] = [0, 1]
    if ((flags & ~ROOM.all) !== 0n) return errno.EINVAL
    if (Math.abs(delta) > 0xfff) return errno.EFAULT
    const view = viewOf(packet.context.bytes)
    const protocol = swap16(view.getUint16(SkBuff.protocol.offset, true))
    if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return errno.ENOTSUPP
    if (mode !== BPF_ADJ_ROOM_NET && mode !== BPF_ADJ_ROOM_MAC) return errno.ENOTSUPP
    const network = protocol === ETH_P_IP ? 20 : 40
    const at = ETHERNET_HEADER + (mode === BPF_ADJ_ROOM_NET ? network : 0)
    const outer = flags & (ROOM.decapIpv4 | ROOM.decapIpv6)
    if (outer !== 0n && (delta >= 0 || outer === (ROOM.decapIpv4 | ROOM.decapIpv6))) return errno.EINVAL
    const least = outer === 0n ? network : outer === ROOM.decapIpv4 ? 20 : 40
    const length = packet.data.length + delta
    if (delta < 0 ? length - ETHERNET_HEADER < least : length > MOST_LENGTH) return errno.ENOTSUPP
    const wrong = delta < 0
      ? (flags & ~ROOM.shrinking) === 0n ? 0 : errno.EINVAL
      : checkEncapsulation(packet, delta, flags)
    if (wrong !== 0) return wrong
    // The data must reach as far as what is moved (bpf_skb_generic_push, bpf_skb_generic_pop).
    if (packet.data.length < at + (delta < 0 ? -delta : 0)) return errno.ENOMEM
    const toIpv4 = (flags & (ROOM.encapIpv4 | ROOM.decapIpv4)) !== 0n
    const toIpv6 = (flags & (ROOM.encapIpv6 | ROOM.decapIpv6)) !== 0n
    if (toIpv4 || toIpv6) view.setUint16(SkBuff.protocol.offset, swap16(toIpv4 ? ETH_P_IP : ETH_P_IPV6), true)
    return delta >= 0
      ? concat(packet.data.subarray(0, at), new Uint8Array(delta), packet.data.subarray(at))
      : concat(packet.data.subarray(0, at), packet.data.subarray(at - delta))
  }
  /** What bpf_skb_net_grow() asks of a packet that is put into another one; 0, or an error. */
  const checkEncapsulation = (packet: Packet, delta: number, flags: bigint): number => {
    if ((flags & (ROOM.encapIpv4 | ROOM.encapIpv6)) === 0n) return 0
    const has = (flag: bigint) => (flags & flag) !== 0n
    const innerLink = Number(flags >> ROOM.innerLinkShift)
    if ((has(ROOM.encapIpv4) && has(ROOM.encapIpv6)) || (has(ROOM.encapGre) && has(ROOM.encapUdp))) return errno.EINVAL
    if (has(ROOM.encapEthernet) && innerLink < ETHERNET_HEADER) return errno.EINVAL
    if (packet.isEncapsulated) return errno.EALREADY
    if (innerLink > delta) return errno.EINVAL
    packet.isEncapsulated = true
    return 0
  }

  /** INET_ECN_set_ce(): 1 where the packet says now that there is congestion. */
  const markCongestion = (packet: Packet): number => {
    const start = packet.atLink ? ETHERNET_HEADER : 0
    const view = viewOf(packet.data)
    const protocol = swap16(viewOf(packet.context.bytes).getUint16(SkBuff.protocol.offset, true))
    const [CONGESTION, NOT_CAPABLE] = [3, 0]
    if (protocol === ETH_P_IP && packet.data.length >= start + 20) {
      const service = view.getUint8(start + 1)
      const ecn = service & 3
      if (ecn === NOT_CAPABLE || ecn === CONGESTION) return ecn === CONGESTION ? 1 : 0
      view.setUint16(start + 10, Checksum.add16(view.getUint16(start + 10), ecn === 1 ? 0xfffd : 0xfffe))
      view.setUint8(start + 1, service | CONGESTION)
      packet.replace(packet.data.slice())
      return 1
    }
    if (protocol === ETH_P_IPV6 && packet.data.length >= start + 40) {
      const ecn = (view.getUint8(start + 1) >> 4) & 3
      if (ecn === NOT_CAPABLE) return 0
      view.setUint8(start + 1, view.getUint8(start + 1) | (CONGESTION << 4))
      packet.replace(packet.data.slice())
      return 1
    }
    return 0
  }

  const vlanPush = (context: bigint, protocol: number, tci: number): bigint => {
    const packet = packetOf(context)
    const view = viewOf(packet.context.bytes)
    const proto = VLAN[protocol] === true ? protocol : 0x8100
    if (view.getUint32(SkBuff.vlan_present.offset, true) !== 0) {
      // A tag that the "hardware" holds moves into the packet, and the new one takes its place.
      const tag = Uint8Array.of(0, 0, 0, 0)
      viewOf(tag).setUint16(0, swap16(view.getUint16(SkBuff.vlan_proto.offset, true)))
      viewOf(tag).setUint16(2, view.getUint16(SkBuff.vlan_tci.offset, true))
      packet.replace(concat(packet.data.subarray(0, 12), tag, packet.data.subarray(12)))
    } else packet.replace(packet.data.slice())
    view.setUint32(SkBuff.vlan_present.offset, 1, true)
    view.setUint32(SkBuff.vlan_tci.offset, tci, true)
    view.setUint32(SkBuff.vlan_proto.offset, swap16(proto), true)
    return 0n
  }
  const vlanPop = (context: bigint): bigint => {
    const packet = packetOf(context)
    const view = viewOf(packet.context.bytes)
    if (view.getUint32(SkBuff.vlan_present.offset, true) !== 0) {
      for (const field of [SkBuff.vlan_present, SkBuff.vlan_tci, SkBuff.vlan_proto]) {
        view.setUint32(field.offset, 0, true)
      }
      packet.replace(packet.data.slice())
      return 0n
    }
    const inner = packet.data.length >= 18 ? viewOf(packet.data).getUint16(12) : 0
    const data = VLAN[inner] === true
      ? concat(packet.data.subarray(0, 12), packet.data.subarray(16))
      : packet.data.slice()
    if (data.length < packet.data.length) {
      view.setUint32(SkBuff.protocol.offset, swap16(viewOf(data).getUint16(12)), true)
    }
    packet.replace(data)
    return 0n
  }

  /** Replaces a checksum of 16 bits in the packet. */
  const checksumAt = (context: bigint, offset: bigint, change: (old: number) => number | undefined): bigint => {
    const packet = packetOf(context)
    const at = u32(offset)
    if (at > MOST_OFFSET || at % 2 !== 0 || !inside(packet, at, 2)) return failed(errno.EFAULT)
    const view = viewOf(packet.data)
    const next = change(view.getUint16(at, true))
    if (next === undefined) return failed(errno.EINVAL)
    view.setUint16(at, next, true)
    packet.replace(packet.data.slice())
    return 0n
  }
  const replaced = (old: number, from: bigint, to: bigint, size: number): number | undefined => {
    if (size === 0) return from === 0n ? Checksum.replaceByDifference(old, u32(to)) : undefined
    if (size === 2) return Checksum.replace(old, u32(from) & 0xffff, u32(to) & 0xffff)
    return size === 4 ? Checksum.replace(old, u32(from), u32(to)) : undefined
  }
  const [MANGLED_0, ENFORCE, PSEUDO, IPV6, SIZE] = [0x20, 0x40, 0x10, 0x80, 0xf]

  const difference = (from: bigint, fromSize: number, to: bigint, toSize: number, seed: number): bigint => {
    const old = fromSize === 0 ? new Uint8Array(0) : memory.read(from, fromSize)
    const fresh = toSize === 0 ? new Uint8Array(0) : memory.read(to, toSize)
    return BigInt(Checksum.difference(old, fresh, seed))
  }

  return {
    BPF_FUNC_skb_load_bytes: loadBytes,
    BPF_FUNC_skb_load_bytes_relative: loadRelative,
    BPF_FUNC_skb_store_bytes: (context, offset, from, length, flags) => {
      const { BPF_F_INVALIDATE_HASH, BPF_F_RECOMPUTE_CSUM } = bpf_skb_store_bytes_flags
      if ((flags & ~BigInt(BPF_F_INVALIDATE_HASH | BPF_F_RECOMPUTE_CSUM)) !== 0n) return failed(errno.EINVAL)
      return storeBytes(context, offset, from, length)
    },
    BPF_FUNC_skb_pull_data: (context, length) =>
      changed(context, (packet) => u32(length) > packet.data.length ? errno.ENOMEM : packet.data.slice()),
    BPF_FUNC_skb_change_tail: (context, length, flags) =>
      changed(context, (packet) => {
        const least = packet.atLink ? ETHERNET_HEADER : 0
        if (flags !== 0n || u32(length) > MOST_LENGTH || u32(length) < least) return errno.EINVAL
        if (packet.isEncapsulated) return errno.ENOTSUPP
        const data = new Uint8Array(u32(length))
        data.set(packet.data.subarray(0, data.length))
        return data
      }),
    BPF_FUNC_skb_change_head: (context, room, flags) =>
      changed(context, (packet) => {
        const length = packet.data.length + u32(room)
        if (flags !== 0n || length > MOST_LENGTH || length < packet.data.length) return errno.EINVAL
        return concat(new Uint8Array(u32(room)), packet.data)
      }),
    BPF_FUNC_skb_adjust_room: (context, delta, mode, flags) =>
      changed(context, (packet) => adjustRoom(packet, s32(delta), u32(mode), flags)),
    BPF_FUNC_skb_vlan_push: (context, protocol, tci) =>
      vlanPush(context, swap16(u32(protocol) & 0xffff), u32(tci) & 0xffff),
    BPF_FUNC_skb_vlan_pop: (context) => vlanPop(context),
    BPF_FUNC_skb_change_type: (context, type) => {
      if (u32(type) > 3) return failed(errno.EINVAL)
      viewOf(packetOf(context).context.bytes).setUint32(SkBuff.pkt_type.offset, u32(type), true)
      return 0n
    },
    BPF_FUNC_skb_ecn_set_ce: (context) => BigInt(markCongestion(packetOf(context))),
    BPF_FUNC_check_mtu: (context, ifindex, length, difference, flags) => {
      const packet = packetOf(context)
      const [SEGMENTS, FRAGMENTATION_NEEDED] = [1n, 1n]
      const given = viewOf(memory.read(length, 4)).getUint32(0, true)
      if ((flags & ~(packet.kind === "xdp" ? 0n : SEGMENTS)) !== 0n) return failed(errno.EINVAL)
      if (flags === SEGMENTS && (s32(difference) !== 0 || given !== 0)) return failed(errno.EINVAL)
      const fields = packet.kind === "xdp" ? XdpMd.ingress_ifindex : SkBuff.ifindex
      const device = u32(ifindex) === 0 ? viewOf(packet.context.bytes).getUint32(fields.offset, true) : u32(ifindex)
      if (!hasDevice(device)) return failed(errno.ENODEV)
      const mtu = device === LOOPBACK ? LOOPBACK_MTU : ETHERNET_MTU
      const size = (given === 0 ? packet.data.length : given + ETHERNET_HEADER) + s32(difference)
      const answer = new Uint8Array(4)
      viewOf(answer).setUint32(0, mtu, true)
      memory.write(length, answer)
      return (size | 0) <= mtu + ETHERNET_HEADER ? 0n : FRAGMENTATION_NEEDED
    },
    BPF_FUNC_get_hash_recalc: (context) => {
      const view = viewOf(packetOf(context).context.bytes)
      // What no one has set is computed of the packet, and never 0.
      if (view.getUint32(SkBuff.hash.offset, true) === 0) view.setUint32(SkBuff.hash.offset, 1, true)
      return BigInt(view.getUint32(SkBuff.hash.offset, true))
    },
    BPF_FUNC_set_hash: (context, hash) => {
      viewOf(packetOf(context).context.bytes).setUint32(SkBuff.hash.offset, u32(hash), true)
      return 0n
    },
    BPF_FUNC_set_hash_invalid: (context) => {
      viewOf(packetOf(context).context.bytes).setUint32(SkBuff.hash.offset, 0, true)
      return 0n
    },
    BPF_FUNC_csum_diff: (from, fromSize, to, toSize, seed) =>
      difference(from, u32(fromSize), to, u32(toSize), u32(seed)),
    BPF_FUNC_csum_update: (context, _sum) => {
      packetOf(context)
      return failed(errno.ENOTSUPP) // no packet here has a checksum of the hardware
    },
    BPF_FUNC_l3_csum_replace: (context, offset, from, to, flags) =>
      (u32(flags) & ~SIZE!) !== 0
        ? failed(errno.EINVAL)
        : checksumAt(context, offset, (old) => replaced(old, from, to, u32(flags) & SIZE!)),
    BPF_FUNC_l4_csum_replace: (context, offset, from, to, flags) => {
      const given = u32(flags)
      if ((given & ~(MANGLED_0! | ENFORCE! | PSEUDO! | IPV6! | SIZE!)) !== 0) return failed(errno.EINVAL)
      return checksumAt(context, offset, (old) => {
        const mangles = (given & MANGLED_0!) !== 0
        if (mangles && (given & ENFORCE!) === 0 && old === 0) return 0
        const next = replaced(old, from, to, given & SIZE!)
        return mangles && next === 0 ? 0xffff : next
      })
    },
    BPF_FUNC_redirect: (ifindex, flags) => redirect(latest(), "redirect", u32(ifindex), flags),
    BPF_FUNC_redirect_peer: (ifindex, flags) =>
      flags === 0n ? redirect(latest(), "redirect_peer", u32(ifindex), flags) : TC.shot,
    BPF_FUNC_redirect_neigh: (ifindex, _parameters, size, flags) =>
      flags !== 0n || (size !== 0n && u32(size) < 20)
        ? TC.shot
        : redirect(latest(), "redirect_neigh", u32(ifindex), 0n),
    BPF_FUNC_clone_redirect: (context, ifindex, flags) => {
      if ((flags & ~1n) !== 0n) return failed(errno.EINVAL)
      const packet = packetOf(context)
      if (!hasDevice(u32(ifindex))) return failed(errno.EINVAL)
      if (packet.data.length === 0) return failed(errno.ERANGE)
      packet.clones.push({ ifindex: u32(ifindex), data: packet.data.slice() })
      packet.replace(packet.data.slice())
      return 0n
    },
    BPF_FUNC_redirect_map: (pointer, key, flags) => {
      const target = map(pointer)
      if (target === undefined) throw new RangeError("the first argument is no map")
      const bytes = new Uint8Array(target.attributes.keySize)
      viewOf(bytes).setUint32(0, u32(key), true)
      const isDevices = target.attributes.type === "devmap" || target.attributes.type === "devmap_hash"
      // The lower bits are what is returned where nothing is found (__bpf_xdp_redirect_map).
      const [ACTION, BROADCAST, EXCLUDE_INGRESS] = [3n, 8n, 16n]
      if ((flags & ~(ACTION | (isDevices ? BROADCAST | EXCLUDE_INGRESS : 0n))) !== 0n) return XDP.aborted
      const found = target.elements?.find(bytes) ?? target.referent?.(bytes)
      if (found === undefined && (flags & BROADCAST) === 0n) return flags & ACTION
      latest()?.redirects.push({ helper: "redirect_map", target: u32(key), flags, map: target.attributes.name })
      return XDP.redirect
    },
    BPF_FUNC_xdp_adjust_head: (context, delta) => u64(adjustHead(packetOf(context), s32(delta))),
    BPF_FUNC_xdp_adjust_tail: (context, delta) => u64(adjustTail(packetOf(context), s32(delta))),
    BPF_FUNC_xdp_adjust_meta: (context, delta) => u64(adjustMeta(packetOf(context), s32(delta))),
    BPF_FUNC_xdp_get_buff_len: (context) => BigInt(packetOf(context).whole.length),
    BPF_FUNC_xdp_load_bytes: (context, offset, to, length) => {
      const packet = packetOf(context)
      if (u32(offset) > MOST_OFFSET || u32(length) > MOST_OFFSET) return failed(errno.EFAULT)
      const { whole } = packet
      if (u32(offset) + u32(length) > whole.length) return failed(errno.EINVAL)
      return unlessFault(() => {
        memory.write(to, whole.slice(u32(offset), u32(offset) + u32(length)))
        return 0n
      }, () => failed(errno.EFAULT))
    },
    BPF_FUNC_xdp_store_bytes: (context, offset, from, length) => {
      const packet = packetOf(context)
      if (u32(offset) > MOST_OFFSET || u32(length) > MOST_OFFSET) return failed(errno.EFAULT)
      if (u32(offset) + u32(length) > packet.whole.length) return failed(errno.EINVAL)
      return unlessFault(() => {
        packet.write(u32(offset), memory.read(from, u32(length)))
        return 0n
      }, () => failed(errno.EFAULT))
    }
  }
}

const PAGE = 4096

const swap16 = (value: number): number => ((value & 0xff) << 8) | ((value >>> 8) & 0xff)
