// What the instructions do, one kind at a time. All take two numbers from the map `operands` and leave what they make of
// them in the map `results`; a test run on any packet runs them once.
import * as Asm from "../../isa/Asm.ts"
import * as Snippets from "../../isa/Snippets.ts"
import * as Layout from "../../layout/Layout.ts"
import * as ArrayMap from "../../map/ArrayMap.ts"
import * as ProgramSpec from "../../spec/ProgramSpec.ts"
import { recipe } from "../internal/entry.ts"

/** What the programs compute with. */
export const Operands = Layout.struct({ a: Layout.u64, b: Layout.u64 })

/** What `arithmetic` leaves: all modulo 2^64. A division by 0 gives 0, and its remainder is `a`. */
export const Arithmetic = Layout.struct({
  sum: Layout.u64,
  difference: Layout.u64,
  product: Layout.u64,
  quotient: Layout.u64,
  remainder: Layout.u64,
  negated: Layout.i64,
  /** The sum of the low 32 bits, modulo 2^32. */
  sum32: Layout.u64
})

/** What `bitwise` leaves. Shifts are by the low 6 bits of `b`. */
export const Bitwise = Layout.struct({
  and: Layout.u64,
  or: Layout.u64,
  xor: Layout.u64,
  left: Layout.u64,
  right: Layout.u64,
  /** With the sign of `a`. */
  arithmeticRight: Layout.i64,
  /** `a` with its bytes in reverse. */
  swapped: Layout.u64
})

/** What `conditional` leaves. */
export const Conditional = Layout.struct({
  equal: Layout.bool,
  below: Layout.bool,
  /** As signed numbers. */
  less: Layout.bool,
  /** Whether any bit is set in both. */
  common: Layout.bool,
  /** The sign of `a` as a signed number: -1, 0 or 1. */
  sign: Layout.i32,
  greatest: Layout.u64
})

/** What `bounded-loop` leaves. */
export const Loop = Layout.struct({
  /** The Fibonacci number of the index `a`, at most that of 90. */
  fibonacci: Layout.u64,
  /** How often the loop ran. */
  rounds: Layout.u64
})

/** What `local-function` leaves. */
export const Called = Layout.struct({ sumOfSquares: Layout.u64 })

const slots = Snippets.stack({ key: Layout.u32 })

/** Runs a body with r7 = a, r8 = b and r6 = the address of the results. */
const demo = <A>(name: string, results: Layout.Layout<A>, body: Asm.Item, after: Asm.Item = []) => ({
  maps: {
    operands: ArrayMap.define({ name: "operands", value: Operands, maxEntries: 1 }),
    results: ArrayMap.define({ name: "results", value: results, maxEntries: 1 })
  },
  program: ProgramSpec.make({
    type: "socket_filter",
    name,
    instructions: [
      Snippets.store(slots.key, 0),
      Snippets.mapLookup("operands", slots.key, "out"),
      Snippets.readField("r7", "r0", Operands, "a"),
      Snippets.readField("r8", "r0", Operands, "b"),
      Snippets.mapLookup("results", slots.key, "out"),
      Asm.mov("r6", "r0"),
      body,
      Asm.label("out"),
      Asm.mov("r0", 0),
      Asm.exit(),
      after
    ]
  })
})

/** Sets a field of the results to what some instructions make of r1, which is `a`. */
const result = <A>(layout: Layout.Layout<A>, field: keyof A & string, ...items: ReadonlyArray<Asm.Item>): Asm.Item => [
  Asm.mov("r1", "r7"),
  items,
  Snippets.writeField("r6", layout, field, "r1")
]

/** Adds, subtracts, multiplies and divides `a` and `b`, in 64 bits and in 32. */
export const arithmetic = () =>
  recipe({
    description: "Adds, subtracts, multiplies and divides two numbers of a map.",
    since: [4, 12],
    ...demo("arithmetic", Arithmetic, [
      result(Arithmetic, "sum", Asm.add("r1", "r8")),
      result(Arithmetic, "difference", Asm.sub("r1", "r8")),
      result(Arithmetic, "product", Asm.mul("r1", "r8")),
      result(Arithmetic, "quotient", Asm.div("r1", "r8")),
      result(Arithmetic, "remainder", Asm.mod("r1", "r8")),
      result(Arithmetic, "negated", Asm.neg("r1")),
      result(Arithmetic, "sum32", Asm.add32("r1", "r8"))
    ])
  })

