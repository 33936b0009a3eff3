package sidecar

import "testing"

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
