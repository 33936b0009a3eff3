package retry

import "sync/atomic"

// Memory bounds what a process keeps of requests' bodies so that they can be sent again. Safe for concurrent use. A nil one is
// without bound.
type Memory struct {
	most    int64
	used    atomic.Int64
	refused atomic.Uint64
}

// MemoryMost is the bound where nothing else is asked for: 256 bodies of 64 KiB.
const MemoryMost = 16 << 20

// NewMemory makes one of at most that many bytes.
func NewMemory(most int64) *Memory { return &Memory{most: most} }

// Take asks for n bytes and reports whether they are granted; what was granted is to be given back.
func (m *Memory) Take(n int) bool {
	if m == nil {
		return true
	}
	if m.used.Add(int64(n)) > m.most {
		m.used.Add(int64(-n))
		m.refused.Add(1)
		return false
	}
	return true
}

// Give gives n bytes back.
func (m *Memory) Give(n int) {
	if m != nil {
		m.used.Add(int64(-n))
	}
}

// Stats answers how many bytes are taken now, and how often some were refused.
func (m *Memory) Stats() (used int64, refused uint64) {
	if m == nil {
		return 0, 0
	}
	return m.used.Load(), m.refused.Load()
}
