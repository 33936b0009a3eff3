package h1

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httputil"
	"testing"
)

// What is looked at of a chunked body is what a reader of chunks reads, however the bytes came.
func TestPrefixOfChunksIsWhatAReaderReads(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var sent bytes.Buffer
		for range rnd.IntN(30) {
			data := make([]byte, 1+rnd.IntN(1<<rnd.IntN(14)))
			for i := range data {
				data[i] = "0123456789abcdef\r\n;{}"[rnd.IntN(21)]
			}
			fmt.Fprintf(&sent, []string{"%x\r\n%s\r\n", "%X;a=\"b\"\r\n%s\r\n"}[rnd.IntN(2)], len(data), data)
		}
		sent.WriteString([]string{"0\r\n\r\n", "0\r\nx-a: b\r\n\r\n"}[rnd.IntN(2)])
		body := sent.Bytes()
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		x := &Exchange{Request: &Request{Body: Chunked}, prefix: prefix{buf: make([]byte, PrefixMost)}}
		x.prefix.chunks.Reset(0, false)
		for rest := body; len(rest) > 0; {
			n := 1 + rnd.IntN(len(rest))
			if rnd.IntN(3) == 0 {
				n = min(n, 3)
			}
			x.copyPrefix(rest[:n])
			rest = rest[n:]
		}
		got, cut := x.prefix.buf[:x.prefix.n], len(want) > PrefixMost
		if !bytes.Equal(got, want[:min(len(want), PrefixMost)]) || x.prefix.cut != cut || x.prefix.taken != len(body) {
			t.Fatalf("seed %d: %d bytes of %d, cut off: %v", seed, len(got), len(want), x.prefix.cut)
		}
	}
}
