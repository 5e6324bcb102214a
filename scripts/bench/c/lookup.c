// BPF_MAP_LOOKUP_ELEM by the raw system call, which is the floor of every library: one attr, filled once.
#include "round.h"
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ENTRIES 10000
#define LOOKUPS 100000

static union bpf_attr attr;
static uint64_t key, value;

static long bpf(int command, union bpf_attr *a, unsigned int size)
{
	return syscall(__NR_bpf, command, a, size);
}

static double look_up_all(void)
{
	uint64_t sum = 0;
	double start = nanoseconds();
	for (int i = 0; i < LOOKUPS; i++) {
		key = i % ENTRIES;
		check(bpf(BPF_MAP_LOOKUP_ELEM, &attr, 32) == 0, "BPF_MAP_LOOKUP_ELEM");
		sum += value;
	}
	double took = nanoseconds() - start;
	check(sum == 3ull * LOOKUPS / ENTRIES * (ENTRIES * (ENTRIES - 1ull) / 2), "the sum of the values");
	return took / LOOKUPS;
}

int main(void)
{
	union bpf_attr create = {
		.map_type = BPF_MAP_TYPE_HASH, .key_size = 8, .value_size = 8, .max_entries = ENTRIES
	};
	int fd = bpf(BPF_MAP_CREATE, &create, sizeof create);
	check(fd >= 0, "BPF_MAP_CREATE");
	attr.map_fd = fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	for (key = 0; key < ENTRIES; key++) {
		value = key * 3;
		check(bpf(BPF_MAP_UPDATE_ELEM, &attr, 32) == 0, "BPF_MAP_UPDATE_ELEM");
	}
	answer(look_up_all);
}
