package h1

import "github.com/sluice-mesh/sluice/sidecar/loop"

// replay is the part of a request's body that came after its head's read, kept so that the request can be sent again. Only the pump
// adds to it.
type replay struct {
	buf   []byte // borrowed; nil while nothing came
	n     int    // bytes of the body in it
	limit int    // most bytes of the body; 0 keeps none
}

// Keep asks that the request's body be kept up to limit bytes, before the first Send. What comes with the head is there in any
// case and does not count.
func (x *Exchange) Keep(limit int) {
	if x.Request.Body == Length && x.rest > int64(limit) {
		return
	}
	x.replay.limit = limit
}

// InMemory reports whether the whole request, its body to the end, is there to be sent again.
func (x *Exchange) InMemory() bool {
	if x.whole {
		return true
	}
	if x.pump.consumed {
		return false
	}
	if x.Request.Body == Chunked {
		return x.chunks.Done()
	}
	return x.rest == 0
}

// room answers a buffer for the next bytes of the body behind those that are kept, or nil when no more are kept.
func (x *Exchange) room() []byte {
	k := &x.replay
	if x.pump.consumed || k.limit == 0 {
		return nil
	}
	if x.begun || k.n >= k.limit || k.n == len(k.buf) && !x.growReplay() {
		x.consume()
		return nil
	}
	return k.buf[k.n:min(len(k.buf), k.limit)]
}

func (x *Exchange) growReplay() bool {
	k, l := &x.replay, x.d.Conn.Loop()
	size := min(max(loop.Small, 4*len(k.buf)), k.limit)
	if x.Request.Body == Length && k.buf == nil {
		size = int(x.rest)
	}
	larger := l.Buffer(size)
	if !x.d.o.Memory.Take(len(larger) - len(k.buf)) {
		l.Release(larger)
		return false
	}
	copy(larger, k.buf[:k.n])
	l.Release(k.buf)
	k.buf = larger
	return true
}

// consume gives up keeping the body: the request cannot be sent again.
func (x *Exchange) consume() {
	x.pump.consumed = true
	x.forget()
}

// forget gives back what is kept.
func (x *Exchange) forget() {
	k := &x.replay
	if k.buf != nil {
		x.d.o.Memory.Give(len(k.buf))
		x.d.Conn.Loop().Release(k.buf)
	}
	*k = replay{}
	x.DropPrefix()
}
