package h2

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// answers has net/http serve an endpoint.
func (e *endpoint) answers(h http.HandlerFunc) {
	s := &http.Server{Handler: h, Protocols: &http.Protocols{}}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(e.ln)
	e.r.t.Cleanup(func() { s.Close() })
}

// absorb reads and acknowledges whatever comes, and returns no window. It calls f with each frame.
func (p *peer) absorb(f func(http2.Frame)) {
	for {
		fr, err := p.read()
		if err != nil {
			return
		}
		if f != nil {
			f(fr)
		}
	}
}

// stalled has conns clients ask for streams answers each and take nothing of them but their heads.
func stalled(t *testing.T, r *rig, conns, streams int) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Add(conns * streams)
	for range conns {
		c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for i := range streams {
			c.get(uint32(2*i + 1))
		}
		// Only now: it acknowledges SETTINGS, and one at a time may write.
		go c.absorb(func(f http2.Frame) {
			if f.Header().Type == http2.FrameHeaders {
				wg.Done()
			}
		})
	}
	wg.Wait()
}

func endless(w http.ResponseWriter, q *http.Request) {
	b := make([]byte, 32<<10)
	for q.Context().Err() == nil {
		if _, err := w.Write(b); err != nil {
			return
		}
	}
}

// 10,000 streams whose readers stall are held in the memory that the comment of Memory names, and do not keep others from their answers.
func TestTenThousandStalledReaders(t *testing.T) {
	const streams, mib = 100, 1 << 20
	conns := 100
	if loop.Implementation != "epoll" {
		conns = 20 // the race detector takes 8,128 goroutines
	}
	r := newRig(t, conns, nil)
	r.first = func(x *Exchange) int { return len(r.begun) % conns }
	big := make([]byte, 1*mib)
	for _, e := range r.endpoints {
		e.answers(func(w http.ResponseWriter, q *http.Request) {
			if q.Header.Get("x-innocent") != "" {
				w.Write(big)
				return
			}
			endless(w, q)
		})
	}
	stalled(t, r, conns, streams)
	bytes, peak := 0, 0
	settle := func() {
		r.eventually("what is held to settle", func() bool {
			before := bytes
			bytes, peak = r.o.Memory.Bytes(), r.o.Memory.Peak()
			return before == bytes && bytes > 0
		})
	}
	settle()
	bound := DefaultSoft + conns*connWindow + conns*streams*smallWindow
	t.Logf("%d stalled streams on %d connections: %.1f MiB held, %.1f MiB at the peak, %.1f MiB at most by reckoning",
		conns*streams, conns, float64(bytes)/mib, float64(peak)/mib, float64(bound)/mib)
	if peak > bound {
		t.Errorf("%d bytes were held at the peak, want at most %d", peak, bound)
	}
	// Somebody who reads gets what he asks for over the same connections.
	c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	c.WriteWindowUpdate(0, 1<<30)
	for i := range 10 {
		id := uint32(2*i + 1)
		c.get(id, "x-innocent=1")
		for n, got := 0, false; n < len(big) || !got; {
			switch f := c.next().(type) {
			case *http2.DataFrame:
				n += len(f.Data())
			case *http2.MetaHeadersFrame:
				got = true
			}
		}
	}
}

// Beyond the hard limit new streams are refused, which tells their clients that they may ask again.
func TestStreamsAreRefusedWhenMemoryIsFull(t *testing.T) {
	r := newRig(t, 1, &Options{Memory: &Memory{Soft: 64 << 10, Hard: 256 << 10}})
	r.endpoints[0].answers(endless)
	c := r.client()
	c.WriteWindowUpdate(0, 1<<20)
	refused := false
	for id := uint32(1); id < 400 && !refused; id += 2 {
		c.post(id) // its body is not sent, nor the answer taken beyond the first window
		for {
			f := c.next()
			if f.Header().StreamID == id && f.Header().Type == http2.FrameRSTStream {
				if f.(*http2.RSTStreamFrame).ErrCode != http2.ErrCodeRefusedStream {
					t.Fatalf("got %q", words(f))
				}
				refused = true
				break
			}
			if f.Header().StreamID == id && f.Header().Type == http2.FrameHeaders {
				break
			}
		}
	}
	if !refused {
		t.Error("no stream was refused")
	}
}

