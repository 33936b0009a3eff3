package h1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// heads are messages that together reach every branch of the parser, right and wrong ones.
var heads = []string{
	typicalRequest,
	"GET / HTTP/1.0\r\n\r\n",
	"\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"GET /chat HTTP/1.1\r\nHost:\ta \r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\nX: a\tb\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
	"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer : x\r\nX: a\r\n  b\r\n\tc\r\n\r\nhello",
	"HTTP/1.0 200\nContent-Length: 5\nX: a\n b\n\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
}

// parsed is what a test compares of a parsed head.
func (r *Request) parsed() string {
	return fmt.Sprintf("%q %q %q %q %d %v %v %v %d %v %v %q %v %v", r.Head, r.Method, r.Target, r.Host, r.Minor, show(r.Fields),
		r.options, r.Body, r.Length, r.Persistent, r.ExpectContinue, r.Upgrade, r.h2c, r.other)
}

func (r *Response) parsed() string {
	return fmt.Sprintf("%q %d %d %v %v %v %d %v %q", r.Head, r.Status, r.Minor, show(r.Fields), r.options, r.Body, r.Length,
		r.Persistent, r.Upgrade)
}

func show(fields []Field) string {
	var s strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&s, "%q=%q@%d:%d ", f.Name, f.Value, f.Start, f.End)
	}
	return s.String()
}

// A head read in two parts, or byte by byte, or into a buffer that moves, gives what it gives in one.
func TestSplitsChangeNothing(t *testing.T) {
	for _, head := range heads {
		whole := func() string {
			b := []byte(head)
			var q Request
			n, err := q.Parse(b, 0)
			s := fmt.Sprint(n, err != nil, q.parsed())
			var r Response
			n, err = r.Parse(b, 0, nil)
			return s + fmt.Sprint(n, err != nil, r.parsed())
		}
		for _, moving := range []bool{false, true} {
			for cut := range len(head) {
				checkParts(t, head, moving, cut)
			}
			var every []int
			for i := range len(head) {
				every = append(every, i)
			}
			checkParts(t, head, moving, every...)
		}
		if a, b := whole(), whole(); a != b {
			t.Errorf("parsing is not repeatable: %q", head)
		}
	}
}

// checkParts parses head with ever more of it there, up to each of cuts and at last as a whole.
func checkParts(t *testing.T, head string, moving bool, cuts ...int) {
	t.Helper()
	var q0, q Request
	var r0, r Response
	qn0, qerr0 := q0.Parse([]byte(head), 0)
	rn0, rerr0 := r0.Parse([]byte(head), 0, nil)
	bq, br := []byte(head), []byte(head)
	var qn, rn int
	var qerr, rerr error
	for _, cut := range append(cuts, len(head)) {
		if moving {
			bq, br = bytes.Clone(bq), bytes.Clone(br)
		}
		if qn == 0 && qerr == nil {
			qn, qerr = q.Parse(bq[:cut], 0)
		}
		if rn == 0 && rerr == nil {
			rn, rerr = r.Parse(br[:cut], 0, nil)
		}
	}
	if qn != qn0 || fmt.Sprint(qerr) != fmt.Sprint(qerr0) || qerr == nil && q.parsed() != q0.parsed() {
		t.Fatalf("request %q cut at %v:\n got %d %v %s\nwant %d %v %s", head, cuts, qn, qerr, q.parsed(), qn0, qerr0, q0.parsed())
	}
	if rn != rn0 || fmt.Sprint(rerr) != fmt.Sprint(rerr0) || rerr == nil && r.parsed() != r0.parsed() {
		t.Fatalf("response %q cut at %v:\n got %d %v %s\nwant %d %v %s", head, cuts, rn, rerr, r.parsed(), rn0, rerr0, r0.parsed())
	}
}

