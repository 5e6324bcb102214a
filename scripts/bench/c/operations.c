// One element command on every key of a hash map of 10,000 entries, ten times: operations COMMAND VALUE_SIZE.
// Words of values are those of subjects/entries.ts.
#include "map.h"

#define ENTRIES 10000
#define ROUNDS 10
#define OPERATIONS (ENTRIES * ROUNDS)
#define HIGH (1ull << 33)

static union bpf_attr attr, next_attr;
static uint64_t key, next_key, value[8];
static int last; // the value's last word

static const double sum_of_keys = ENTRIES * (ENTRIES - 1.0) / 2;

static void set_value(uint64_t n)
{
	for (int i = 0; i <= last; i++)
		value[i] = n + (i < 4 ? 0 : HIGH);
}

static void update(void)
{
	check(bpf(BPF_MAP_UPDATE_ELEM, &attr, ATTR_WITH_FLAGS) == 0, "BPF_MAP_UPDATE_ELEM");
}

static void fill(void)
{
	for (key = 0; key < ENTRIES; key++) {
		set_value(key * 3);
		update();
	}
}

static double look_up(void)
{
	double sum = 0;
	double start = nanoseconds();
	for (int i = 0; i < OPERATIONS; i++) {
		key = i % ENTRIES;
		check(bpf(BPF_MAP_LOOKUP_ELEM, &attr, ATTR_WITH_FLAGS) == 0, "BPF_MAP_LOOKUP_ELEM");
		sum += value[last];
	}
	double took = nanoseconds() - start;
	check(sum == ROUNDS * (3 * sum_of_keys + (last == 0 ? 0 : (double)ENTRIES * HIGH)), "the sum of the values");
	return took / OPERATIONS;
}

static double update_all(void)
{
	set_value(0);
	double start = nanoseconds();
	for (int i = 0; i < OPERATIONS; i++) {
		key = i % ENTRIES;
		value[last] = i;
		update();
	}
	double took = nanoseconds() - start;
	key = ENTRIES - 1;
	check(bpf(BPF_MAP_LOOKUP_ELEM, &attr, ATTR_WITH_FLAGS) == 0 && value[last] == OPERATIONS - 1, "the last value");
	return took / OPERATIONS;
}

static double delete_all(void)
{
	double took = 0;
	for (int round = 0; round < ROUNDS; round++) {
		fill();
		union bpf_attr of_key = { .map_fd = attr.map_fd, .key = attr.key };
		double start = nanoseconds();
		for (key = 0; key < ENTRIES; key++)
			check(bpf(BPF_MAP_DELETE_ELEM, &of_key, ATTR_OF_KEY) == 0, "BPF_MAP_DELETE_ELEM");
		took += nanoseconds() - start;
	}
	return took / OPERATIONS;
}

static double next_all(void)
{
	double sum = 0;
	int count = 0;
	double start = nanoseconds();
	for (int round = 0; round < ROUNDS; round++) {
		next_attr.key = 0;
		while (bpf(BPF_MAP_GET_NEXT_KEY, &next_attr, ATTR_OF_NEXT) == 0) {
			key = next_key;
			next_attr.key = (uintptr_t)&key;
			sum += key;
			count++;
		}
	}
	double took = nanoseconds() - start;
	check(count == OPERATIONS && sum == ROUNDS * sum_of_keys, "every key");
	return took / OPERATIONS;
}

int main(int count, char **arguments)
{
	check(count == 3, "operations COMMAND VALUE_SIZE");
	int size = atoi(arguments[2]);
	last = size / 8 - 1;
	attr.map_fd = next_attr.map_fd = create_map(BPF_MAP_TYPE_HASH, 8, size, ENTRIES, 0);
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)value;
	next_attr.next_key = (uintptr_t)&next_key;
	fill();
	switch (arguments[1][0]) {
	case 'l': answer(look_up); break;
	case 'u': answer(update_all); break;
	case 'd': answer(delete_all); break;
	case 'n': answer(next_all); break;
	}
}
