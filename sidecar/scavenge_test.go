package sidecar

import (
	"fmt"
	"testing"
)

func TestScavengerCollectsOnceAfterEachFall(t *testing.T) {
	var s scavenger
	got := ""
	for _, open := range []int64{0, 100, 10, 0, 400, 4000, 3000, 2001, 1999, 1500, 1000, 900, 700, 300, 0, 600, 0, 700, 40, 3, 1, 2, 1, 3, 0, 3, 0} {
		if s.look(open) {
			got += fmt.Sprint(open, " ")
		}
	}
	if want := "1999 900 300 0 0 40 0 "; got != want {
		t.Errorf("it collected at %swant %s", got, want)
	}
}
