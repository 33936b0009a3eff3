package sidecar

import (
	"math"
	"testing"
)

func TestLoops(t *testing.T) {
	for _, c := range []struct {
		name  string
		cpus  int
		quota float64
		want  int
	}{
		{"a small machine without a quota", 1, 0, 1},
		{"two CPUs", 2, 0, 2},
		{"a node with 64 CPUs does not make 64 loops of each sidecar", 64, 0, 2},
		{"a tenth of a CPU", 64, 0.1, 1},
		{"below one and a half", 64, 1.49, 1},
		{"one and a half", 64, 1.5, 2},
		{"a large quota", 64, 16, 2},
	} {
		if got := loopsFor(c.cpus, c.quota); got != c.want {
			t.Errorf("%s: %d loops, want %d", c.name, got, c.want)
		}
	}
}

// Of three descriptors two are for connections of applications; there is always room for one. The crowd of test/bench has 12,004, with a limit
// of 20,000 descriptors.
func TestConnectionsForDescriptors(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 1, 64: 1, 66: 1, 68: 2, 1024: 640, 20_000: 13_290, 1 << 20: 699_008} {
		if got := connectionsFor(descriptors); got != want {
			t.Errorf("%d connections for %d descriptors, want %d", got, descriptors, want)
		}
	}
	if got := connectionsFor(math.MaxUint64); got < 1<<30 {
		t.Errorf("%d connections where descriptors are without limit", got)
	}
}
