package shardkey

import (
	"bytes"
	"testing"
	"time"
)

// What was looked at once is not looked at again: a message that comes byte by byte takes time in proportion to its length, and not to its square.
func TestAMessageInPiecesTakesTimeInProportion(t *testing.T) {
	s := mustParse(t, "grpc:1.2", "")
	small := []byte{0x18, 1} // field 3: 1
	for name, message := range map[string]func(n int) []byte{
		"many fields": func(n int) []byte { return bytes.Repeat(small, n/2) },
		"many fields in a message on the way": func(n int) []byte {
			return append([]byte{0x0a, 0x80 | byte(n&0x7f), 0x80 | byte(n>>7&0x7f), byte(n >> 14)}, bytes.Repeat(small, n/2)...)
		},
		"a group with many fields": func(n int) []byte {
			return append(append([]byte{0x23}, bytes.Repeat(small, n/2)...), 0x24)
		},
	} {
		t.Run(name, func(t *testing.T) {
			took := func(n int) time.Duration {
				body := frame(false, message(n))
				least := time.Hour
				var x Extraction
				for range 3 {
					began := time.Now()
					x.Begin(s, &grpcHead)
					for i := range body {
						if o := x.Body(body[:i+1], false); o != NeedMore && o != Absent {
							t.Fatalf("%v after %d bytes", o, i+1)
						}
					}
					least = min(least, time.Since(began))
				}
				return least
			}
			const n = 8 << 10
			short, long := took(n), took(6*n)
			for range 4 { // a machine may have been busy with others; the square of six is 36 whenever one looks
				if long > 15*short {
					short, long = took(n), took(6*n)
				}
			}
			if long > 15*short {
				t.Errorf("%v for %d bytes, %v for six times as many", short, n, long)
			}
		})
	}
}
