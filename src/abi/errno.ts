// Error numbers of Linux on x86-64 and arm64, from include/uapi/asm-generic/errno-base.h and errno.h, plus the internal
// ones that BPF lets through. Only those that these system calls can return.

/** Numbers by name. */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  EROFS: 30,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENODATA: 61,
  ENOLINK: 67,
  EPROTO: 71,
  EOVERFLOW: 75,
  EBADFD: 77,
  EILSEQ: 84,
  ENOTSOCK: 88,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  ENETDOWN: 100,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  EALREADY: 114,
  ESTALE: 116,
  ECANCELED: 125,
  /** Not a user-space error, but seen by users of BPF: `EOPNOTSUPP` of the kernel's inside. */
  ENOTSUPP: 524
} as const

export type ErrnoName = keyof typeof errno

const descriptions: Record<ErrnoName, string> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file, entry or object",
  ESRCH: "no such process",
  EINTR: "interrupted by a signal",
  EIO: "input/output error",
  ENXIO: "no such device or address",
  E2BIG: "too big",
  EBADF: "bad file descriptor",
  ECHILD: "no child process",
  EAGAIN: "try again",
  ENOMEM: "out of memory",
  EACCES: "permission denied",
  EFAULT: "bad address",
  EBUSY: "device or resource busy",
  EEXIST: "already exists",
  EXDEV: "cross-device link",
  ENODEV: "no such device",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  EINVAL: "invalid argument",
  ENFILE: "too many open files in the system",
  EMFILE: "too many open files in this process",
  ENOTTY: "inappropriate ioctl",
  ENOSPC: "no space left",
  EROFS: "read-only file system",
  ERANGE: "out of range",
  EDEADLK: "would deadlock",
  ENAMETOOLONG: "name too long",
  ENOSYS: "no such system call",
  ELOOP: "too many links",
  ENODATA: "no data",
  ENOLINK: "link has been severed",
  EPROTO: "protocol error",
  EOVERFLOW: "value too large",
  EBADFD: "file descriptor in a bad state",
  EILSEQ: "illegal sequence",
  ENOTSOCK: "not a socket",
  EMSGSIZE: "message too long",
  EOPNOTSUPP: "operation not supported",
  EAFNOSUPPORT: "address family not supported",
  EADDRINUSE: "address in use",
  ENETDOWN: "network is down",
  ENOBUFS: "no buffer space",
  ETIMEDOUT: "timed out",
  EALREADY: "already in progress",
  ESTALE: "stale handle",
  ECANCELED: "cancelled",
  ENOTSUPP: "operation not supported (inside the kernel)"
}

const names = new Map<number, ErrnoName>(
  (Object.keys(errno) as Array<ErrnoName>).map((name) => [errno[name], name])
)

/** The name of an error number, such as `"EPERM"`, or `"E<number>"` for one that is not in the table. */
export const errnoName = (number: number): string => names.get(number) ?? `E${number}`

/** What an error number means, in words. */
export const errnoDescription = (number: number): string => {
  const name = names.get(number)
  return name === undefined ? "unknown error" : descriptions[name]
}