// Windows become small while memory is short, and what they were when it is not any more.
func TestWindowsFollowMemory(t *testing.T) {
	m := &Memory{Soft: 100 << 10}
	r := newRig(t, 1, &Options{Memory: m})
	c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c.get(1)
	s := r.server(0)
	s.auto = false
	s.want(asked("GET", 1)+" end", "")
	s.ok(1, false)
	s.fill(1, 65535, false)
	c.get(3)
	s.want(asked("GET", 3)+" end", "")
	s.ok(3, false)
	s.fill(3, 65535, false)
	said := func(p *peer, want uint32) {
		t.Helper()
		for {
			if f, ok := p.next().(*http2.SettingsFrame); ok && !f.IsAck() {
				if n, ok := f.Value(http2.SettingInitialWindowSize); !ok || n != want {
					t.Fatalf("SETTINGS said %d, want %d", n, want)
				}
				return
			}
		}
	}
	said(s, smallWindow)
	said(c, smallWindow)
	// What was on its way when the server learned of it is no error. Stream 5 is opened between SETTINGS and their acknowledgement.
	c.get(5)
	s.want(asked("GET", 5)+" end", "")
	s.ok(5, false)
	s.WriteSettingsAck()
	s.fill(5, smallWindow, false)
	s.silence("the small window is what a stream has from its acknowledgement on")
	// The readers take everything.
	for _, id := range []uint32{1, 3, 5} {
		c.WriteWindowUpdate(id, 1<<20)
	}
	c.WriteWindowUpdate(0, 1<<20)
	for n := 0; n < 2*65535+smallWindow; {
		if f, ok := c.next().(*http2.DataFrame); ok {
			n += len(f.Data())
		}
	}
	r.on(func() { m.since -= smallTime })
	s.WriteData(5, false, []byte("x"))
	said(s, firstWindow)
	s.WriteSettingsAck()
	s.silence("")
	// Each window is whole again: the server may send the difference to what it has sent in all.
	r.on(func() {
		for id, x := range r.endpoints[0].up.streams {
			if p := &x.res; p.credit+p.owed+int64(p.waiting()) != p.target || p.target < firstWindow {
				t.Errorf("stream %d: credit %d, owed %d, waiting %d, target %d", id, p.credit, p.owed, p.waiting(), p.target)
			}
		}
	})
	s.fill(5, smallWindow+1, true)
	c.collect(5, smallWindow+2)
	s.WriteData(1, true, nil)
	s.WriteData(3, true, nil)
	c.want(`DATA 1 "" end`, "")
	c.want(`DATA 3 "" end`, "")
}

// A body that the handler looks at before it sends the request goes on when windows become small, though its client has used up the small one many
// times over: nobody takes the body meanwhile, and nothing else would come that asks for more.
func TestABodyThatIsLookedAtGoesOnWhileMemoryIsShort(t *testing.T) {
	const size = 60_000
	for name, first := range map[string]int{"more than the small window was sent": 40_000, "less was": 1000} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1, &Options{Memory: &Memory{Soft: 60 << 10}})
			r.looks = true
			c := r.client()
			c.post(1)
			c.fill(1, first, false)
			c.post(3)
			c.fill(3, 40_000, false) // its buffer alone is more than may be held
			initial, sent := int64(0), map[uint32]int64{1: int64(first), 3: 40_000}
			for initial != smallWindow {
				if f, ok := c.next().(*http2.SettingsFrame); ok && !f.IsAck() {
					n, _ := f.Value(http2.SettingInitialWindowSize)
					initial = int64(n)
				}
			}
			for _, id := range []uint32{1, 3} {
				for sent[id] < size {
					n := min(initial+c.granted(id)-sent[id], size-sent[id])
					if n <= 0 {
						c.next()
						continue
					}
					sent[id] += n
					c.fill(id, int(n), sent[id] == size)
				}
			}
			s := r.server(0)
			s.WriteWindowUpdate(0, 1<<20)
			for _, id := range []uint32{1, 3} {
				s.want(asked("POST", id), "")
				s.collect(id, size)
				s.ok(id, true)
				c.want(fmt.Sprintf("HEADERS %d :status=200 end", id), "")
			}
		})
	}
}

// A peer that does not acknowledge the small window is held to the old ones, and does not hang for want of credit.
func TestAServerThatDoesNotAcknowledgeSettings(t *testing.T) {
	r := newRig(t, 1, &Options{Memory: &Memory{Soft: 50 << 10}})
	c := r.client()
	c.get(1)
	s := r.rude(0)
	s.auto = false
	s.WriteSettings()
	s.want(asked("GET", 1)+" end", "")
	s.ok(1, false)
	go c.absorb(func(f http2.Frame) {
		if f, ok := f.(*http2.DataFrame); ok && len(f.Data()) > 0 {
			c.WriteWindowUpdate(1, uint32(len(f.Data())))
			c.WriteWindowUpdate(0, uint32(len(f.Data())))
		}
	})
	c2 := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c2.get(1)
	s.want(asked("GET", 3)+" end", "")
	s.ok(3, false)
	s.fill(3, 65535, false) // stalls, and makes memory short
	// Stream 1 flows on, though the connection's credit is withheld for a while.
	for sent := int64(0); sent < 4*connWindow; {
		n := min(s.window[0]-sent-65535, s.window[1]+65535-sent, 16384)
		if n <= 0 {
			s.next()
			continue
		}
		s.WriteData(1, false, make([]byte, n))
		sent += n
	}
}

