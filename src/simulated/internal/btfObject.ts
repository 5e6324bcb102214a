// BTF of the simulated kernel: what BPF_BTF_LOAD takes, and what maps learn of their values from it.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Btf from "../../btf/Btf.ts"
import type { BtfType } from "../../btf/BtfType.ts"
import type { Lifetime } from "./objects.ts"

/** BTF that was loaded. */
export interface SimulatedBtf extends Lifetime {
  readonly _tag: "Btf"
  readonly id: number
  readonly bytes: Uint8Array
  readonly types: Btf.Btf
}

/** A field of values that no system call reads or writes, such as a spin lock. */
export interface HiddenField {
  readonly kind: "spin_lock" | "timer"
  readonly offset: number
  readonly size: number
}

const hiddenKinds: { readonly [name: string]: Omit<HiddenField, "offset"> } = {
  bpf_spin_lock: { kind: "spin_lock", size: 4 },
  bpf_timer: { kind: "timer", size: 16 }
}

/** A type behind its qualifiers, or `undefined` for `void` and ids that do not exist. */
export const typeOf = ({ types }: SimulatedBtf, id: number): BtfType | undefined =>
  Result.match(Btf.resolve(types, id), { onFailure: () => undefined, onSuccess: ([, type]) => type })

/** The size of a type, or `undefined` for one that has none. */
export const sizeOf = ({ types }: SimulatedBtf, id: number): number | undefined =>
  Result.getOrElse(Btf.sizeOf(types, id), () => undefined)

/** The hidden fields of a value. The kernel looks for them in a struct's own members (`btf_find_field`). */
export const hiddenFields = (btf: SimulatedBtf, valueType: number): ReadonlyArray<HiddenField> => {
  const type = typeOf(btf, valueType)
  if (type?._tag !== "Struct") return []
  return type.members.flatMap(({ bitOffset, type: id }) => {
    const member = Option.getOrUndefined(Btf.type(btf.types, id))
    const hidden = member?._tag === "Struct" ? hiddenKinds[member.name] : undefined
    return hidden === undefined ? [] : [{ ...hidden, offset: bitOffset / 8 }]
  })
}
