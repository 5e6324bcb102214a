// Which licences the kernel takes for compatible with the GPL (include/linux/license.h).
const compatible: ReadonlySet<string> = new Set([
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL"
])

/** Whether programs under a licence may call helpers that are for the GPL alone. */
export const isGplCompatible = (license: string): boolean => compatible.has(license)
