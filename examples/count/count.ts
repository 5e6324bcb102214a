// Counts the execve calls of the whole system, in the kernel.
import { ArrayMap, Asm, Layout, Program, ProgramSpec, Tracepoint } from "effect-ebpf"
import * as Effect from "effect/Effect"

const countExecve = ProgramSpec.make({
  type: "tracepoint",
  name: "count_execve",
  instructions: [
    Asm.stw("r10", -4, 0), // the key, 0, on the stack
    Asm.ldMapFd("r1", "count"),
    Asm.mov("r2", "r10"),
    Asm.add("r2", -4),
    Asm.call("map_lookup_elem"), // r0 = the address of the value
    Asm.jeq("r0", 0, "out"), // the verifier insists
    Asm.mov("r1", 1),
    Asm.atomicAdd("r0", 0, "r1"), // atomic: other CPUs count at the same time
    Asm.label("out"),
    Asm.mov("r0", 0),
    Asm.exit()
  ]
})

/** How often a program is executed while `meanwhile` runs. */
export const executionsDuring = Effect.fnUntraced(function*<E, R>(meanwhile: Effect.Effect<unknown, E, R>) {
  const count = yield* ArrayMap.make({ name: "count", value: Layout.u64, maxEntries: 1 })
  const program = yield* Program.load(countExecve, { maps: { count } })
  yield* Tracepoint.attach(program, { category: "syscalls", name: "sys_enter_execve" })
  yield* meanwhile
  return yield* count.lookup(0)
}, Effect.scoped) // detaches, unloads, and frees the map