/** Combines the bits of `a` and `b`, and shifts and swaps those of `a`. */
export const bitwise = () =>
  recipe({
    description: "Combines, shifts and swaps the bits of two numbers of a map.",
    since: [4, 12],
    ...demo("bitwise", Bitwise, [
      result(Bitwise, "and", Asm.and("r1", "r8")),
      result(Bitwise, "or", Asm.or("r1", "r8")),
      result(Bitwise, "xor", Asm.xor("r1", "r8")),
      // The verifier does not know that hardware masks what is shifted by: say so.
      Asm.mov("r9", "r8"),
      Asm.and("r9", 63),
      result(Bitwise, "left", Asm.lsh("r1", "r9")),
      result(Bitwise, "right", Asm.rsh("r1", "r9")),
      result(Bitwise, "arithmeticRight", Asm.arsh("r1", "r9")),
      result(Bitwise, "swapped", Asm.be("r1", 64))
    ])
  })

/** Sets a field of the results to 1 if a jump is taken, and to 0 if not. */
const taken = (field: keyof Layout.Type<typeof Conditional>, jump: (target: string) => Asm.Item): Asm.Item =>
  Asm.scope([
    Asm.mov("r1", 1),
    jump("taken"),
    Asm.mov("r1", 0),
    Asm.label("taken"),
    Snippets.writeField("r6", Conditional, field, "r1")
  ])

/** Compares `a` and `b`, as unsigned and as signed numbers. */
export const conditional = () =>
  recipe({
    description: "Compares two numbers of a map, as unsigned and as signed ones.",
    since: [4, 14],
    ...demo("conditional", Conditional, [
      taken("equal", (target) => Asm.jeq("r7", "r8", target)),
      taken("below", (target) => Asm.jlt("r7", "r8", target)),
      taken("less", (target) => Asm.jslt("r7", "r8", target)),
      taken("common", (target) => Asm.jset("r7", "r8", target)),
      Asm.mov("r1", -1),
      Asm.jslt("r7", 0, "signed"),
      Asm.mov("r1", 0),
      Asm.jeq("r7", 0, "signed"),
      Asm.mov("r1", 1),
      Asm.label("signed"),
      Snippets.writeField("r6", Conditional, "sign", "r1"),
      Asm.mov("r1", "r7"),
      Asm.jge("r7", "r8", "greatest"),
      Asm.mov("r1", "r8"),
      Asm.label("greatest"),
      Snippets.writeField("r6", Conditional, "greatest", "r1")
    ])
  })

/** The last Fibonacci number below 2^64 is that of 93; the loop stops before it. */
const MOST_ROUNDS = 90

/** Counts up to `a` in a loop that the verifier sees the end of, and computes a Fibonacci number meanwhile. Kernel 5.3. */
export const boundedLoop = () =>
  recipe({
    description: "Computes a Fibonacci number in a loop that the verifier sees the end of.",
    since: [5, 3],
    ...demo("bounded_loop", Loop, [
      Asm.mov("r1", 0), // the number
      Asm.mov("r2", 1), // the next one
      Asm.mov("r3", 0), // the round
      Asm.label("again"),
      Asm.jge("r3", "r7", "done"),
      Asm.mov("r4", "r2"),
      Asm.add("r2", "r1"),
      Asm.mov("r1", "r4"),
      Asm.add("r3", 1),
      Asm.jlt("r3", MOST_ROUNDS, "again"),
      Asm.label("done"),
      Snippets.writeField("r6", Loop, "fibonacci", "r1"),
      Snippets.writeField("r6", Loop, "rounds", "r3")
    ])
  })

/** Calls a function of its own twice, and adds up the squares that it gives back. Kernel 4.16. */
export const localFunction = () =>
  recipe({
    description: "Calls a function of its own twice, for a sum of two squares.",
    since: [4, 16],
    ...demo(
      "local_function",
      Called,
      [
        Asm.mov("r1", "r7"),
        Asm.callLocal("square"),
        Asm.mov("r7", "r0"), // calls destroy r0 to r5, and nothing else
        Asm.mov("r1", "r8"),
        Asm.callLocal("square"),
        Asm.add("r7", "r0"),
        Snippets.writeField("r6", Called, "sumOfSquares", "r7")
      ],
      Asm.func("square", [Asm.mov("r0", "r1"), Asm.mul("r0", "r0"), Asm.exit()])
    )
  })
