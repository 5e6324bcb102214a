// Hash maps by raw system calls, which are the floor of every library: one attr, filled once.
#ifndef MAP_H
#define MAP_H

#include "round.h"
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/** How much of the attr an element command reads: to the end of `flags`; deletions refuse what lies after `key`. */
#define ATTR_WITH_FLAGS 32
#define ATTR_OF_KEY 16
#define ATTR_OF_NEXT 24

static inline long bpf(int command, union bpf_attr *attr, unsigned int size)
{
	return syscall(__NR_bpf, command, attr, size);
}

static inline int create_map(int type, unsigned int key_size, unsigned int value_size, unsigned int entries, int flags)
{
	union bpf_attr create = {
		.map_type = type, .key_size = key_size, .value_size = value_size, .max_entries = entries, .map_flags = flags
	};
	int fd = bpf(BPF_MAP_CREATE, &create, sizeof create);
	check(fd >= 0, "BPF_MAP_CREATE");
	return fd;
}

#endif
