package loop

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// synBytes is how many bytes this kernel's tcpi_bytes_acked counts for the SYN of a connection made from this side (1 where it
// was seen), learned from the first connection and kept as one more than it; 0 is not known yet.
var synBytes atomic.Uint64

func learnSyn(fd int) {
	if synBytes.Load() > 0 {
		return
	}
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info.Bytes_acked <= 1 {
		synBytes.Store(info.Bytes_acked + 1)
	}
}

func synCounted(c *Conn) uint64 {
	if n := synBytes.Load(); c.dialled && n > 0 {
		return n - 1
	}
	return 0
}
