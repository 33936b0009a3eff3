package shard

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Places of a few digits are read by a loop, which has to come to the same bits as strconv: else a key near a cell's edge moved.
func TestDegreesAreThoseOfStrconv(t *testing.T) {
	texts := []string{"0", "-0", "-0.0", "0.1", "5.", ".5", "-.5", "90", "-180", "48.2082", "123456789012345", "12345678901.234",
		"1.23456789012345", "0.00000000000001", "999999999999999", "9007199254740993", "00048.2", "1e1", "+1"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		texts = append(texts, strconv.FormatFloat(random.Float64()*360-180, 'f', random.IntN(14), 64))
	}
	for _, text := range texts {
		want, err := strconv.ParseFloat(text, 64)
		got, ok := degrees([]byte(text))
		if err != nil || !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%s is %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", ".", "-", "-.", "1.2.3", "--1", "1-", "a", "0x10", "1_0", "NaN", "Inf", "1 2"} {
		if got, ok := degrees([]byte(text)); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}
