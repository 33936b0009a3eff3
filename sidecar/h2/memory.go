package h2

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Memory counts what the connections of one loop hold for peers that do not take it yet, and keeps it in bounds. It also keeps exchanges
// to be used again.
//
// A receiver that is slow holds back what was granted to its sender: firstWindow a stream, and up to maxWindow once its bytes have flowed. With
// more than Soft held in all, all peers are told a small window (smallWindow), windows do not grow any more and shrink where bytes wait,
// connections take less before they hold data back, and requests' bodies are not kept for another attempt. Until a peer has acknowledged
// the small window it gets no more of its connection's credit. So what is held stays below
//
//	Soft + connWindow a connection that sends (what it may send before it has seen the small window) + smallWindow a stream
//
// which is 16 MiB + 100 × 256 KiB + 10,000 × 4 KiB = 80 MiB where 10,000 readers stall on 100 connections at once; 1 MiB a connection takes the
// place of 256 KiB where as much has gone on before. A peer that does not acknowledge SETTINGS is held by its old windows only. A request's body
// that its handler looks at (Watch) is granted what the look needs in any case, since nobody else takes it. With more than Hard held, new streams
// are refused.
//
// Counted are buffers by their size, pipes' and those of frames to be sent, and lists of fields; not what is being read, which is one
// buffer for each connection that bytes come on, and not the kernel's.
type Memory struct {
	// Soft is how many bytes may be held before windows become small, Hard before streams are refused; 0 is DefaultSoft and DefaultHard.
	Soft, Hard int

	bytes int
	peak  int
	free  []*Exchange

	l     *loop.Loop
	conns map[*conn]struct{}
	small bool  // peers are told the small window
	since int64 // when that was changed, on the loop's clock
	asked bool  // Flush will be called
	again bool  // … and is to wait for what this turn writes
}

// The defaults of Memory.
const (
	DefaultSoft = 16 << 20
	DefaultHard = 96 << 20
)

// smallTime is how long windows stay small at least, in nanoseconds, so that peers are not told one thing and the other all the time.
const smallTime = int64(time.Second)

// Bytes answers how many bytes are held.
func (m *Memory) Bytes() int { return m.bytes }

// Peak answers the most that were held at once.
func (m *Memory) Peak() int { return m.peak }

func (m *Memory) soft() int {
	if m.Soft == 0 {
		return DefaultSoft
	}
	return m.Soft
}

// tight reports whether nothing is to be held that can be avoided.
func (m *Memory) tight() bool { return m.small || m.bytes > m.soft() }

// full reports whether streams are to be refused.
func (m *Memory) full() bool {
	hard := m.Hard
	if hard == 0 {
		hard = DefaultHard
	}
	return m.bytes > hard
}

// window answers what a stream's window is to be at first.
func (m *Memory) window() int64 {
	if m.small {
		return smallWindow
	}
	return firstWindow
}

func (m *Memory) add(n int) {
	m.bytes += n
	m.peak = max(m.peak, m.bytes)
	if !m.asked && m.l != nil && m.turn() {
		m.asked, m.again = true, true
		m.l.AtTurnEnd(m)
	}
}

// turn reports whether the windows are not what they should be.
func (m *Memory) turn() bool {
	if m.small {
		return m.bytes < m.soft()/2
	}
	return m.bytes > m.soft()
}

// Flush changes the windows at the end of a turn, behind what the turn has written.
func (m *Memory) Flush() {
	if m.again {
		m.again = false
		m.l.AtTurnEnd(m)
		return
	}
	m.asked = false
	now := m.l.Now()
	if !m.turn() || m.small && now-m.since < smallTime {
		return
	}
	m.small, m.since = !m.small, now
	for c := range m.conns {
		if len(c.streams) > 0 {
			c.adjust() // the others are told when they have some
		}
	}
}

func (m *Memory) join(c *conn) {
	if m.conns == nil {
		m.conns = map[*conn]struct{}{}
	}
	m.l = c.l
	m.conns[c] = struct{}{}
}

func (m *Memory) leave(c *conn) { delete(m.conns, c) }

// maxFree bounds the exchanges kept.
const maxFree = 1024

func (m *Memory) keep(x *Exchange) {
	if len(m.free) < maxFree {
		m.free = append(m.free, x)
	}
}

// exchange answers one that is not in use.
func (m *Memory) exchange() *Exchange {
	k := len(m.free)
	if k == 0 {
		return &Exchange{}
	}
	x := m.free[k-1]
	m.free[k-1] = nil
	m.free = m.free[:k-1]
	return x
}
