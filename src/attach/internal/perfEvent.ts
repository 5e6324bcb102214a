// Perf events that run a program: tracepoints, probes, counters. Since 5.15 a link holds the program to the event, with a
// cookie; before, the event's own descriptor does, by an ioctl.
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bpf_attach_type } from "../../abi/generated/enums.ts"
import type { ProgramType } from "../../abi/names.ts"
import { perf } from "../../abi/os.ts"
import { createLink } from "../../bpf/links.ts"
import { isExpected } from "../../kernel/Features.ts"
import type { Check } from "../../kernel/options.ts"
import { acquirePerfEvent, type PerfEvent } from "../../kernel/perfEvents.ts"
import { type Descriptor, run } from "../../kernel/systemCall.ts"
import { NotSupported, type Reason } from "../AttachError.ts"
import type { Link } from "../Link.ts"
import type { Attaching } from "./attaching.ts"
import { fromDescriptor, inPerfEvent } from "./holding.ts"

/** Opens an event, which is closed with the scope. */
const acquireEvent = ({ about, kernel }: Attaching<ProgramType>, event: PerfEvent) =>
  acquirePerfEvent(kernel, about.target, event)

const ioctl = (
  { about, kernel }: Attaching<ProgramType>,
  event: Descriptor,
  command: "PERF_EVENT_IOC_SET_BPF" | "PERF_EVENT_IOC_ENABLE" | "PERF_EVENT_IOC_DISABLE",
  argument = 0
) =>
  Effect.asVoid(
    run(
      kernel,
      { call: "ioctl", command, subject: about.target },
      () => kernel.perf.ioctl(event.fd, perf[command], argument)
    )
  )

/** The link keeps the event, whose own descriptor is closed. */
const attachByLink = <T extends ProgramType>(
  attaching: Attaching<T>,
  event: PerfEvent,
  cookie: bigint | undefined
): Effect.Effect<Link<T>, Reason, Scope.Scope> =>
  Effect.gen(function*() {
    const { about, kernel, owner, program } = attaching
    const opened = yield* acquireEvent(attaching, event)
    const fields = {
      prog_fd: program,
      target_fd: opened.fd,
      attach_type: bpf_attach_type.BPF_PERF_EVENT,
      ...(cookie === undefined ? {} : { "perf_event.bpf_cookie": cookie })
    }
    const purpose = { subject: about.target, features: ["perfEventLink"] } as const
    const link = yield* Scope.provide(createLink(kernel, fields, purpose), owner)
    yield* ioctl(attaching, opened, "PERF_EVENT_IOC_ENABLE")
    return fromDescriptor(kernel, link, about)
  })

const attachByIoctl = <T extends ProgramType>(
  attaching: Attaching<T>,
  event: PerfEvent
): Effect.Effect<Link<T>, Reason, Scope.Scope> =>
  Effect.gen(function*() {
    const { about, kernel, owner, program } = attaching
    const opened = yield* Scope.provide(acquireEvent(attaching, event), owner)
    yield* ioctl(attaching, opened, "PERF_EVENT_IOC_SET_BPF", program)
    yield* ioctl(attaching, opened, "PERF_EVENT_IOC_ENABLE")
    return inPerfEvent(kernel, opened, about, ioctl(attaching, opened, "PERF_EVENT_IOC_DISABLE"))
  })

/** A cookie is any number of 64 bits. */
export const aCookie: Check = {
  expected: "a bigint from 0 to 2^64 - 1",
  accepts: (value) => typeof value === "bigint" && BigInt.asUintN(64, value) === value
}

/** Attaches a program to a perf event. A cookie, which the helper `get_attach_cookie` gives it, needs kernel 5.15. */
export const attachToPerfEvent = <T extends ProgramType>(
  attaching: Attaching<T>,
  event: PerfEvent,
  cookie?: bigint
): Effect.Effect<Link<T>, Reason, Scope.Scope> => {
  if (isExpected(attaching.kernel.version, "perfEventLink")) return attachByLink(attaching, event, cookie)
  return cookie === undefined
    ? attachByIoctl(attaching, event)
    : Effect.fail(new NotSupported({ what: "A cookie", why: "links to perf events need Linux 5.15 or later" }))
}
