package hpack

import (
	"slices"
	"testing"
)

func TestWhatIsEncodedIsDecodedAgain(t *testing.T) {
	var e Encoder
	d := NewDecoder(4096)
	fields := []Field{{Name: ":status", Value: "200"}, {Name: "x", Value: "y"}, {Name: "authorization", Value: "z", Sensitive: true}}
	for range 3 {
		b := e.Begin(nil)
		for _, f := range fields {
			b = e.Append(b, f)
		}
		got, size, err := d.Decode(nil, b, 1<<20)
		if err != nil || size != 7+3+1+1+13+1+3*32 || !slices.Equal(got, fields) {
			t.Fatalf("%v, %d, %v", got, size, err)
		}
	}
}
