/** Why a reference has no value: the kernel has not what it names, or the reference itself is wrong. */
export interface Problem {
  readonly reason: "missing" | "invalid"
  readonly expected: string
  readonly actual: string
}

export const missing = (expected: string, actual: string): Problem => ({ reason: "missing", expected, actual })
export const invalid = (expected: string, actual: string): Problem => ({ reason: "invalid", expected, actual })
