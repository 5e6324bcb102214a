// Loads the kernel's types and reads the names of task_struct's members, once, and prints how many milliseconds it took, or
// for `memory` by how many MB the process's own pages grew, after garbage was collected.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf/btf"
)

func ownPages() float64 {
	debug.FreeOSMemory()
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kilobytes, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kilobytes / 1e3
}

func main() {
	memory := len(os.Args) > 1 && os.Args[1] == "memory"
	before := 0.0
	if memory {
		before = ownPages()
	}
	start := time.Now()
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var task *btf.Struct
	if err := spec.TypeByName("task_struct", &task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	length := 0
	for _, member := range task.Members {
		length += len(member.Name)
	}
	took := time.Since(start)
	if length < 1000 {
		os.Exit(3)
	}
	if memory {
		fmt.Println(ownPages() - before)
		runtime.KeepAlive(spec)
		return
	}
	fmt.Println(float64(took.Nanoseconds()) / 1e6)
}
