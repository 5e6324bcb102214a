// How one puts a tracer into an application: as a service with a layer. Who uses it sees neither BPF nor a kernel; the
// test beside it gives it a simulated one.
import { Asm, HashMap, Layout, Program, ProgramSpec, Snippets, Tracepoint } from "effect-ebpf"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const User = Layout.u32
const Count = Layout.u64

const { count, user } = Snippets.stack({ user: User, count: Count })

/** counts[uid of this process] += 1 */
const countByUser = ProgramSpec.make({
  type: "tracepoint",
  name: "count_by_user",
  instructions: [
    Asm.call("get_current_uid_gid"), // the lower half is the user id
    Snippets.store(user, "r0"),
    Snippets.mapLookup("counts", user, "first"),
    Asm.mov("r1", 1),
    Asm.atomicAdd("r0", 0, "r1"),
    Asm.ja("out"),
    Asm.label("first"),
    Snippets.store(count, 1),
    Snippets.mapUpdate("counts", user, count),
    Asm.label("out"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** How many programs each user has executed since the service began. */
export class ExecutionCounts extends Context.Service<ExecutionCounts>()("examples/ExecutionCounts", {
  make: Effect.gen(function*() {
    const counts = yield* HashMap.make({ name: "counts", key: User, value: Count, maxEntries: 1024 })
    const program = yield* Program.load(countByUser, { maps: { counts } })
    yield* Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_execve" })
    return {
      /** User id and count, the highest first. */
      top: Effect.map(
        Stream.runCollect(counts.entries),
        (entries) => entries.toSorted(([, a], [, b]) => Number(b - a))
      )
    }
  })
}) {
  /** Detaches, unloads and frees all when the application ends. Needs a `Kernel`. */
  static readonly layer = Layer.effect(this, this.make)
}
