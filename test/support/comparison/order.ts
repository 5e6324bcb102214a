// Row "order of attachments": sequences of attaching, detaching, replacing and asking on one device and on two cgroups of
// which one is in the other, with the flags that give programs their place. What each command answered must be the same,
// and what BPF_PROG_QUERY says after each: order, links, flags and revision.
import { bpf_attach_type, bpf_cmd } from "../../../src/abi/generated/enums.ts"
import {
  bpf_attr_link_create,
  bpf_attr_link_detach,
  bpf_attr_link_update,
  bpf_attr_prog_attach,
  bpf_attr_query
} from "../../../src/abi/generated/structs.ts"
import type { KernelService } from "../../../src/kernel/Kernel.ts"
import { Bench } from "./bench.ts"
import type { Case } from "./compare.ts"
import { Random } from "./random.ts"
import type { Cgroups } from "./sides.ts"

const [OVERRIDE, MULTI, REPLACE, BEFORE, AFTER, ID, PREORDER, LINK] = [1, 2, 4, 8, 16, 32, 64, 1 << 13]
const EFFECTIVE = 1
const CLOSED = 999
const NO_ID = 0x7fff_fff0
const PROGRAMS = 4
const MOST_LINKS = 3
const LO = 1
/** What an array of ids holds before. */
const UNTOUCHED = 0xeeee_eeee

/** Where a sequence attaches: by device or cgroup. */
type Place = "device" | "outer" | "inner"

/** Programs and links by what they are called here: ids differ between kernels. */
interface Target {
  readonly attachType: number
  readonly programs: ReadonlyArray<number>
}

export class OrderBench extends Bench {
  readonly targets: { readonly device: Target; readonly cgroup: Target }
  readonly places: { readonly [place in Place]: number }
  /** Links of a sequence, by descriptor; closed ones stay as a number that is no descriptor. */
  links: Array<{ fd: number; readonly id: number }> = []
  /** What each cgroup's revision was when the sequence began. */
  private revisions = new Map<string, number>()
  private readonly names = new Map<number, string>()

  constructor(kernel: KernelService, cgroups: Cgroups) {
    super(kernel)
    const many = (type: "sched_cls" | "cgroup_skb") => Array.from({ length: PROGRAMS }, () => this.program(type))
    const other = this.program("xdp")
    this.targets = {
      device: { attachType: bpf_attach_type.BPF_TCX_INGRESS, programs: [...many("sched_cls"), other] },
      cgroup: { attachType: bpf_attach_type.BPF_CGROUP_INET_EGRESS, programs: [...many("cgroup_skb"), other] }
    }
    for (const { programs } of Object.values(this.targets)) {
      for (const [index, fd] of programs.entries()) this.names.set(this.idOf(fd), `p${index}`)
    }
    this.places = { device: LO, outer: cgroups.outer, inner: cgroups.inner }
  }

  idOf(fd: number): number {
    this.reset()
    return this.id(fd)
  }

  target(place: Place): Target {
    return place === "device" ? this.targets.device : this.targets.cgroup
  }

  begin(): void {
    for (const place of ["outer", "inner"] as const) this.revisions.set(place, this.revision(place))
  }

  /** What a place's first revision is in a sequence: cgroups count for ever. */
  firstRevision(place: Place): number {
    return this.revisions.get(place) ?? 1
  }

  private revision(place: Place): number {
    this.call(bpf_cmd.BPF_PROG_QUERY, bpf_attr_query, {
      target_fd: this.places[place],
      attach_type: this.target(place).attachType
    })
    return this.answered(bpf_attr_query.fields.revision)
  }

  /** What a query answers, in names. */
  query(place: Place, flags: number, room: number, columns: boolean): string {
    const f = bpf_attr_query.fields
    const arrays = Array.from({ length: 4 }, () => this.place(new Uint8Array(64).fill(0xee)))
    const answer = this.call(bpf_cmd.BPF_PROG_QUERY, bpf_attr_query, {
      target_fd: this.places[place],
      attach_type: this.target(place).attachType,
      query_flags: flags,
      prog_ids: arrays[0],
      count: room,
      prog_attach_flags: columns ? arrays[1] : 0n,
      link_ids: columns ? arrays[2] : 0n,
      link_attach_flags: columns ? arrays[3] : 0n
    })
    const revision = this.answered(f.revision)
    const shown = arrays.map((array, column) => {
      const words = new Uint32Array(this.bytes(array, 24).buffer)
      const written = [...words].filter((word) => word !== UNTOUCHED)
      return written.map((word) => column % 2 === 1 ? word : this.named(word)).join(" ")
    })
    const since = revision === 0 ? 0 : revision - this.firstRevision(place)
    return [
      answer,
      this.answered(f.attach_flags),
      this.answered(f.count),
      since,
      ...shown
    ].join("/")
  }

