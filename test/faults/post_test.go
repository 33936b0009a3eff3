package main

import (
	"maps"
	"testing"
)

func TestEffectsAreReadAsTheyWereWritten(t *testing.T) {
	e := parseEffects("1\n2\n\n1\n")
	if e.Requests != 4 || !maps.Equal(e.Done, map[string]int{"1": 2, "2": 1}) {
		t.Errorf("got %+v", e)
	}
	if e := parseEffects(""); e.Requests != 0 || len(e.Done) != 0 {
		t.Errorf("of nothing: %+v", e)
	}
}
