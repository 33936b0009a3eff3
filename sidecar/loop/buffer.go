package loop

// Buffers are borrowed while bytes are in flight and given back when a connection goes idle, so that an idle connection
// holds none. A loop keeps a bounded number of free ones of each size; the rest goes to the garbage collector.

// The sizes that Buffer hands out, in bytes: a head, a body in transit, a head at its limit, bulk.
const (
	Small  = 4 << 10
	Medium = 16 << 10
	Large  = 64 << 10
	Bulk   = 256 << 10
)

var (
	bufferSizes = [...]int{Small, Medium, Large, Bulk}
	bufferKeep  = [...]int{64, 64, 16, 4} // free ones kept of each size: at most 3.25 MiB a loop
)

type buffers struct {
	free [len(bufferSizes)][][]byte
	out  int // buffers lent and not yet back
}

func (b *buffers) get(n int) []byte {
	b.out++
	for i, size := range bufferSizes {
		if n > size {
			continue
		}
		if k := len(b.free[i]); k > 0 {
			buf := b.free[i][k-1]
			b.free[i] = b.free[i][:k-1]
			return buf
		}
		return make([]byte, size)
	}
	return make([]byte, n)
}

func (b *buffers) put(buf []byte) {
	b.out--
	for i, size := range bufferSizes {
		if cap(buf) == size {
			if len(b.free[i]) < bufferKeep[i] {
				b.free[i] = append(b.free[i], buf[:size])
			}
			return
		}
	}
}

// Buffer lends a buffer of at least n bytes; its length is its capacity. It comes with old bytes in it.
func (l *Loop) Buffer(n int) []byte { return l.bufs.get(n) }

// Release gives a buffer of Buffer back; the caller must not touch it again. A nil one is passed over.
func (l *Loop) Release(buf []byte) {
	if buf != nil {
		l.bufs.put(buf)
	}
}

// BuffersOut answers how many buffers are lent now.
func (l *Loop) BuffersOut() int { return l.bufs.out }
