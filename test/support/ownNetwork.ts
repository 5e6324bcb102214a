// A network namespace of a test's own, with nothing in it but a loopback interface: what is attached there, this machine's own
// interfaces never see.
import * as Effect from "effect/Effect"
import koffi from "koffi"
import { createSocket } from "node:dgram"
import { closeSync, openSync } from "node:fs"

const CLONE_NEWNET = 0x40000000
const [AF_INET, SOCK_DGRAM] = [2, 2]
/** include/uapi/linux/sockios.h */
const SIOCSIFFLAGS = 0x8914
/** include/uapi/linux/if.h: IFF_UP, and where the flags stand in `struct ifreq`. */
const IFF_UP = 1
const IFREQ_SIZE = 40
const FLAGS_AT = 16

/** This thread's network namespace is another one as long as the scope lives. */
export const ownNetwork = Effect.acquireRelease(
  Effect.sync(() => {
    const libc = koffi.load(null)
    const unshare = libc.func("int unshare(int)")
    const setns = libc.func("int setns(int, int)")
    const before = openSync("/proc/thread-self/ns/net", "r")
    if (unshare(CLONE_NEWNET) !== 0) throw new Error("unshare(CLONE_NEWNET)")
    return () => {
      if (setns(before, CLONE_NEWNET) !== 0) throw new Error("setns()")
      closeSync(before)
    }
  }),
  (back) => Effect.sync(back)
)

/** Sets the loopback interface up. */
const raiseLoopback = Effect.sync(() => {
  const libc = koffi.load(null)
  const socket = libc.func("int socket(int, int, int)")
  const ioctl = libc.func("int ioctl(int, ulong, _Inout_ uint8_t *)")
  const request = new Uint8Array(IFREQ_SIZE)
  request.set(new TextEncoder().encode("lo"))
  new DataView(request.buffer).setUint16(FLAGS_AT, IFF_UP, true)
  const fd = socket(AF_INET, SOCK_DGRAM, 0)
  const result = ioctl(fd, SIOCSIFFLAGS, request)
  closeSync(fd)
  if (result !== 0) throw new Error("SIOCSIFFLAGS")
})

/** As `ownNetwork`, in which packets to 127.0.0.1 arrive. */
export const ownLoopback = Effect.andThen(ownNetwork, raiseLoopback)

/** Sends a datagram of so many bytes to a port of 127.0.0.1 at which nobody listens. */
export const sendDatagram = (length: number): Effect.Effect<void> =>
  Effect.callback((done) => {
    const socket = createSocket("udp4")
    // The answer "no such port" may come as an error of the socket.
    socket.on("error", () => {})
    socket.send(new Uint8Array(length), 9, "127.0.0.1", () => socket.close(() => done(Effect.void)))
  })