  private named(id: number): string {
    const link = this.links.findIndex((each) => each.id === id)
    return link >= 0 ? `l${link}` : this.names.get(id) ?? (id === 0 ? "-" : "?")
  }

  /** Takes away all that a sequence left. */
  end(): void {
    for (const link of this.links) this.close(link.fd)
    this.links = []
    for (const place of Object.keys(this.places) as Array<Place>) {
      const { attachType, programs } = this.target(place)
      for (const program of [...programs, 0]) {
        this.call(bpf_cmd.BPF_PROG_DETACH, bpf_attr_prog_attach, {
          target_fd: this.places[place],
          attach_bpf_fd: program,
          attach_type: attachType
        })
      }
    }
  }

  override free(): void {
    for (const fd of new Set(Object.values(this.targets).flatMap(({ programs }) => programs))) this.close(fd)
    super.free()
  }
}

/** What a step's numbers mean is only known on either side: descriptors and ids. */
interface Step {
  readonly name: "attach" | "detach" | "link" | "close" | "detach link" | "update" | "query"
  readonly place: Place
  readonly program: number
  readonly flags: number
  /** The other program or link: its index, or what there is none of. */
  readonly relative: { readonly kind: "none" | "program" | "link" | "closed"; readonly index: number }
  readonly replaced: number
  /** From the first of the sequence on; -1 for any. */
  readonly revision: number
  readonly room: number
  readonly columns: boolean
}

const flagsOf = (random: Random, place: Place, multi: number): number => {
  let flags = place === "device" ? 0 : multi
  if (random.once(3)) flags |= random.of([BEFORE, AFTER, BEFORE | AFTER])
  if (random.once(6)) flags |= REPLACE
  if (random.once(12)) flags |= random.of([OVERRIDE, MULTI, PREORDER, 128, 2 ** 30])
  if (place !== "device" && random.once(4)) flags |= PREORDER
  return flags
}

const stepOf = (random: Random, place: Place, multi: number): Step => {
  const name = random.of(
    [
      "attach",
      "attach",
      "attach",
      "attach",
      "detach",
      "link",
      "link",
      "close",
      "detach link",
      "update",
      "query"
    ] as const
  )
  let flags = name === "query" ? random.of([0, 0, EFFECTIVE, EFFECTIVE, 2]) : flagsOf(random, place, multi)
  const kind = random.of(["none", "none", "program", "program", "link", "closed"] as const)
  if (name !== "query" && kind !== "none") {
    if (random.once(2)) flags |= ID
    if (kind === "link" ? !random.once(5) : random.once(8)) flags |= LINK
    if ((flags & (BEFORE | AFTER)) === 0 && !random.once(4)) flags |= random.of([BEFORE, AFTER])
  }
  // Detaching from a cgroup takes no flags; links are always many.
  if (name === "detach" && place !== "device" && !random.once(6)) flags = 0
  if (name === "link" && place !== "device" && !random.once(6)) flags &= ~(MULTI | OVERRIDE | REPLACE)
  if (name === "update") flags = random.of([0, 0, 0, REPLACE, 1])
  const isPlain = name === "detach" && place !== "device" && flags === 0
  return {
    name,
    place,
    program: random.of([0, 1, 2, 3, 0, 1, 2, 3, 4, -1]),
    flags,
    relative: { kind: isPlain && !random.once(6) ? "none" : kind, index: random.below(PROGRAMS) },
    replaced: random.below(PROGRAMS + 1) - 1,
    revision: random.once(5) ? random.below(6) : -1,
    room: random.of([0, 1, 2, 5, 5, 5]),
    columns: random.once(2)
  }
}