func TestBegunTellsAnIdleConnectionFromOneWithAnUnfinishedHead(t *testing.T) {
	tests := []struct {
		name  string
		in    string
		begun bool
	}{
		{"nothing", "", false},
		{"empty lines", "\r\n\r\n", false},
		{"a letter", "G", true},
		{"a request line", "GET / HTTP/1.1\r\n", true},
		{"an empty line and a letter", "\r\nG", true},
		{"a whole head", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Request
			if _, err := r.Parse([]byte(tt.in), 0); err != nil {
				t.Fatal(err)
			}
			if r.Begun() != tt.begun {
				t.Errorf("Begun is %v, want %v", r.Begun(), tt.begun)
			}
		})
	}
}

// A megabyte of head that comes byte by byte must not be read a million times: as one line, and as many.
func TestTricklingHeadsCostLinearTime(t *testing.T) {
	const size = 256 << 10
	for name, head := range map[string]string{
		"one long target":      "GET /" + strings.Repeat("x", size) + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"one long value":       "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", size) + "\r\n\r\n",
		"a thousand fields":    "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+strings.Repeat("y", 250)+"\r\n", 1000) + "\r\n",
		"a value folded often": "HTTP/1.1 200 OK\r\nX: a\r\n" + strings.Repeat(" b\r\n", size/4) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := []byte(head)
			var parse func(n int) (int, error)
			if strings.HasPrefix(head, "GET") {
				var r Request
				parse = func(n int) (int, error) { return r.Parse(b[:n], 8*size) }
			} else {
				var r Response
				parse = func(n int) (int, error) { return r.Parse(b[:n], 8*size, nil) }
			}
			start := time.Now()
			for n := 1; n < len(b); n++ {
				if got, err := parse(n); got != 0 || err != nil {
					t.Fatal(n, got, err)
				}
			}
			if n, err := parse(len(b)); n != len(b) || err != nil {
				t.Fatal(n, err)
			}
			// Linear: some 30 ns a call. Quadratic: 256 KiB times 128 KiB, seconds even at eight bytes a nanosecond.
			if d := time.Since(start); d > 2*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestLimitsCountFromTheFirstByteAndIgnoreWhatFollows(t *testing.T) {
	head := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for limit := 1; limit <= len(head)+1; limit++ {
		var r Request
		n, err := r.Parse([]byte(head+"next request"), limit)
		reason, _ := ReasonOf(err)
		switch {
		case limit >= len(head):
			if n != len(head) || err != nil {
				t.Errorf("limit %d: %d, %v", limit, n, err)
			}
		case limit >= len("GET / HTTP/1.1\r\n"):
			if reason != HeadTooLarge || reason.Status() != 431 {
				t.Errorf("limit %d: %v, want %q and 431", limit, err, HeadTooLarge)
			}
		default:
			if reason != LineTooLong || reason.Status() != 414 {
				t.Errorf("limit %d: %v, want %q and 414", limit, err, LineTooLong)
			}
		}
	}
}

func TestNoAllocationsInSteadyState(t *testing.T) {
	request := []byte(typicalRequest)
	rewritten := []byte("GET / HTTP/1.0\r\nHost: a\r\nConnection: close, TE\r\nUpgrade: h2c\r\n\r\n")
	response := []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
	chunks := []byte("5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
	var (
		q       Request
		r       Response
		c       Chunks
		segs    = make([][]byte, 0, 8)
		scratch = make([]byte, 0, 256)
		answer  = make([]byte, 0, 512)
	)
	run := func() {
		for _, head := range [][]byte{request, rewritten} {
			if _, err := q.Parse(head, 0); err != nil {
				t.Fatal(err)
			}
			segs, scratch = q.AppendUpstream(segs[:0], scratch[:0])
		}
		if _, err := r.Parse(response, 0, q.Method); err != nil {
			t.Fatal(err)
		}
		segs, scratch = r.AppendDownstream(segs[:0], scratch[:0], q.Minor, true)
		c.Reset(0, false)
		if _, done, err := c.Scan(chunks); !done || err != nil {
			t.Fatal(done, err)
		}
		answer = AppendAnswer(answer[:0], 503, "no endpoint", false)
		q.Reset()
		r.Reset()
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations a run, want none", n)
	}
}
