// What handles of programs are, for whoever is given one.
import type { HandleKind } from "../kernel/handle.ts"

export const programHandles = {
  typeId: "~effect-ebpf/Program",
  parts: ["type", "name"],
  expected: "a program, as Program.load gives it",
  closed: "The scope that the program was loaded in has closed",
  idLine: "prog_id"
} as const satisfies HandleKind
