#include <linux/bpf.h>
static unsigned (*rnd)(void) = (void *)7;
__attribute__((section("socket"), used)) int fixture(struct __sk_buff *ctx) {
  volatile unsigned long long cell = 0x123456789aULL;
  unsigned n = rnd(), sum = 0;
  if ((int)n < -3) return -1;
#pragma clang loop unroll(disable)
  for (int i = 0; i < 2; i++) { __sync_fetch_and_add(&cell, n); sum ^= ctx->len; }
#ifdef V4
  sum += *(volatile signed char *)&cell; cell = -2; sum += (int)sum / 3 + __builtin_bswap16((unsigned short)n);
#endif
  return (long long)cell > 0xffffffffLL ? sum : n * 3;
}
char _license[] __attribute__((section("license"), used)) = "GPL";