const relativeOf = (side: OrderBench, { flags, place, relative: { index, kind } }: Step): number => {
  const byId = (flags & ID) !== 0
  switch (kind) {
    case "none":
      return 0
    case "program": {
      const fd = side.target(place).programs[index]!
      return byId ? side.idOf(fd) : fd
    }
    case "link": {
      const link = side.links[index % MOST_LINKS]
      return link === undefined ? (byId ? NO_ID : CLOSED) : byId ? link.id : link.fd
    }
    case "closed":
      return byId ? NO_ID : CLOSED
  }
}

const runStep = (side: OrderBench, step: Step): number | string => {
  const { attachType, programs } = side.target(step.place)
  const target = side.places[step.place]
  const program = programs[step.program] ?? (step.name === "detach" ? 0 : CLOSED)
  const relative = relativeOf(side, step)
  side.reset()
  const revision = step.revision < 0 ? 0 : side.firstRevision(step.place) + step.revision
  const link = side.links[step.relative.index % MOST_LINKS]
  switch (step.name) {
    case "attach":
    case "detach":
      return side.call(
        step.name === "attach" ? bpf_cmd.BPF_PROG_ATTACH : bpf_cmd.BPF_PROG_DETACH,
        bpf_attr_prog_attach,
        {
          target_fd: target,
          attach_bpf_fd: program,
          attach_type: attachType,
          attach_flags: step.flags,
          replace_bpf_fd: step.replaced < 0 ? CLOSED : (step.flags & REPLACE) === 0 ? 0 : programs[step.replaced]!,
          relative_fd: relative,
          expected_revision: revision
        }
      )
    case "link": {
      if (side.links.length === MOST_LINKS) return "enough"
      const fd = side.call(bpf_cmd.BPF_LINK_CREATE, bpf_attr_link_create, {
        prog_fd: program,
        target_fd: target,
        attach_type: attachType,
        flags: step.flags,
        "tcx.relative_fd": relative,
        "tcx.expected_revision": revision
      })
      if (fd < 0) return fd
      side.links.push({ fd, id: side.idOf(fd) })
      return 0
    }
    case "close":
      if (link === undefined || link.fd === CLOSED) return "none"
      side.close(link.fd)
      link.fd = CLOSED
      return 0
    case "detach link":
      return side.call(bpf_cmd.BPF_LINK_DETACH, bpf_attr_link_detach, { link_fd: link?.fd ?? CLOSED })
    case "update":
      return side.call(bpf_cmd.BPF_LINK_UPDATE, bpf_attr_link_update, {
        link_fd: link?.fd ?? CLOSED,
        new_prog_fd: program,
        flags: step.flags,
        old_prog_fd: (step.flags & REPLACE) === 0 ? 0 : programs[Math.max(0, step.replaced)]!
      })
    case "query":
      return side.query(step.place, step.flags, step.room, step.columns)
  }
}

const STEPS = 10

const run = (places: ReadonlyArray<Place>, name: string) => (side: OrderBench): string => {
  const random = new Random(name)
  side.begin()
  try {
    // Most sequences keep to one way of sharing a cgroup; it cannot change while a program is there.
    const multi = random.of([MULTI, MULTI, MULTI, OVERRIDE, 0])
    const answers = Array.from({ length: STEPS }, () => {
      const place = random.of(places)
      const answer = runStep(side, stepOf(random, place, multi))
      side.reset()
      return `${answer} ${side.query(place, 0, 5, place === "device")}`
    })
    if (places.includes("inner")) answers.push(side.query("inner", EFFECTIVE, 8, false))
    return answers.join(" | ")
  } finally {
    side.end()
  }
}

/** A device waits for all readers at each change, some milliseconds: there are fewer of its sequences. */
const SEQUENCES = { device: 600, cgroups: 6000 }

export function* orders(): Generator<Case<OrderBench>> {
  for (let i = 0; i < SEQUENCES.device; i++) {
    const name = `device ${i}`
    yield { name, run: run(["device"], name) }
  }
  for (let i = 0; i < SEQUENCES.cgroups; i++) {
    const name = `cgroups ${i}`
    yield { name, run: run(i % 3 === 0 ? ["outer", "inner"] : ["outer"], name) }
  }
}
