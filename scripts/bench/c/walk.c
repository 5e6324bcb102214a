// BPF_MAP_GET_NEXT_KEY and BPF_MAP_LOOKUP_ELEM for each of 100,000 entries.
#include "map.h"

#define ENTRIES 100000

static union bpf_attr attr, next_attr;
static uint64_t key, next_key, value;

static double walk(void)
{
	uint64_t sum = 0;
	double start = nanoseconds();
	next_attr.key = 0;
	while (bpf(BPF_MAP_GET_NEXT_KEY, &next_attr, ATTR_OF_NEXT) == 0) {
		key = next_key;
		next_attr.key = (uintptr_t)&key;
		check(bpf(BPF_MAP_LOOKUP_ELEM, &attr, ATTR_WITH_FLAGS) == 0, "BPF_MAP_LOOKUP_ELEM");
		sum += value;
	}
	double took = nanoseconds() - start;
	check(sum == 3ull * ENTRIES * (ENTRIES - 1ull) / 2, "the sum of the values");
	return took / ENTRIES;
}

int main(void)
{
	attr.map_fd = next_attr.map_fd = create_map(BPF_MAP_TYPE_HASH, 8, 8, ENTRIES, 0);
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	next_attr.next_key = (uintptr_t)&next_key;
	for (key = 0; key < ENTRIES; key++) {
		value = key * 3;
		check(bpf(BPF_MAP_UPDATE_ELEM, &attr, ATTR_WITH_FLAGS) == 0, "BPF_MAP_UPDATE_ELEM");
	}
	answer(walk);
}
