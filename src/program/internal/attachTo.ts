// What a program will be attached to, as the kernel wants to know it at load: an attach type, and a BTF id.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { attachTypes } from "../../abi/names.ts"
import type { Btf } from "../../btf/Btf.ts"
import { InvalidArgument } from "../../kernel/KernelError.ts"
import type { AttachType, ProgramSpec } from "../../spec/ProgramSpec.ts"

/** Zeros where the type of program needs none. */
export interface Attachment {
  readonly expectedAttachType: number
  readonly btfId: number
}

/** The attach type of programs that say none. `sk_lookup` and `netfilter` have no other. */
const defaults: { readonly [type: string]: AttachType } = {
  tracing: "trace_fentry",
  lsm: "lsm_mac",
  sk_lookup: "sk_lookup",
  netfilter: "netfilter"
}

const attachTypeOf = (spec: ProgramSpec): AttachType | undefined => spec.expectedAttachType ?? defaults[spec.type]

const notFound = (expected: string, actual: string): Result.Result<never, InvalidArgument> =>
  Result.fail(new InvalidArgument({ field: "attachTo", expected, actual }))

/** The prefixes are those of BTF_TRACE_PREFIX and its sisters in the kernel's `include/linux/btf.h` and libbpf. */
const findById = (btf: Btf, spec: ProgramSpec, target: string): Result.Result<number, InvalidArgument> => {
  const attachType = attachTypeOf(spec)
  const [name, tag] = spec.type === "lsm"
    ? [`bpf_lsm_${target}`, "Func" as const]
    : attachType === "trace_raw_tp"
    ? [`btf_trace_${target}`, "Typedef" as const]
    : attachType === "trace_iter"
    ? [`bpf_iter_${target}`, "Func" as const]
    : [target, "Func" as const]
  const [id] = btf.idsByName(name, tag)
  return id === undefined
    ? notFound(`the name of something this kernel has (${name} in its types)`, JSON.stringify(target))
    : Result.succeed(id)
}

/** For struct_ops the BTF id is the struct's, and the attach type is the index of the member. */
const findMember = (btf: Btf, target: string): Result.Result<Attachment, InvalidArgument> => {
  const [structName, memberName] = target.split(".", 2)
  const [id] = btf.idsByName(structName!, "Struct")
  const struct = id === undefined ? undefined : Option.getOrUndefined(btf.type(id))
  const index = struct?._tag === "Struct" ? struct.members.findIndex((member) => member.name === memberName) : -1
  return id === undefined || index < 0
    ? notFound("a member of a struct of this kernel, such as tcp_congestion_ops.init", JSON.stringify(target))
    : Result.succeed({ expectedAttachType: index, btfId: id })
}

/** Types that are attached by BTF id. */
const byId: ReadonlySet<string> = new Set(["tracing", "lsm", "struct_ops"])

/** True if the kernel's types are needed to tell. */
export const needsBtf = (spec: ProgramSpec): boolean => spec.attachTo !== undefined

/** What to tell the kernel of a program's attachment. `btf` is there when `needsBtf`. */
export const attachmentOf = (spec: ProgramSpec, btf: Btf | undefined): Result.Result<Attachment, InvalidArgument> => {
  const attachType = attachTypeOf(spec)
  const expectedAttachType = attachType === undefined ? 0 : attachTypes[attachType]
  if (expectedAttachType === undefined) {
    return Result.fail(
      new InvalidArgument({ field: "expectedAttachType", expected: "the name of one", actual: String(attachType) })
    )
  }
  if (spec.attachTo === undefined || btf === undefined) return Result.succeed({ expectedAttachType, btfId: 0 })
  if (!byId.has(spec.type)) return notFound(`a program of type ${[...byId].join(", ")}`, spec.type)
  return spec.type === "struct_ops"
    ? findMember(btf, spec.attachTo)
    : Result.map(findById(btf, spec, spec.attachTo), (btfId) => ({ expectedAttachType, btfId }))
}
