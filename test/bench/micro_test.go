package main

import (
	"maps"
	"testing"
)

func TestTheDearestOfEachKindCounts(t *testing.T) {
	v := make(values)
	for _, report := range []string{"BenchmarkPick/rr/plain/10000-2   \t 1000\t 12.5 ns/op\t 0 B/op\t 0 allocs/op\nBenchmarkPick/sh/weighted/10000-2 1000 200 ns/op 0 B/op 0 allocs/op\nBenchmarkPick/sh/weighted/10000-2 1000 60.1 ns/op 0 B/op 0 allocs/op\nPASS\n",
		"BenchmarkOwner/ring/10000 1000 17 ns/op 0 B/op 0 allocs/op\nBenchmarkOwner/s2/10000 1000 200 ns/op 0 B/op 0 allocs/op\n" +
			"BenchmarkChange/maglev/10000-2 100 4500000 ns/op 614400 B/op 12 allocs/op\nBenchmarkChange/s2/10000-2 100 1000000 ns/op 100 B/op 12 allocs/op\n"} {
		if err := dearest(v, report); err != nil {
			t.Fatal(err)
		}
	}
	want := values{"pick_ns": 60.1, "owner_ns": 17, "place_ns": 200, "change_ms": 4.5, "change_kib": 600}
	if !maps.Equal(v, want) {
		t.Errorf("got %v, want %v", v, want)
	}
}
