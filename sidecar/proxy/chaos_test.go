package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
)

// pattern is n bytes that belong to an id.
func pattern(id, n int) []byte {
	b := make([]byte, n)
	io.ReadFull(newNoise(uint64(id), int64(n)), b)
	return b
}

// bodySize draws the size of a body: mostly small, at times beyond what buffers and splice thresholds are.
func bodySize(rng *rand.Rand) int {
	switch rng.IntN(8) {
	case 0:
		return 0
	case 1, 2:
		return 3_000 + rng.IntN(3_000)
	case 3:
		return 16<<10 - 100 + rng.IntN(200)
	case 4:
		return 64<<10 - 100 + rng.IntN(200)
	case 5:
		return rng.IntN(700_000)
	}
	return rng.IntN(100)
}

// encode writes a body the way its head says it comes.
func encode(rng *rand.Rand, body []byte, chunked bool) []byte {
	if !chunked {
		return body
	}
	var b bytes.Buffer
	for len(body) > 0 {
		n := 1 + rng.IntN(len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

// trickle writes b in uneven pieces, and reports whether it all went.
func trickle(rng *rand.Rand, c net.Conn, b []byte) bool {
	for len(b) > 0 {
		n := len(b)
		if rng.IntN(3) > 0 {
			n = 1 + rng.IntN(n)
		}
		if _, err := c.Write(b[:n]); err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// differAt says where two bodies begin to differ, and where they end to.
func differAt(got, want []byte) string {
	n := min(len(got), len(want))
	first, last := 0, n-1
	for first < n && got[first] == want[first] {
		first++
	}
	for last > first && got[last] == want[last] {
		last--
	}
	return fmt.Sprintf("different from byte %d to %d: %.32x…, want %.32x…", first, last, got[min(first, len(got)):], want[min(first, len(want)):])
}

// part cuts b anywhere.
func part(rng *rand.Rand, b []byte) []byte { return b[:rng.IntN(len(b)+1)] }

// chaos is a server that does everything servers do.
func chaos(t *testing.T, seed uint64) netip.AddrPort {
	return newServer(t, func(n int, c *net.TCPConn) {
		c.SetDeadline(time.Now().Add(patience))
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			id, _ := strconv.Atoi(req.URL.Path[1:])
			want, _ := strconv.Atoi(req.Header.Get("X-Size"))
			size, chunked := bodySize(rng), rng.IntN(2) == 0
			head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %d\r\nX-Size: %d\r\n", id, size)
			if chunked {
				head += "Transfer-Encoding: chunked\r\n\r\n"
			} else {
				head += fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
			}
			answer := append([]byte(head), encode(rng, pattern(id+1, size), chunked)...)
			if rng.IntN(4) == 0 {
				answer = append([]byte("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), answer...)
			}
			read := func() bool {
				body, err := io.ReadAll(req.Body)
				if err == nil && !bytes.Equal(body, pattern(id, want)) {
					t.Errorf("seed %d: request %d came with another body: %d bytes, want %d, %s", seed, id, len(body), want, differAt(body, pattern(id, want)))
				}
				return err == nil
			}
			switch rng.IntN(16) {
			case 0: // reset, request unread
				c.SetLinger(0)
				return
			case 1: // close, request unread
				return
			case 2: // cut the answer
				trickle(rng, c, part(rng, answer))
				return
			case 3:
				trickle(rng, c, part(rng, answer))
				c.SetLinger(0)
				return
			case 4: // answer, then read
				if !trickle(rng, c, answer) || !read() {
					return
				}
			case 5: // answer, and close without reading
				trickle(rng, c, answer)
				return
			case 6: // close behind an answer that promised otherwise
				if read() {
					trickle(rng, c, answer)
				}
				return
			case 7: // close as promised
				if read() {
					trickle(rng, c, bytes.Replace(answer, []byte("X-Id"), []byte("Connection: close\r\nX-Id"), 1))
				}
				return
			case 8: // until close
				if read() {
					trickle(rng, c, append([]byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %d\r\nX-Size: %d\r\n\r\n", id, size)), pattern(id+1, size)...))
				}
				return
			default:
				if !read() || !trickle(rng, c, answer) {
					return
				}
			}
		}
	}).addr
}

// Clients and servers do everything they can do wrong, at random, at once. Whatever arrives whole is right, nothing hangs, and
// nothing stays behind.
func TestChaos(t *testing.T) {
	seeds, connections := 6, 60
	if testing.Short() {
		seeds = 2
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newRig(t)
			r.on(func() { r.w.silence = 50 * time.Microsecond })
			r.serve(chaos(t, seed), chaos(t, seed+100), chaos(t, seed+200))
			var wg sync.WaitGroup
			for k := range 8 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					rng := rand.New(rand.NewPCG(seed, uint64(1000+k)))
					for i := range connections {
						c, err := net.Dial("tcp", r.addr.String())
						if err != nil {
							t.Error(err)
							return
						}
						c.SetDeadline(time.Now().Add(patience))
						chaoticClient(t, rng, c.(*net.TCPConn), (k*connections+i)*100)
						c.Close()
					}
				}()
			}
			wg.Wait()
		})
	}
}

// The loop is stopped in the middle of it: everything ends, at once.
func TestStopInTheMiddleOfChaos(t *testing.T) {
	for seed := range uint64(5) {
		r := newRig(t)
		r.on(func() { r.w.silence = 50 * time.Microsecond })
		r.serve(chaos(t, seed), chaos(t, seed+100))
		if seed%2 == 1 {
			r.with(chaoticRules)
		}
		var wg sync.WaitGroup
		for k := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				rng := rand.New(rand.NewPCG(seed, uint64(1000+k)))
				for i := 0; ; i++ {
					c, err := net.Dial("tcp", r.addr.String())
					if err != nil {
						return // the listener is gone
					}
					c.SetDeadline(time.Now().Add(patience))
					chaoticClient(t, rng, c.(*net.TCPConn), k*10_000+i*100)
					c.Close()
				}
			}()
		}
		r.eventually("some answers", func() bool { return r.attempts(classify.Answered) >= 20*(seed+1) })
		r.on(func() { r.w.Close() })
		r.l.Stop()
		select {
		case <-r.l.Done():
		case <-time.After(patience):
			t.Fatalf("seed %d: the loop does not end", seed)
		}
		wg.Wait()
		if n := r.m.Loop(0).Open.Load() + r.m.Loop(0).Upstreams.Load() + r.m.Loop(0).Idle.Load(); n != 0 {
			t.Errorf("seed %d: %d connections count as there", seed, n)
		}
		if n := r.l.BuffersOut(); n != 0 {
			t.Errorf("seed %d: %d buffers are lent", seed, n)
		}
		r.stopped = true
	}
}

// chaoticClient sends a few requests on a connection, ends it in one of many ways, and checks what comes whole.
func chaoticClient(t *testing.T, rng *rand.Rand, c *net.TCPConn, first int) {
	n := 1 + rng.IntN(4)
	var all []byte
	for i := range n {
		size, chunked := bodySize(rng), rng.IntN(2) == 0
		method := []string{"GET", "POST", "PUT"}[rng.IntN(3)]
		if method == "GET" {
			size, chunked = 0, false
		}
		head := fmt.Sprintf("%s /%d HTTP/1.1\r\nHost: web\r\nX-Size: %d\r\n", method, first+i, size)
		if chunked {
			head += "Transfer-Encoding: chunked\r\n\r\n"
		} else {
			head += fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
		}
		all = append(all, head...)
		all = append(all, encode(rng, pattern(first+i, size), chunked)...)
	}
	end := rng.IntN(8)
	sent := make(chan struct{})
	send := rand.New(rand.NewPCG(rng.Uint64(), 1))
	go func() {
		defer close(sent)
		switch end {
		case 0: // reset within what is sent
			trickle(send, c, part(send, all))
			c.SetLinger(0)
			c.Close()
		case 1: // FIN within it
			trickle(send, c, part(send, all))
			c.CloseWrite()
		case 2: // gone within it
			trickle(send, c, part(send, all))
			c.Close()
		case 3: // FIN behind it
			trickle(send, c, all)
			c.CloseWrite()
		default:
			trickle(send, c, all)
		}
	}()
	defer func() { <-sent }()
	br := bufio.NewReaderSize(c, 1+rng.IntN(20_000))
	for i := range n {
		if end == 4 && rng.IntN(2) == 0 { // leave without reading the rest
			c.SetLinger(0)
			c.Close()
			return
		}
		resp, err := http.ReadResponse(br, nil)
		for err == nil && resp.StatusCode == 103 {
			resp, err = http.ReadResponse(br, nil)
		}
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("request %d hangs", first+i)
			}
			return
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Errorf("the answer to request %d hangs", first+i)
			}
			return
		}
		if resp.StatusCode != 200 {
			size, err := strconv.Atoi(resp.Header.Get("X-Size"))
			if theirs := err == nil && bytes.Equal(body, pattern(1, size)); !theirs && !strings.HasPrefix(string(body), "sluice: ") {
				t.Errorf("request %d: %s %q", first+i, resp.Status, short(string(body)))
			}
			continue
		}
		size, _ := strconv.Atoi(resp.Header.Get("X-Size"))
		until := resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 // ends with the connection, be it cut
		if id := resp.Header.Get("X-Id"); id != fmt.Sprint(first+i) || !until && len(body) != size || !bytes.HasPrefix(pattern(first+i+1, size), body) {
			t.Errorf("request %d got the answer to %s, %d bytes of %d", first+i, id, len(body), size)
		}
	}
}
