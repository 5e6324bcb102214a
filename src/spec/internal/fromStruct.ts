// Layouts from the structs that are generated from a kernel's BTF: places, sizes and names are the kernel's. What BTF does
// not know of a member (network byte order, an address, a sign, bytes that belong together) is told beside.
import type { StructLayout } from "../../kernel/attribute.ts"
import * as Layout from "../../layout/Layout.ts"

/** What is told of members: a layout of the same size, or `"other name"` for one whose bytes another member has too. */
type Told<S extends StructLayout> = { readonly [K in keyof S["fields"]]?: Layout.Layout<any> | "other name" }

/** By size, unless told otherwise: unsigned numbers in the processor's byte order; 16 bytes are an IPv6 address. */
const usual = { 1: Layout.u8, 2: Layout.u16, 4: Layout.u32, 8: Layout.u64, 16: Layout.bytes(16) } as const

type Usual<Size> = Size extends keyof typeof usual ? Layout.Type<typeof usual[Size]> : never

type Kept<S extends StructLayout, T> = {
  readonly [
    K in keyof S["fields"] as K extends keyof T ? T[K] extends "other name" ? never : K : K
  ]: K extends keyof T ? Layout.Type<T[K]> : Usual<S["fields"][K]["size"]>
}

/** The layout of a struct. Throws where its members do not come to lie at the kernel's places. */
export const fromStruct = <const S extends StructLayout, const T extends Told<S> = {}>(
  struct: S,
  told?: T
): Layout.Layout<Kept<S, T>> => {
  const members: Record<string, Layout.Layout<any>> = {}
  for (const [name, { size }] of Object.entries(struct.fields)) {
    const as = told?.[name] ?? usual[size as keyof typeof usual] as Layout.Layout<any> | undefined
    if (as === undefined) throw new Error(`what the ${size} bytes of ${name} are has to be told`)
    if (as !== "other name") members[name] = as
  }
  const layout = Layout.struct(members)
  for (const name of Object.keys(members)) {
    const { offset, size } = struct.fields[name]!
    const place = Layout.field(layout as Layout.Layout<any>, name)
    if (place?.offset !== offset || place.size !== size) throw new Error(`${name} does not lie at byte ${offset}`)
  }
  if (layout.size !== struct.size) throw new Error(`${layout.size} bytes, and the kernel has ${struct.size}`)
  return layout as Layout.Layout<any>
}
