// Reads 64-bit slots of an mmapped array, each one load.
#include "map.h"
#include <sys/mman.h>

#define SLOTS 512
#define READS 20000

static volatile const uint64_t *slots;

static double read_all(void)
{
	uint64_t sum = 0;
	double start = nanoseconds();
	for (int i = 0; i < READS; i++)
		for (int slot = 0; slot < SLOTS; slot++)
			sum += slots[slot];
	double took = nanoseconds() - start;
	check(sum == READS * 3ull * SLOTS * (SLOTS - 1) / 2, "the sum of the slots");
	return took / READS / SLOTS;
}

int main(void)
{
	int fd = create_map(BPF_MAP_TYPE_ARRAY, 4, 8, SLOTS, BPF_F_MMAPABLE);
	uint64_t *writable = mmap(NULL, SLOTS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(writable != MAP_FAILED, "mmap");
	for (uint64_t i = 0; i < SLOTS; i++)
		writable[i] = i * 3;
	slots = writable;
	answer(read_all);
}
