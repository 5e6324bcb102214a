// The batch commands on plain arrays of 65,536 keys and values: batches COMMAND.
#include "map.h"

#define ENTRIES 65536

static union bpf_attr attr;
static uint64_t keys[ENTRIES], values[ENTRIES];
static uint64_t cursor;

static void fill_arrays(void)
{
	for (uint64_t i = 0; i < ENTRIES; i++) {
		keys[i] = i;
		values[i] = i * 3;
	}
}

static double batch(int command, const char *name)
{
	attr.batch.count = ENTRIES;
	double start = nanoseconds();
	long result = bpf(command, &attr, sizeof attr.batch);
	double took = nanoseconds() - start;
	// A lookup that reaches the end of the map answers ENOENT.
	check((result == 0 || errno == ENOENT) && attr.batch.count == ENTRIES, name);
	return took / ENTRIES;
}

static double update_all(void)
{
	fill_arrays();
	return batch(BPF_MAP_UPDATE_BATCH, "BPF_MAP_UPDATE_BATCH");
}

static double look_up_all(void)
{
	memset(values, 0, sizeof values);
	double took = batch(BPF_MAP_LOOKUP_BATCH, "BPF_MAP_LOOKUP_BATCH");
	uint64_t sum = 0;
	for (int i = 0; i < ENTRIES; i++)
		sum += values[i];
	check(sum == 3ull * ENTRIES * (ENTRIES - 1) / 2, "the sum of the values");
	return took;
}

static double delete_all(void)
{
	update_all();
	return batch(BPF_MAP_DELETE_BATCH, "BPF_MAP_DELETE_BATCH");
}

int main(int count, char **arguments)
{
	check(count == 2, "batches COMMAND");
	attr.batch.map_fd = create_map(BPF_MAP_TYPE_HASH, 8, 8, ENTRIES, 0);
	attr.batch.keys = (uintptr_t)keys;
	attr.batch.values = (uintptr_t)values;
	attr.batch.out_batch = (uintptr_t)&cursor;
	switch (arguments[1][0]) {
	case 'u': answer(update_all); break;
	case 'l': update_all(); answer(look_up_all); break;
	case 'd': answer(delete_all); break;
	}
}
