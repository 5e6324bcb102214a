// What a program will be attached to, as the kernel wants to know it at load: an attach type, and a BTF id. A spec made by
// hand may say what makes no sense for its type: the kernel answers that with a bare EINVAL, so it is told here.
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { type AttachType, attachTypes } from "../../abi/names.ts"
import * as Btf from "../../btf/Btf.ts"
import { InvalidArgument } from "../../kernel/KernelError.ts"
import { attachable, kinds, of as kindOf, type Target, types } from "../../spec/ProgramKind.ts"
import { type Flag, flags, type ProgramSpec } from "../../spec/ProgramSpec.ts"

/** Zeros where the type of program needs none. */
export interface Attachment {
  readonly expectedAttachType: number
  readonly btfId: number
}

const invalid = (field: string, expected: string, actual: string | undefined): InvalidArgument =>
  new InvalidArgument({ field, expected, actual: actual ?? "none" })

const listed = (names: ReadonlyArray<string>): string => names.length === 1 ? names[0]! : `one of ${names.join(", ")}`

const checkAttachType = ({ expectedAttachType: said, type }: ProgramSpec): InvalidArgument | undefined => {
  const { attach, unlessSaid } = kindOf(type)
  const known = Object.keys(attach)
  if (said === undefined) {
    return unlessSaid === "required" ? invalid("expectedAttachType", listed(known), undefined) : undefined
  }
  if (Object.hasOwn(attach, said)) return undefined
  const expected = known.length === 0 ? `none, as ${type} programs have no attach types` : listed(known)
  return invalid("expectedAttachType", expected, String(said))
}

const withTargets = types.filter((type) =>
  kindOf(type).target !== undefined || Object.values(kindOf(type).attach).some((row) => row.target !== undefined)
)

const targetWords: { readonly [K in Target["kind"]]: string } = {
  Func: "the name of a function of the kernel, such as do_unlinkat",
  Typedef: "the name of a raw tracepoint, such as sched_switch",
  Struct: "a member of a struct of this kernel, such as tcp_congestion_ops.init"
}

const checkTarget = (
  { attachTo, type }: ProgramSpec,
  target: Target | undefined
): InvalidArgument | undefined => {
  if (attachTo === undefined) {
    if (target === undefined) return undefined
    const expected = type === "lsm" ? "the name of an LSM hook, such as file_open" : targetWords[target.kind]
    return invalid("attachTo", expected, undefined)
  }
  return target === undefined ? invalid("attachTo", `a program of type ${withTargets.join(", ")}`, type) : undefined
}

const checkFlags = (spec: ProgramSpec, sleepable: true | "always" | undefined): InvalidArgument | undefined => {
  const given: ReadonlyArray<Flag> = spec.flags ?? []
  const unknown = given.find((flag) => !Object.hasOwn(flags, flag))
  if (unknown !== undefined) return invalid("flags", Object.keys(flags).join(", "), String(unknown))
  const attached = spec.expectedAttachType === undefined ? "" : ` for ${spec.expectedAttachType}`
  const cannot = (flag: Flag, who: string) =>
    invalid("flags", `${flag} for ${who} only`, `${spec.type} program${attached}`)
  if (sleepable === undefined && given.includes("sleepable")) {
    return cannot("sleepable", "programs that may sleep (fentry, fexit, iterators, LSM, uprobes, struct_ops, syscall)")
  }
  const ofXdp = given.find((flag) => flag.startsWith("xdp_"))
  return ofXdp !== undefined && spec.type !== "xdp" ? cannot(ofXdp, "xdp programs") : undefined
}

/** What is wrong with a spec, as far as the table of kinds tells. */
export const checkKind = (spec: ProgramSpec): InvalidArgument | undefined => {
  if (!Object.hasOwn(kinds, spec.type)) {
    return invalid("type", "the name of a type of program, such as xdp", String(spec.type))
  }
  const wrong = checkAttachType(spec)
  if (wrong !== undefined) return wrong
  const { sleepable, target } = attachable(spec.type, spec.expectedAttachType)
  return checkTarget(spec, target) ?? checkFlags(spec, sleepable)
}

const notFound = (expected: string, actual: string): Result.Result<never, InvalidArgument> =>
  Result.fail(invalid("attachTo", expected, JSON.stringify(actual)))

const findById = (btf: Btf.Btf, { kind, prefix }: Target, target: string): Result.Result<number, InvalidArgument> => {
  const name = `${prefix}${target}`
  const [id] = Btf.idsByName(btf, name, kind)
  return id === undefined
    ? notFound(`the name of something this kernel has (${name} in its types)`, target)
    : Result.succeed(id)
}

/** For struct_ops the BTF id is the struct's, and the attach type is the index of the member. */
const findMember = (btf: Btf.Btf, target: string): Result.Result<Attachment, InvalidArgument> => {
  const [structName, memberName] = target.split(".", 2)
  const [id] = Btf.idsByName(btf, structName!, "Struct")
  const struct = id === undefined ? undefined : Option.getOrUndefined(Btf.type(btf, id))
  const index = struct?._tag === "Struct" ? struct.members.findIndex((member) => member.name === memberName) : -1
  return id === undefined || index < 0
    ? notFound(targetWords.Struct, target)
    : Result.succeed({ expectedAttachType: index, btfId: id })
}

/** True if the kernel's types are needed to tell. */
export const needsBtf = (spec: ProgramSpec): boolean => spec.attachTo !== undefined

/** What to tell the kernel of the attachment of a program that `checkKind` found right. `btf` is there when `needsBtf`. */
export const attachmentOf = (
  spec: ProgramSpec,
  btf: Btf.Btf | undefined
): Result.Result<Attachment, InvalidArgument> => {
  const attachType: AttachType | undefined = spec.expectedAttachType
  const expectedAttachType = attachType === undefined ? 0 : attachTypes[attachType]
  const { target } = attachable(spec.type, attachType)
  if (spec.attachTo === undefined || btf === undefined || target === undefined) {
    return Result.succeed({ expectedAttachType, btfId: 0 })
  }
  return target.kind === "Struct"
    ? findMember(btf, spec.attachTo)
    : Result.map(findById(btf, target, spec.attachTo), (btfId) => ({ expectedAttachType, btfId }))
}
