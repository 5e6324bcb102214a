// Checks of what users pass in, shared by the modules above. Each gives the error to fail with, or nothing.
import { shown } from "../abi/given.ts"
import { InvalidArgument } from "./KernelError.ts"

export { shown }

/** What the name of an object of the kernel may be: BPF_OBJ_NAME_LEN is 16 with its NUL. */
export const NAME = "1 to 15 letters, digits, _ or ."
export const isName = (name: unknown): name is string => typeof name === "string" && /^[A-Za-z0-9_.]{1,15}$/.test(name)

/** An object's name. */
export const checkName = (field: string, name: string): InvalidArgument | undefined =>
  isName(name) ? undefined : new InvalidArgument({ field, expected: NAME, actual: shown(name) })

/** An integer from `minimum` to `maximum`. */
export const checkInteger = (
  field: string,
  value: number,
  minimum: number,
  maximum: number
): InvalidArgument | undefined =>
  Number.isInteger(value) && value >= minimum && value <= maximum
    ? undefined
    : new InvalidArgument({ field, expected: `an integer from ${minimum} to ${maximum}`, actual: shown(value) })

/** The largest `int` and `unsigned int` of C. */
export const INT_MAX = 0x7fffffff
export const UINT_MAX = 0xffffffff

/** The id of an object of the kernel: they begin at 1. */
export const checkId = (id: number): InvalidArgument | undefined => checkInteger("id", id, 1, UINT_MAX)

/** The number of a descriptor. */
export const checkFd = (fd: number): InvalidArgument | undefined => checkInteger("fd", fd, 0, INT_MAX)

/** A path, as system calls take it: PATH_MAX is 4096 with its NUL, and a NUL inside would cut it short. */
export const PATH = "a path of 1 to 4095 characters without NUL"
export const isPath = (path: unknown): path is string =>
  typeof path === "string" && path.length > 0 && path.length < 4096 && !path.includes("\0")

export const checkPath = (field: string, path: string): InvalidArgument | undefined =>
  isPath(path) ? undefined : new InvalidArgument({ field, expected: PATH, actual: shown(path) })
