// The texts that other tools write of programs in C, compiled for several versions of the instruction set, against the bytes
// that the same tools tell: llvm-objdump's, the log of this machine's verifier, and bpftool's dumps of what was loaded. Each is
// read as the same bytes, or refused with the reason. Only what is installed is tried.
import { beforeEach, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect } from "vitest"
import * as Disassembler from "../../src/isa/Disassembler.ts"
import { skipUnlessPossible } from "../support/privilege.ts"

const has = (tool: string): boolean => spawnSync(tool, ["--version"]).status === 0

/** Compilers that write BPF, with the tools of the same version, and the instruction sets that they know. */
const compilers = [
  { suffix: "", cpus: ["v1", "v2", "v3"] },
  { suffix: "-19", cpus: ["v2", "v3", "v4"] }
].filter(({ suffix }) => ["clang", "llvm-objdump", "llvm-objcopy"].every((tool) => has(tool + suffix)))

const SOURCE = `
#include <linux/bpf.h>
static unsigned (*rnd)(void) = (void *)7;
static unsigned long long (*ktime)(void) = (void *)5;
static long (*load_bytes)(const void *, unsigned, void *, unsigned) = (void *)26;
unsigned long long load_half(void *, unsigned long long) asm("llvm.bpf.load.half");
#ifdef CALLS
__attribute__((noinline)) static int mix(unsigned a, int b) { return a & 4 ? (int)(a / 7) * b : (int)(a % 13) + b; }
#else
#define mix(a, b) (a)
#endif
__attribute__((section("socket"), used)) int everything(struct __sk_buff *ctx) {
  unsigned char buf[24] = {1, 2, 3};
  unsigned long long sum = load_half(ctx, 12), t = ktime();
  volatile unsigned cell = 3; volatile unsigned long long wide = 9;
  if (load_bytes(ctx, 0, buf, 8) < 0) return -1;
  sum += buf[1] * 7u + buf[2] % 5u; sum ^= 0xfedcba9876543210ULL;
  if ((long long)t < -5 && buf[3] & 16) sum -= t >> 3;
  if ((unsigned)t > 0xfffffff0u) sum |= 0x80000000u;
  sum += __builtin_bswap32((unsigned)t) + __builtin_bswap16((unsigned short)sum) + __builtin_bswap64(sum);
  __sync_fetch_and_add(&wide, sum); __sync_fetch_and_add(&cell, 1);
#ifdef ATOMICS
  sum += __sync_fetch_and_or((unsigned long long *)&wide, t);
  sum += __sync_lock_test_and_set((unsigned *)&cell, 5);
  sum += __sync_val_compare_and_swap((unsigned *)&cell, 4, 5);
  sum += __sync_val_compare_and_swap((unsigned long long *)&wide, 4, 5);
#endif
#ifdef V4
  sum += *(volatile signed char *)(buf + 1) + *(volatile int *)(buf + 4) + (long long)sum / 3 + (int)t % 7;
  sum += (signed char)t; cell = -1; wide = 5;
#endif
#pragma clang loop unroll(disable)
  for (int i = 0; i < 4; i++) { sum = sum * 31 + mix(rnd(), i); if (sum == 77) break; }
  return (int)(sum + cell);
}
char _license[] __attribute__((section("license"), used)) = "GPL";
`

const folder = mkdtempSync(join(tmpdir(), "effect-ebpf-texts-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (tool: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(tool, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 })

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Reads a text: as the bytes, or not at all; the reason of the refusal, if it was one. */
const read = (text: string, bytes: Uint8Array): string | undefined => {
  const result = Disassembler.parse(text)
  if (Result.isFailure(result)) return result.failure.message
  expect(hex(result.success.bytes)).toBe(hex(bytes))
  return undefined
}

for (const { cpus, suffix } of compilers) {
  for (const cpu of cpus) {
    for (const calls of [false, true]) {
      describe(`clang${suffix} -mcpu=${cpu}${calls ? ", with functions" : ""}`, () => {
        const name = `texts${suffix}-${cpu}-${calls}`
        const object = join(folder, `${name}.o`)
        const defines = [
          ...(cpu >= "v3" ? ["-DATOMICS"] : []),
          ...(cpu === "v4" ? ["-DV4"] : []),
          ...(calls ? ["-DCALLS"] : [])
        ]

        const compile = (): Uint8Array => {
          const source = join(folder, `${name}.c`)
          writeFileSync(source, SOURCE)
          const include = ["x86_64", "aarch64"].map((machine) => `-I/usr/include/${machine}-linux-gnu`)
          run(
            `clang${suffix}`,
            "-O2",
            "-g",
            "-target",
            "bpf",
            `-mcpu=${cpu}`,
            ...include,
            ...defines,
            "-c",
            source,
            "-o",
            object
          )
          run(`llvm-objcopy${suffix}`, "-O", "binary", "--only-section=socket", object, `${object}.bin`)
          return readFileSync(`${object}.bin`)
        }

        it("llvm-objdump", () => {
          const bytes = compile()
          const dump = (...more: ReadonlyArray<string>) =>
            run(`llvm-objdump${suffix}`, "-d", "-j", "socket", ...more, object)
          for (const more of [[], ["-r"], ["-S"]]) expect(read(dump(...more), bytes)).toBeUndefined()
          expect(read(dump("--no-show-raw-insn"), bytes)).toMatch(/tell a helper from a function/)
          const named = dump("--no-show-raw-insn").replaceAll(
            /call (?:0x)?(5|7|1a|26)$/gm,
            (_, id: string) => `call helper#${id === "1a" ? 26 : id}`
          )
          // What the tool does not know, it does not write: LLVM 19 has no text for 32-bit exchanges of v4.
          const refused = read(named, bytes)
          if (named.includes("<unknown>")) expect(refused).toMatch(/the tool did not know/)
          else expect(refused).toBeUndefined()
        })

        describe("once loaded", () => {
          beforeEach(skipUnlessPossible)
          if (has("bpftool") && existsSync("/sys/fs/bpf")) {
            it("the verifier's log, and bpftool's dumps", () => {
              const bytes = compile()
              const pin = `/sys/fs/bpf/effect_ebpf_${process.pid}_${name.replaceAll("-", "_")}`
              const loaded = spawnSync("bpftool", ["-d", "prog", "load", object, pin, "type", "socket"], {
                encoding: "utf8",
                maxBuffer: 1 << 26
              })
              // This kernel may be older than the instruction set, and bpffs may not be there.
              if (loaded.status !== 0) return
              try {
                const file = `${object}.xlated`
                run("bpftool", "prog", "dump", "xlated", "pinned", pin, "file", file)
                const rewritten = readFileSync(file)
                const log = /BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG/.exec(loaded.stdout + loaded.stderr)
                  ?.[1]
                if (log !== undefined && !calls) expect(read(log, bytes)).toBeUndefined()
                const opcodes = read(run("bpftool", "prog", "dump", "xlated", "pinned", pin, "opcodes"), rewritten)
                // A bpftool older than v4 writes a move for a move that extends the sign: bytes and words differ.
                if (cpu === "v4") expect(opcodes ?? "words for the bytes").toMatch(/words for the bytes/)
                else expect(opcodes).toBeUndefined()
                expect(read(run("bpftool", "prog", "dump", "xlated", "pinned", pin), rewritten)).toMatch(/or the bytes/)
              } finally {
                rmSync(pin, { force: true })
              }
            })
          }
        })
      })
    }
  }
}

if (compilers.length === 0) {
  it("is not tried: no clang with llvm-objdump and llvm-objcopy is installed", () => {})
}
