package h1

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// seedMessages are what the other tests use, so that fuzzing starts where they end.
func seedMessages(f *testing.F, file ...string) [][]byte {
	var seeds [][]byte
	for _, h := range heads {
		seeds = append(seeds, []byte(h))
	}
	m := messages{rand.New(rand.NewPCG(5, 6))}
	for range 50 {
		seeds = append(seeds, []byte(m.request()), []byte(m.response()))
	}
	for _, name := range file {
		for _, v := range readVectors(f, name) {
			seeds = append(seeds, v.bytes())
		}
	}
	return seeds
}

// FuzzRequest checks of any bytes: that how they are cut changes nothing; that views lie where they say; and of accepted
// ones: that net/http finds the same end, and that rewriting keeps what it must.
func FuzzRequest(f *testing.F) {
	for _, s := range seedMessages(f, "llhttp.json", "desync-guardian.json") {
		f.Add(s, len(s)/2)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		checkParts(t, string(in), cut&1 == 1, cutAt(in, cut)...)
		checkTwinRequest(t, in)
		var r Request
		n, err := r.Parse(in, 0)
		if n == 0 || err != nil {
			return
		}
		if n > len(in) || !bytes.HasSuffix(in[:n], r.Head) || bytes.ContainsRune(r.Head, 0) {
			t.Fatalf("head %q of %q", r.Head, in[:n])
		}
		checkFields(t, r.Head, r.Fields)
		checkUpstream(t, &r)
	})
}

// FuzzResponse is FuzzRequest for responses.
func FuzzResponse(f *testing.F) {
	for i, s := range seedMessages(f) {
		f.Add(s, len(s)/2, i%3 == 0)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		checkParts(t, string(in), cut&1 == 1, cutAt(in, cut)...)
		checkTwinResponse(t, in, method)
		var r Response
		n, err := r.Parse(in, 0, []byte(method))
		if n == 0 || err != nil {
			return
		}
		if n > len(in) || len(r.Head) != n || bytes.ContainsRune(r.Head, 0) {
			t.Fatalf("head %q of %q", r.Head, in[:n])
		}
		checkFields(t, r.Head, r.Fields)
		checkDownstream(t, &r, []byte(method))
	})
}

func cutAt(in []byte, cut int) []int {
	if len(in) == 0 {
		return nil
	}
	return []int{int(uint(cut) % uint(len(in)))}
}

// checkFields checks that the lines of fields follow each other without gaps between first line and empty line, and that
// name and value lie in their line.
func checkFields(t *testing.T, head []byte, fields []Field) {
	t.Helper()
	at := bytes.IndexByte(head, '\n') + 1
	for _, f := range fields {
		line := head[f.Start:f.End]
		if f.Start != at || !bytes.HasPrefix(line, f.Name) || !bytes.Contains(line[len(f.Name)+1:], f.Value) || line[len(f.Name)] != ':' {
			t.Fatalf("field %q: %q is said to be %q", f.Name, f.Value, line)
		}
		at = f.End
	}
	if rest := head[at:]; len(rest) > 2 {
		t.Fatalf("%q behind the last field", rest)
	}
}

// FuzzChunks checks that cutting a body anywhere changes nothing, and that net/http decodes what we accept to the same end.
func FuzzChunks(f *testing.F) {
	m := messages{rand.New(rand.NewPCG(7, 8))}
	for range 50 {
		f.Add([]byte(m.body()), 3, false)
	}
	f.Add([]byte("5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\nnext"), 9, true)
	f.Fuzz(func(t *testing.T, in []byte, cut int, response bool) {
		var whole Chunks
		whole.Reset(1000, response)
		n, done, err := whole.Scan(in)
		want, _ := ReasonOf(err)

		var c Chunks
		c.Reset(1000, response)
		at := 0
		for _, end := range append(cutAt(in, cut), len(in)) {
			if end < at {
				continue
			}
			k, partDone, partErr := c.Scan(in[at:end])
			at += k
			if partErr != nil {
				if got, _ := ReasonOf(partErr); got != want {
					t.Fatalf("%q cut at %d: %q, want %q", in, cut, got, want)
				}
				return
			}
			if partDone {
				break
			}
		}
		if err != nil || at != n || c.Done() != done || c.Remaining() != whole.Remaining() {
			t.Fatalf("%q cut at %d: %d done %v, want %d %v %v", in, cut, at, c.Done(), n, done, err)
		}
		if done {
			checkTwinRequest(t, append([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), in...))
			checkTwinResponse(t, append([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), in...), "GET")
		}
	})
}
