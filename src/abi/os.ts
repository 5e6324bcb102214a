// Constants of the system calls beside bpf(2). They are macros, so BTF does not have them.

/** include/uapi/asm-generic/mman-common.h; the same on x86-64 and arm64 */
export const mman = {
  PROT_READ: 1,
  PROT_WRITE: 2,
  MAP_SHARED: 0x01,
  MAP_PRIVATE: 0x02,
  MAP_FIXED: 0x10,
  MAP_ANONYMOUS: 0x20,
  MAP_FIXED_NOREPLACE: 0x100000
} as const

/** include/uapi/linux/eventpoll.h */
export const epoll = {
  EPOLL_CLOEXEC: 0x80000,
  EPOLL_CTL_ADD: 1,
  EPOLL_CTL_DEL: 2,
  EPOLL_CTL_MOD: 3,
  EPOLLIN: 0x001,
  EPOLLOUT: 0x004,
  EPOLLONESHOT: 0x40000000,
  EPOLLET: 0x80000000
} as const

/** include/uapi/asm-generic/fcntl.h, include/uapi/linux/fcntl.h */
export const fcntl = { F_DUPFD_CLOEXEC: 1030, O_CLOEXEC: 0x80000 } as const

/** include/uapi/asm-generic/resource.h */
export const resource = { RLIMIT_MEMLOCK: 8, RLIM_INFINITY: 2n ** 64n - 1n } as const

/** include/uapi/linux/mount.h, the first two from kernel 5.2; MNT_DETACH is of include/linux/fs.h */
export const mount = { FSOPEN_CLOEXEC: 1, FSMOUNT_CLOEXEC: 1, MNT_DETACH: 2 } as const

/** include/uapi/linux/magic.h */
export const magic = {
  BPF_FS_MAGIC: 0xcafe4a11,
  CGROUP2_SUPER_MAGIC: 0x63677270,
  TRACEFS_MAGIC: 0x74726163
} as const

/** include/uapi/linux/perf_event.h: _IO('$', n), and _IOW('$', n, __u32) for n = 8 and 9 */
export const perf = {
  PERF_EVENT_IOC_ENABLE: 0x2400,
  PERF_EVENT_IOC_DISABLE: 0x2401,
  PERF_EVENT_IOC_SET_BPF: 0x40042408,
  PERF_EVENT_IOC_PAUSE_OUTPUT: 0x40042409,
  PERF_FLAG_FD_CLOEXEC: 8
} as const

/** include/uapi/linux/bpf.h: flags of BPF_PROG_ATTACH, and of a link's update */
export const attachFlags = {
  BPF_F_ALLOW_OVERRIDE: 1 << 0,
  BPF_F_ALLOW_MULTI: 1 << 1,
  BPF_F_REPLACE: 1 << 2,
  BPF_F_BEFORE: 1 << 3,
  BPF_F_AFTER: 1 << 4,
  BPF_F_LINK: 1 << 13
} as const

/** include/uapi/linux/if_link.h */
export const xdpFlags = { XDP_FLAGS_SKB_MODE: 1 << 1, XDP_FLAGS_DRV_MODE: 1 << 2, XDP_FLAGS_HW_MODE: 1 << 3 } as const

/** include/uapi/linux/capability.h */
export const capabilities = {
  CAP_NET_ADMIN: 12,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
  CAP_PERFMON: 38,
  CAP_BPF: 39
} as const
