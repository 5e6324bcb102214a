// Fills perf rings of 16 MiB with 64-byte samples, and reads and decodes them with cilium/ebpf.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/perf"
)

const (
	ringSize = 16 << 20
	size     = 64
	samples  = (ringSize - 1) / 80
	fills    = 4
)

type event struct {
	pid, parent uint32
	time        uint64
	uid, code   uint32
	address     uint64
}

func check(good bool, what any) {
	if !good {
		fmt.Fprintln(os.Stderr, what)
		os.Exit(1)
	}
}

func decode(raw []byte, e *event) {
	e.pid = binary.LittleEndian.Uint32(raw)
	e.parent = binary.LittleEndian.Uint32(raw[4:])
	e.time = binary.LittleEndian.Uint64(raw[8:])
	e.uid = binary.LittleEndian.Uint32(raw[16:])
	e.code = binary.LittleEndian.Uint32(raw[20:])
	e.address = binary.LittleEndian.Uint64(raw[24:])
}

func main() {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.PerfEventArray})
	check(err == nil, err)
	instructions := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for i := int16(0); i < size/4; i++ {
		instructions = append(instructions, asm.StoreImm(asm.RFP, i*4-size, int64(i)+1, asm.Word))
	}
	instructions = append(instructions,
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.LoadMapPtr(asm.R2, m.FD()),
		asm.LoadImm(asm.R3, 0xffffffff, asm.DWord),
		asm.Mov.Reg(asm.R4, asm.RFP),
		asm.Add.Imm(asm.R4, -size),
		asm.Mov.Imm(asm.R5, size),
		asm.FnPerfEventOutput.Call(),
		asm.Return())
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, Instructions: instructions, License: "GPL"})
	check(err == nil, err)
	// A wake-up for each sample would be an interrupt for each, while the ring is filled.
	reader, err := perf.NewReaderWithOptions(m, ringSize, perf.ReaderOptions{Watermark: ringSize / 2})
	check(err == nil, err)
	var record perf.Record
	var e event
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var took time.Duration
		for fill := 0; fill < fills; fill++ {
			result, _, err := program.Benchmark(make([]byte, 14), samples, nil)
			check(err == nil && result == 0, "the last sample found no room")
			var sum uint32
			start := time.Now()
			for i := 0; i < samples; i++ {
				check(reader.ReadInto(&record) == nil, "ReadInto")
				decode(record.RawSample, &e)
				sum += e.pid
			}
			took += time.Since(start)
			check(sum == samples, "the sum of the samples")
		}
		fmt.Println(float64(took.Nanoseconds()) / fills / samples)
	}
}
