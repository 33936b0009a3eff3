package hpack

import (
	"strconv"
	"testing"
)

// What nginx sends with every response: literals without indexing.
func TestLiteralsThatComeAgainCostNoAllocation(t *testing.T) {
	block := []byte{0x08, 3, '2', '0', '0'}                              // :status 200, name by index
	block = append(block, 0x00, 6, 's', 'e', 'r', 'v', 'e', 'r', 1, 'n') // server: n
	d := NewDecoder(4096)
	var fields []Field
	n := testing.AllocsPerRun(100, func() {
		var err error
		if fields, _, err = d.Decode(fields[:0], block, 1000); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 || len(fields) != 2 || fields[0].Value != "200" || fields[1].Name != "server" || fields[1].Value != "n" {
		t.Errorf("%v allocations for %v", n, fields)
	}
}

func TestStringsThatFallOnTheSamePlaceStayApart(t *testing.T) {
	r := newRecent()
	var kept []string
	for i := range 1000 {
		kept = append(kept, r.of([]byte{byte(i), byte(i >> 8)}))
	}
	for i, s := range kept {
		if s != string([]byte{byte(i), byte(i >> 8)}) {
			t.Fatalf("string %d became %q", i, s)
		}
	}
}

// Eight fields that every message brings, and two that are never the same: whatever the seed, those two alone are made anew. (The empty
// string needs none.)
func TestStringsThatComeOnceDoNotPushOutOthers(t *testing.T) {
	const seeds, messages = 300, 50
	for range seeds {
		r := newRecent()
		unique := 0
		b := make([]byte, 0, 32)
		message := func() {
			for i := range 8 {
				b = strconv.AppendInt(append(b[:0], "field-"...), int64(i), 10)
				r.of(b)
			}
			for range 2 {
				unique++
				b = strconv.AppendInt(append(b[:0], "id-"...), int64(unique), 10)
				r.of(b)
			}
		}
		for range 5 {
			message()
		}
		if n := testing.AllocsPerRun(messages, message); n > 2.1 {
			t.Fatalf("%v allocations a message, want 2", n)
		}
	}
}
