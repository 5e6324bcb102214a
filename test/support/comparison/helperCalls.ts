// Row "program type × helper": each kind of program calls each helper, with nothing but its context, under a licence that is
// no GPL, and with arguments that are right as far as a table of kinds of arguments can make them.
import type { Caller } from "../../../src/isa/helperCallers.ts"
import * as Helper from "../../../src/isa/Helper.ts"
import type { Btf } from "../../../src/index.ts"
import { type Kind, kinds, loadFields, nameOf } from "../helperProbe.ts"
import { add, Bench, call, copy, exit, joined, mapInto, set, storeDouble } from "./bench.ts"
import type { Case } from "./compare.ts"
import type { KernelService } from "../../../src/kernel/Kernel.ts"

export class HelperBench extends Bench {
  readonly btf: Btf.Btf
  readonly array: number

  constructor(kernel: KernelService, btf: Btf.Btf) {
    super(kernel)
    this.btf = btf
    this.array = this.map("array", 4, 8, 1)
  }

  override free(): void {
    this.close(this.array)
    super.free()
  }
}

const zeros = joined(copy(6, 1), ...Array.from({ length: 8 }, (_, i) => storeDouble(10, -64 + i * 8, 0)))

const give = (register: number, { kind, nullable }: Helper.Argument, array: number): Uint8Array => {
  switch (kind) {
    case "context":
      return copy(register, 6)
    case "map":
      return mapInto(register, array)
    case "mapKey":
    case "mapValue":
    case "mapValueOut":
    case "read":
    case "write":
    case "readWrite":
    case "stack":
      return joined(copy(register, 10), add(register, -64))
    case "size":
    case "sizeOrZero":
    case "recordSize":
      return set(register, 8)
    default:
      return set(register, nullable ? 0 : 1)
  }
}

/** The four ways to call a helper. */
const forms: { readonly [form: string]: (helper: Helper.Helper, side: HelperBench) => Uint8Array } = {
  bare: ({ id }) => joined(call(id), set(0, 1), exit),
  "no GPL": ({ id }) => joined(call(id), set(0, 1), exit),
  numbers: ({ id }) => joined(set(1, 8), set(2, 8), set(3, 8), set(4, 8), set(5, 8), call(id), set(0, 1), exit),
  fitting: (helper, side) =>
    joined(
      zeros,
      ...helper.arguments.map((argument, i) => give(i + 1, argument, side.array)),
      ...Array.from({ length: 5 - helper.arguments.length }, (_, i) => set(5 - i, 0)),
      call(helper.id),
      set(0, 1),
      exit
    )
}

const caseOf = (kind: Kind, helper: Helper.Helper, form: string): Case<HelperBench> => ({
  name: `${nameOf(kind)} ${helper.name}, ${form}`,
  run: (side) => {
    const code = forms[form]!(helper, side)
    const { prog_type, ...fields } = loadFields(kind, side.btf)
    const license = form === "no GPL" ? "Proprietary" : "GPL"
    const result = side.load({ type: Number(prog_type), code, license, fields })
    side.close(result)
    return Math.min(result, 0)
  }
})

export const callerOf = ({ attachType, sleeps, type }: Kind): Caller => ({
  type,
  attachType,
  sleepable: sleeps === true
})

export function* helperCalls(): Generator<Case<HelperBench>> {
  for (const kind of kinds) {
    // Its attach type is a number of a struct that only real kernels have.
    if (kind.type === "struct_ops" || kind.type === "lirc_mode2") continue
    for (const helper of Helper.all()) {
      for (const form of Object.keys(forms)) yield caseOf(kind, helper, form)
    }
  }
}