// What an idle connection costs.
func TestIdleConnectionsHoldNoBuffer(t *testing.T) {
	r := newRig(t, 1, nil)
	r.endpoints[0].answers(func(w http.ResponseWriter, q *http.Request) {})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	const n = 1000
	ask := func(c net.Conn) {
		b := []byte(frame.ClientPreface)
		b = frame.AppendSettings(b)
		b = frame.AppendSettingsAck(b)
		b = append(frame.Header{Length: 3, Type: frame.Headers, Flags: frame.EndHeaders | frame.EndStream, Stream: 1}.Append(b), 0x82, 0x86, 0x84)
		c.Write(b)
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	connect := func(k int) {
		for range k {
			c, err := net.Dial("tcp", r.addr.String())
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			ask(c)
			io.ReadAtLeast(c, make([]byte, 1000), 9+9+9+13+10) // until the answer is there
		}
		r.eventually("all streams to end", func() bool {
			open := 0
			for d := range r.downs {
				open += len(d.streams)
			}
			return open == 0 && len(r.downs) == len(conns) && r.l.BuffersOut() == 0
		})
	}
	connect(50)
	before := heap()
	connect(n)
	t.Logf("%d bytes an idle connection, with those of the test's own end", (heap()-before)/n)
}

// Readers that take nothing hold as much as a connection's whole window, and the streams beside them on the same two connections get theirs.
func TestStalledReadersBesideOthers(t *testing.T) {
	const stalled, innocents, size = 5, 20, 60_000
	r := newRig(t, 1, nil)
	c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c.WriteWindowUpdate(0, 1<<30)
	var s *peer
	sent := int64(0)
	answer := func(id uint32, n int, end bool) {
		t.Helper()
		c.get(id)
		if s == nil {
			s = r.server(0)
		}
		s.want(asked("GET", id)+" end", "")
		s.ok(id, false)
		c.want(fmt.Sprintf("HEADERS %d :status=200", id), "")
		for s.granted(0)-sent < int64(n) {
			s.next()
		}
		s.fill(id, n, end)
		sent += int64(n)
	}
	id := uint32(1)
	for range stalled {
		answer(id, 65535, false)
		id += 2
	}
	for range innocents {
		answer(id, size, true)
		c.WriteWindowUpdate(id, size)
		c.collect(id, size)
		id += 2
	}
	r.on(func() {
		if n := r.o.Memory.Bytes(); n < stalled*65535 {
			t.Errorf("%d bytes are held, of which the stalled streams alone have %d", n, stalled*65535)
		}
	})
	for i := range uint32(stalled) {
		c.WriteWindowUpdate(2*i+1, 65535)
		c.collect(2*i+1, 65535)
	}
}

// The same with requests' bodies, of which the endpoint takes none.
func TestStalledUploadsBesideOthers(t *testing.T) {
	const stalled, innocents, size = 5, 20, 60_000
	r := newRig(t, 1, nil)
	c := r.client()
	var s *peer
	sent := int64(0)
	upload := func(id uint32, n int, end bool) {
		t.Helper()
		c.post(id)
		if s == nil {
			s = r.server(0, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			s.WriteWindowUpdate(0, 1<<30)
		}
		s.want(asked("POST", id), "")
		s.silence("the body has not begun, and the endpoint's SETTINGS are known")
		for c.granted(0)-sent < int64(n) {
			c.next()
		}
		c.fill(id, n, end)
		sent += int64(n)
	}
	id := uint32(1)
	for range stalled {
		upload(id, 65535, false)
		id += 2
	}
	for range innocents {
		upload(id, size, true)
		s.WriteWindowUpdate(id, size)
		s.collect(id, size)
		s.ok(id, true)
		c.want(fmt.Sprintf("HEADERS %d :status=200 end", id), "")
		id += 2
	}
	for i := range uint32(stalled) {
		s.WriteWindowUpdate(2*i+1, 65535)
		s.collect(2*i+1, 65535)
	}
}

// Streams that wait for their connection's window take turns at what is granted: none is served before the others.
func TestStreamsTakeTurnsAtTheConnectionsWindow(t *testing.T) {
	const size = 65535
	r := newRig(t, 1, nil)
	c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	c.get(1)
	s := r.server(0)
	s.want(asked("GET", 1)+" end", "")
	s.ok(1, false)
	s.fill(1, size, true)
	c.want("HEADERS 1 :status=200", "")
	c.collect(1, size) // the connection's window is used up
	for _, id := range []uint32{3, 5} {
		c.get(id)
		s.want(asked("GET", id)+" end", "")
		s.ok(id, false)
		c.want(fmt.Sprintf("HEADERS %d :status=200", id), "")
		s.fill(id, size, true)
	}
	s.silence("what was sent is there")
	take := func(n int, got map[uint32]int) {
		c.WriteWindowUpdate(0, uint32(n))
		for n > 0 {
			if f, ok := c.next().(*http2.DataFrame); ok {
				got[f.StreamID] += len(f.Data())
				n -= len(f.Data())
			}
		}
	}
	got := map[uint32]int{}
	take(64<<10, got)
	if got[3] > 48<<10 || got[5] > 48<<10 {
		t.Errorf("of 64 KiB one stream got %d bytes, the other %d", got[3], got[5])
	}
	take(2*size-64<<10, got)
	if got[3] != size || got[5] != size {
		t.Errorf("one stream got %d bytes, the other %d, want %d each", got[3], got[5], size)
	}
}
