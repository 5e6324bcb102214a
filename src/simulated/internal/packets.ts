// Packets as programs see them: a context (`xdp_md` or `__sk_buff`) whose fields for the packet's ends widen to pointers,
// and the packet's own memory. It is moved whenever its size changes, as the verifier takes it to be: an old pointer into
// it is a fault.
import { __sk_buff, xdp_md } from "../../abi/generated/structs.ts"
import { programTypes } from "../../abi/names.ts"
import { addressOf, type AddressSpace, type Region, viewOf } from "./memory.ts"

/** The fields of the contexts that a packet comes with. */
export const XdpMd = xdp_md.fields
export const SkBuff = __sk_buff.fields

export const ETHERNET_HEADER = 14
/** XDP_PACKET_HEADROOM */
export const XDP_HEADROOM = 256

/** What a program asked to be done with a packet beside its verdict. */
export interface Redirect {
  readonly helper: string
  /** An interface's index, or the key in a map. */
  readonly target: number
  readonly flags: bigint
  /** The map's name, where it was one. */
  readonly map?: string
}

const PACKET_TYPES: ReadonlySet<number> = new Set([
  programTypes.socket_filter,
  programTypes.sched_cls,
  programTypes.sched_act,
  programTypes.cgroup_skb,
  programTypes.lwt_in,
  programTypes.lwt_out,
  programTypes.lwt_xmit,
  programTypes.sk_skb
])

export const seesSkb = (type: number): boolean => PACKET_TYPES.has(type)

/** The types that may look into the packet's memory itself (test_run.c, is_direct_pkt_access). */
const DIRECT: ReadonlySet<number> = new Set([
  programTypes.sched_cls,
  programTypes.sched_act,
  programTypes.cgroup_skb,
  programTypes.lwt_in,
  programTypes.lwt_out,
  programTypes.lwt_xmit,
  programTypes.sk_skb,
  programTypes.flow_dissector
])

/** The types whose packet begins with its Ethernet header; the others' begins behind it. */
export const beginsAtLink = (type: number): boolean =>
  type === programTypes.sched_cls || type === programTypes.sched_act || type === programTypes.xdp ||
  type === programTypes.flow_dissector

export class Packet {
  readonly kind: "xdp" | "skb"
  readonly context: Region
  /** True where the data begins with the Ethernet header. */
  readonly atLink: boolean
  /** The Ethernet header before the data, of a packet whose data begin behind it. */
  link = new Uint8Array(0)
  /** Whether bpf_skb_adjust_room() has put it into another one. */
  isEncapsulated = false
  readonly type: number
  /** How far bpf_xdp_adjust_head() has moved the first byte. */
  moved = 0
  /** What lies beyond the first piece of a packet (XDP's frags, kernel 5.18): programs reach it by helpers alone. */
  pieces = new Uint8Array(0)
  private before = new Uint8Array(0)
  readonly redirects: Array<Redirect> = []
  readonly clones: Array<{ readonly ifindex: number; readonly data: Uint8Array }> = []
  private readonly memory: AddressSpace
  private readonly direct: boolean
  private readonly pointers: Map<number, bigint>
  private region: Region
  private metaLength: number

  /** `data` is what the program sees, behind `meta`. */
  constructor(memory: AddressSpace, type: number, data: Uint8Array, meta = new Uint8Array(0)) {
    this.memory = memory
    this.type = type
    this.atLink = beginsAtLink(type)
    this.kind = type === programTypes.xdp ? "xdp" : "skb"
    this.direct = this.kind === "xdp" || DIRECT.has(type)
    this.metaLength = meta.length
    this.region = this.place(meta, data)
    this.pointers = new Map()
    this.context = memory.map(new Uint8Array((this.kind === "xdp" ? xdp_md : __sk_buff).size), {
      pointers: this.pointers
    })
    this.point()
  }

  /** From the first byte to the last, without metadata. */
  get data(): Uint8Array {
    return this.region.bytes.subarray(this.metaLength)
  }

  get meta(): Uint8Array {
    return this.region.bytes.subarray(0, this.metaLength)
  }

  get all(): Uint8Array {
    return this.region.bytes
  }

  /** The data with its further pieces. */
  get whole(): Uint8Array {
    return this.pieces.length === 0 ? this.data : new Uint8Array([...this.data, ...this.pieces])
  }

  /** Writes into the data and its further pieces; all of it must lie inside. */
  write(offset: number, bytes: Uint8Array): void {
    const { data } = this
    const first = bytes.subarray(0, Math.max(0, data.length - offset))
    data.set(first, Math.min(offset, data.length))
    this.pieces.set(bytes.subarray(first.length), Math.max(0, offset - data.length))
  }

  /** Moves the first byte (bpf_xdp_adjust_head); what is cut off is still there when it moves back. */
  moveHead(delta: number): void {
    const { data } = this
    this.moved += delta
    if (delta >= 0) {
      const cut = new Uint8Array(this.before.length + delta)
      cut.set(this.before)
      cut.set(data.subarray(0, delta), this.before.length)
      this.before = cut
      return this.replace(data.slice(delta))
    }
    const grown = new Uint8Array(data.length - delta)
    const back = this.before.subarray(Math.max(0, this.before.length + delta))
    grown.set(back, -delta - back.length)
    grown.set(data, -delta)
    this.before = this.before.slice(0, Math.max(0, this.before.length + delta))
    this.replace(grown)
  }

  /** Takes other bytes, at another address. */
  replace(data: Uint8Array, meta: Uint8Array = this.meta.slice()): void {
    const old = this.region
    this.region = this.place(meta, data)
    this.metaLength = meta.length
    this.memory.unmap(old)
    this.point()
  }

  unmap(): void {
    this.memory.unmap(this.region)
    this.memory.unmap(this.context)
  }

  /** Lets a field of the context be a pointer to memory that the caller mapped. */
  pointTo(field: number, region: Region): void {
    this.pointers.set(field, addressOf(region))
  }

  private place(meta: Uint8Array, data: Uint8Array): Region {
    const bytes = new Uint8Array(meta.length + data.length)
    bytes.set(meta)
    bytes.set(data, meta.length)
    return this.memory.map(bytes)
  }

  private point(): void {
    const start = addressOf(this.region)
    const data = start + BigInt(this.metaLength)
    const end = start + BigInt(this.region.bytes.length)
    const fields = this.kind === "xdp" ? XdpMd : SkBuff
    if (this.kind === "skb") viewOf(this.context.bytes).setUint32(SkBuff.len.offset, this.data.length, true)
    if (!this.direct) return
    this.pointers.set(fields.data.offset, data)
    this.pointers.set(fields.data_end.offset, end)
    this.pointers.set(fields.data_meta.offset, start)
  }
}
