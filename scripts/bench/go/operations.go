// One operation of cilium/ebpf on every key of a hash map of 10,000 entries, ten times: operations OPERATION VALUE_SIZE.
// Keys and values are passed as pointers, the way that copies and allocates least.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
)

const (
	entries    = 10000
	times      = 10
	operations = entries * times
	sumOfKeys  = entries * (entries - 1) / 2
	high       = 1 << 33
)

var (
	m     *ebpf.Map
	key   uint64
	value [8]uint64
	last  int
)

func check(good bool, what string) {
	if !good {
		fmt.Fprintln(os.Stderr, what)
		os.Exit(1)
	}
}

func setValue(n uint64) {
	for i := 0; i <= last; i++ {
		value[i] = n
		if i >= 4 {
			value[i] += high
		}
	}
}

func update() {
	check(m.Update(unsafe.Pointer(&key), unsafe.Pointer(&value), ebpf.UpdateAny) == nil, "Update")
}

func fill() {
	for key = 0; key < entries; key++ {
		setValue(key * 3)
		update()
	}
}

func lookUpAll() time.Duration {
	var sum uint64
	start := time.Now()
	for i := uint64(0); i < operations; i++ {
		key = i % entries
		check(m.Lookup(unsafe.Pointer(&key), unsafe.Pointer(&value)) == nil, "Lookup")
		sum += value[last]
	}
	took := time.Since(start)
	expected := uint64(times * 3 * sumOfKeys)
	if last > 0 {
		expected += operations * high
	}
	check(sum == expected, "the sum of the values")
	return took
}

func updateAll() time.Duration {
	setValue(0)
	start := time.Now()
	for i := uint64(0); i < operations; i++ {
		key = i % entries
		value[last] = i
		update()
	}
	return time.Since(start)
}

func deleteAll() time.Duration {
	var took time.Duration
	for round := 0; round < times; round++ {
		fill()
		start := time.Now()
		for key = 0; key < entries; key++ {
			check(m.Delete(unsafe.Pointer(&key)) == nil, "Delete")
		}
		took += time.Since(start)
	}
	return took
}

func nextAll() time.Duration {
	var next, sum uint64
	start := time.Now()
	for round := 0; round < times; round++ {
		err := m.NextKey(nil, unsafe.Pointer(&next))
		for ; err == nil; err = m.NextKey(unsafe.Pointer(&key), unsafe.Pointer(&next)) {
			key = next
			sum += key
		}
		check(errors.Is(err, ebpf.ErrKeyNotExist), "NextKey")
	}
	took := time.Since(start)
	check(sum == times*sumOfKeys, "every key")
	return took
}

func main() {
	rounds := map[string]func() time.Duration{"lookup": lookUpAll, "update": updateAll, "delete": deleteAll, "next": nextAll}
	size := uint32(8)
	if os.Args[2] == "64" {
		size = 64
	}
	last = int(size)/8 - 1
	var err error
	m, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: size, MaxEntries: entries})
	check(err == nil, "NewMap")
	fill()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(float64(rounds[os.Args[1]]().Nanoseconds()) / operations)
	}
}
