// libbpf's ring_buffer__consume on a full ring. The sizes and the program are those of subjects/fullRing.ts.
#include "round.h"
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <stdint.h>

#define RING_SIZE (16 << 20)
#define RECORD 64
#define RECORDS ((RING_SIZE - 1) / (RECORD + 8))
#define FILLS 4

#define INSN(op, d, s, o, i) ((struct bpf_insn){ .code = (op), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) })

static int program;
static struct ring_buffer *ring;
static uint64_t sum, parents, times;

static int on_record(void *context, void *data, size_t size)
{
	(void)context;
	(void)size;
	const uint32_t *words = data;
	sum += words[0];
	parents += words[1];
	times += *(uint64_t *)(words + 2);
	return 0;
}

static void fill(void)
{
	char packet[14] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sizeof packet, .repeat = RECORDS);
	check(bpf_prog_test_run_opts(program, &run) == 0, "BPF_PROG_TEST_RUN");
	check(run.retval == 0, "the last record found room");
}

static double drain_full_rings(void)
{
	double took = 0;
	for (int i = 0; i < FILLS; i++) {
		fill();
		sum = parents = times = 0;
		double start = nanoseconds();
		int count = ring_buffer__consume(ring);
		took += nanoseconds() - start;
		check(count == RECORDS && sum == RECORDS && parents == 2 * sum && times != 0, "every record, with its fields");
	}
	return took / FILLS / RECORDS;
}

int main(void)
{
	int map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "bench", 0, 0, RING_SIZE, NULL);
	check(map >= 0, "BPF_MAP_CREATE");

	struct bpf_insn code[RECORD / 4 + 8];
	int n = 0;
	for (int i = 0; i < RECORD / 4; i++) // word i of the record is i + 1
		code[n++] = INSN(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, i * 4 - RECORD, i + 1);
	code[n++] = INSN(BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map);
	code[n++] = INSN(0, 0, 0, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0);
	code[n++] = INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -RECORD);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, RECORD);
	code[n++] = INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, 0);
	code[n++] = INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ringbuf_output);
	code[n++] = INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);

	program = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "bench", "GPL", code, n, NULL);
	check(program >= 0, "BPF_PROG_LOAD");
	ring = ring_buffer__new(map, on_record, NULL, NULL);
	check(ring != NULL, "ring_buffer__new");
	answer(drain_full_rings);
}
