// Loads the kernel's types and reads the names of task_struct's members, once, and prints how many milliseconds it took.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf/btf"
)

func main() {
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
	fmt.Println(float64(took.Nanoseconds()) / 1e6)
}
