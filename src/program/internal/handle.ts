import type { ProgramType } from "../../abi/names.ts"
import type { Descriptor } from "../../kernel/systemCall.ts"

/** A handle whose `fd` is the descriptor's as it is now: -1 once closed. */
export const handle = <T extends ProgramType>(descriptor: Descriptor, type: T, name: string) => ({
  get fd() {
    return descriptor.fd
  },
  type,
  name
})
