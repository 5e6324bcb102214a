/** koffi is imported when the layer is built, and handed on. */
export type Koffi = typeof import("koffi").default

/** The C functions in use. Pointers are numbers: user addresses are below 2^53 on x86-64 and arm64. */
export const bind = (koffi: Koffi) => {
  const libc = koffi.load(null)
  return {
    syscall4: libc.func("syscall", "int", ["long", "long", "uintptr_t", "ulong"]),
    syscall6: libc.func("syscall", "int", ["long", "long", "long", "long", "long", "long"]),
    mmap: libc.func("mmap", "uintptr_t", ["uintptr_t", "size_t", "int", "int", "int", "long"]),
    munmap: libc.func("munmap", "int", ["uintptr_t", "size_t"]),
    close: libc.func("close", "int", ["int"]),
    dup3: libc.func("dup3", "int", ["int", "int", "int"]),
    fcntl: libc.func("fcntl", "int", ["int", "int", "int"]),
    ioctl: libc.func("ioctl", "int", ["int", "ulong", "uintptr_t"]),
    read: libc.func("read", "long", ["int", "uintptr_t", "size_t"]),
    prlimit: libc.func("prlimit", "int", ["int", "int", "uintptr_t", "uintptr_t"]),
    mount: libc.func("mount", "int", ["uintptr_t", "uintptr_t", "uintptr_t", "ulong", "uintptr_t"]),
    umount2: libc.func("umount2", "int", ["uintptr_t", "int"]),
    mkdir: libc.func("mkdir", "int", ["uintptr_t", "uint"]),
    unlink: libc.func("unlink", "int", ["uintptr_t"]),
    open: libc.func("open", "int", ["uintptr_t", "int", "uint"]),
    if_nametoindex: libc.func("if_nametoindex", "uint", ["uintptr_t"]),
    if_indextoname: libc.func("if_indextoname", "uintptr_t", ["uint", "uintptr_t"]),
    epoll_create1: libc.func("epoll_create1", "int", ["int"]),
    epoll_ctl: libc.func("epoll_ctl", "int", ["int", "int", "int", "uintptr_t"]),
    epoll_wait: libc.func("epoll_wait", "int", ["int", "uintptr_t", "int", "int"]),
    getpagesize: libc.func("getpagesize", "int", []),
    errnoLocation: libc.func("__errno_location", "uintptr_t", [])
  }
}

export type Libc = ReturnType<typeof bind>
