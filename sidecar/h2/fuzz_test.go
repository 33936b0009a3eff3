package h2

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// player turns bytes into frames, most of them in order: what is random from the first byte on never gets beyond the first frame.
type player struct {
	b      []byte // what is left of the script
	out    []byte
	server bool
	ids    []uint32         // the streams it may speak of
	state  map[uint32]uint8 // bit 0: has sent a head, bit 1: has ended
	// What it has granted, at most: all windows as if they held from the beginning.
	mu            sync.Mutex
	initial, conn int64
	stream        map[uint32]int64
}

func newPlayer(b []byte, server bool) *player {
	return &player{b: b, server: server, state: map[uint32]uint8{}, initial: frame.DefaultWindow, conn: frame.DefaultWindow, stream: map[uint32]int64{},
		out: frame.AppendSettings(nil)}
}

func (p *player) next() byte {
	if len(p.b) == 0 {
		return 0
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

func (p *player) headers(id uint32, flags frame.Flags, block ...byte) {
	p.out = append(frame.Header{Length: uint32(len(block)), Type: frame.Headers, Flags: flags, Stream: id}.Append(p.out), block...)
}

// id picks a stream; one that it has not ended, if there is one among a few.
func (p *player) id() uint32 {
	if len(p.ids) == 0 {
		return 0
	}
	id := uint32(0)
	for range 4 {
		if id = p.ids[int(p.next())%len(p.ids)]; p.state[id]&2 == 0 {
			break
		}
	}
	return id
}

func (p *player) end(id uint32) frame.Flags {
	if p.next()%4 == 0 {
		p.state[id] |= 2
		return frame.EndStream
	}
	return 0
}

// step appends what the next bytes of the script say.
func (p *player) step() {
	op := p.next()
	id := p.id()
	if id == 0 || !p.server && op%4 == 0 {
		if p.server {
			return
		}
		id = uint32(2*len(p.ids) + 1)
		p.ids = append(p.ids, id)
		p.state[id] = 1
		block := []byte{0x82 + op>>4&1, 0x86, 0x84, 0x41, 1, 'w'}
		if op&0x20 != 0 {
			block = append(block, 0x0f, 0x0d, 2, '1', '0'+p.next()%10)
		}
		if op&0x80 != 0 {
			block = append(append(block, 0x0f, 0x10, 16), "application/grpc"...)
		}
		if op&0x40 != 0 { // in pieces
			p.headers(id, p.end(id), block[:2]...)
			p.out = append(frame.Header{Length: uint32(len(block) - 2), Type: frame.Continuation, Flags: frame.EndHeaders, Stream: id}.Append(p.out), block[2:]...)
			return
		}
		p.headers(id, frame.EndHeaders|p.end(id), block...)
		return
	}
	if p.server && p.state[id]&1 == 0 && op%8 != 0 { // an answer
		if op%8 == 1 {
			p.headers(id, frame.EndHeaders, 0x08, 3, '1', '0', '3')
			return
		}
		p.state[id] |= 1
		block := []byte{[]byte{0x88, 0x88, 0x89, 0x8b, 0x8d, 0x8e, 0x8e}[p.next()%7]} // 200, 200, 204, 304, 404, 500, 500
		if op&0x30 == 0 {
			block = append(block, 0x0f, 0x0d, 2, '1', '0'+p.next()%10) // content-length
		}
		p.headers(id, frame.EndHeaders|p.end(id), block...)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch op >> 3 % 16 {
	case 0, 1, 2, 3, 4:
		p.out = frame.AppendData(p.out, id, make([]byte, int(p.next())*[]int{1, 7, 64}[op%3]), p.end(id) != 0)
	case 5:
		b := append([]byte{3}, make([]byte, int(p.next())+3)...)
		p.out = append(frame.Header{Length: uint32(len(b)), Type: frame.Data, Flags: frame.Padded | p.end(id), Stream: id}.Append(p.out), b...)
	case 6, 7:
		n := uint32(p.next()) * 400
		p.initial = max(p.initial, int64(n))
		p.out = frame.AppendSettings(p.out, frame.Setting{ID: frame.InitialWindowSize, Value: n})
	case 8, 9:
		n := uint32(p.next())*500 + 1
		p.stream[id] += int64(n)
		p.out = frame.AppendWindowUpdate(p.out, id, n)
	case 10, 11:
		n := uint32(p.next())*500 + 1
		p.conn += int64(n)
		p.out = frame.AppendWindowUpdate(p.out, 0, n)
	case 12:
		p.state[id] |= 3
		p.out = frame.AppendResetStream(p.out, id, frame.Code(p.next()%14))
	case 13: // trailers
		p.state[id] |= 3
		if op%2 == 0 {
			p.headers(id, frame.EndHeaders|frame.EndStream, 0x40, 1, 'a', 1, 'b')
		} else {
			p.headers(id, frame.EndHeaders|frame.EndStream, append([]byte{0x40, 11}, "grpc-status\x0214"...)...)
		}
	case 14:
		switch op % 8 {
		case 0:
			p.out = frame.AppendGoAway(p.out, id, frame.Code(p.next()%14), "")
		case 1:
			p.out = frame.AppendSettings(p.out, frame.Setting{ID: frame.MaxConcurrentStreams, Value: uint32(p.next() % 8)})
		case 2:
			p.out = frame.AppendSettings(p.out, frame.Setting{ID: frame.HeaderTableSize, Value: uint32(p.next())})
		default:
			p.out = frame.AppendSettingsAck(p.out)
		}
	case 15: // anything
		if op%8 != 0 {
			return
		}
		h := frame.Header{Type: frame.Type(p.next() % 12), Flags: frame.Flags(p.next()), Stream: id}
		n := min(int(p.next()), len(p.b))
		h.Length = uint32(n)
		p.out = append(h.Append(p.out), p.b[:n]...)
		p.b = p.b[n:]
		p.conn += 1 << 40 // whatever it granted
	}
}

// flush sends what was appended.
func (p *player) flush(c net.Conn) {
	c.Write(p.out)
	p.out = p.out[:0]
}

// watch reads what the rig sends until the connection ends, and checks that no more data comes than was granted. heard is called with the
// streams of its HEADERS.
func (p *player) watch(c net.Conn, heard func(id uint32)) error {
	used, total := map[uint32]int64{}, int64(0)
	head := make([]byte, frame.HeaderLen)
	buf := make([]byte, 1<<20)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return nil
		}
		h := frame.Parse(head)
		if _, err := io.ReadFull(c, buf[:h.Length]); err != nil {
			return nil
		}
		if err := h.Check(frame.DefaultMaxSize); err != nil {
			return fmt.Errorf("the rig sent a frame that breaks a rule: %+v: %v", h, err)
		}
		switch h.Type {
		case frame.Data:
			used[h.Stream] += int64(h.Length)
			total += int64(h.Length)
			p.mu.Lock()
			over := total > p.conn || used[h.Stream] > p.stream[h.Stream]+p.initial && p.conn < 1<<40
			p.mu.Unlock()
			if over {
				return fmt.Errorf("the rig sent more data than was granted, on stream %d", h.Stream)
			}
		case frame.Settings:
			if h.Flags&frame.Ack == 0 {
				c.Write(frame.AppendSettingsAck(nil))
			}
		case frame.Headers:
			heard(h.Stream)
		}
	}
}

// sound checks what holds at any time of what is granted and counted. On the loop.
func (r *rig) sound() (err error) {
	note := func(format string, args ...any) {
		if err == nil {
			err = fmt.Errorf(format, args...)
		}
	}
	check := func(c *conn) {
		for id, x := range c.streams {
			p := c.role.pipeOf(x)
			if !p.ended && p.credit+p.owed+int64(p.waiting()-p.paid) != p.target {
				note("stream %d: credit %d, owed %d, waiting %d and paid %d are not %d", id, p.credit, p.owed, p.waiting(), p.paid, p.target)
			}
			if x.spare || p.x != x {
				note("stream %d: its exchange is not its own", id)
			}
		}
		if c.credit+c.owed != c.grant.target {
			note("connection: credit %d and owed %d are not %d", c.credit, c.owed, c.grant.target)
		}
		n := 0
		for p := c.blocked.first; p != nil; p = p.next {
			if n++; !p.inLine || p.x.spare {
				note("a pipe in line that should not be there")
			}
			if to, _ := p.to(); to != c {
				note("a pipe in line for another connection")
			}
		}
	}
	for d := range r.downs {
		check(&d.conn)
	}
	for _, e := range r.endpoints {
		for u := range e.ups {
			check(&u.conn)
		}
	}
	free := map[*Exchange]bool{}
	for _, x := range r.o.Memory.free {
		if free[x] || x.up != nil || x.down != nil || x.req.buf != nil || x.res.buf != nil || x.req.inLine || x.res.inLine {
			note("an exchange in the free list is in use, or there twice")
		}
		free[x] = true
	}
	return err
}

// arena is a rig for many runs of scripts.
type arena struct {
	*rig
	mu    sync.Mutex
	lines [][]byte // what the servers send, for each connection in turn
	errs  chan error
}

func newArena(t testing.TB) *arena {
	a := &arena{rig: newRig(t, 2, &Options{Memory: &Memory{Soft: 40_000, Hard: 2 << 20}, MaxStreams: 8, HeadLimit: 4096}), errs: make(chan error, 100)}
	// Less than there is to send, so that streams wait in line.
	a.serve = func(d *Downstream) { d.window = 3000 }
	a.dialed = func(u *Upstream) { u.window = 3000 }
	for _, e := range a.endpoints {
		go func() {
			for {
				c, err := e.ln.Accept()
				if err != nil {
					return
				}
				go a.play(c)
			}
		}()
	}
	a.await = true
	a.answer = func(x *Exchange, h Head) bool {
		_, held := x.Held()
		switch {
		case h.Status == 404 && x.Replayable(): // dropped for another
			x.Drop()
			a.send(x)
			return false
		case (h.Status == 500 || h.GRPC == 14) && x.Replayable() && !held:
			x.Hold()
			a.send(x)
			return false
		case h.Status == 304 && held:
			x.Adopt()
			return false
		}
		x.DropHeld()
		return true
	}
	return a
}

// play is a server: behind each request it says a few of its lines.
func (a *arena) play(c net.Conn) {
	defer c.Close()
	a.mu.Lock()
	p := newPlayer(a.lines[0], true)
	if len(a.lines) > 1 {
		a.lines = a.lines[1:]
	}
	a.mu.Unlock()
	io.ReadFull(c, make([]byte, len(frame.ClientPreface)))
	p.flush(c)
	err := p.watch(c, func(id uint32) {
		if p.state[id] == 0 {
			p.ids = append(p.ids, id)
		}
		for range 1 + p.next()%8 {
			p.step()
		}
		p.flush(c)
		if len(p.b) == 0 {
			c.Close() // so that nobody waits for an answer that the script does not have
		}
	})
	if err != nil {
		a.errs <- err
	}
}

// run has one client and the servers say their lines.
func (a *arena) run(t testing.TB, client []byte, servers ...[]byte) {
	a.t = t
	a.mu.Lock()
	a.lines = append(a.lines[:0], servers...)
	a.mu.Unlock()
	c, err := net.Dial("tcp", a.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayer(client, false)
	ended := make(chan error, 1)
	go func() { ended <- p.watch(c, func(uint32) {}) }()
	io.WriteString(c, frame.ClientPreface)
	for len(p.b) > 0 {
		for range 1 + p.next()%16 {
			p.step()
		}
		p.flush(c)
		a.on(func() { err = a.sound() })
		if err != nil {
			t.Fatal(err)
		}
	}
	a.on(func() { err = a.sound() })
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	left := ""
	if !a.soon(func() bool {
		a.hangUp()
		open := 0
		for x, k := range a.begun {
			if !k.done {
				open++
			} else {
				delete(a.begun, x)
			}
		}
		left = fmt.Sprint(a.l.BuffersOut(), " buffers, ", a.o.Memory.bytes, " bytes, ", open, " exchanges, ", len(a.downs), " clients, ", a.l.Live(), " coroutines")
		return a.l.BuffersOut() == 0 && a.o.Memory.bytes == 0 && open == 0 && len(a.downs) == 0
	}) {
		t.Fatalf("left over: %s", left)
	}
	select {
	case err := <-a.errs:
		t.Fatal(err)
	default:
	}
}

// FuzzRelay has a client and servers say anything to one another through the package: it never panics, hangs, keeps anything or sends more
// than was granted.
func FuzzRelay(f *testing.F) {
	rnd := rand.NewChaCha8([32]byte{7})
	for range 20 {
		c, s := make([]byte, 200), make([]byte, 200)
		rnd.Read(c)
		rnd.Read(s)
		f.Add(c, s)
	}
	a := newArena(f)
	f.Fuzz(func(t *testing.T, client, server []byte) { a.run(t, client, server) })
}

var scripts = flag.Int("scripts", 300, "how many scripts TestScripts plays")

// The same with fixed seeds, without the fuzzer.
func TestScripts(t *testing.T) {
	a := newArena(t)
	rnd := rand.NewChaCha8([32]byte{1})
	for i := range *scripts {
		n := 20 + i%800
		c, s, s2 := make([]byte, n), make([]byte, n), make([]byte, n)
		rnd.Read(c)
		rnd.Read(s)
		rnd.Read(s2)
		a.run(t, c, s, s2)
		if t.Failed() {
			t.Fatalf("in run %d", i)
		}
	}
	a.t = t
}
