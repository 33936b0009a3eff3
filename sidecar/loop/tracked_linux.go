package loop

import (
	"errors"

	"golang.org/x/sys/unix"
)

// trackedSilence is how many seconds an accepted connection may be silent before the kernel probes it. A redirected connection lives of
// the kernel's table of connections, which forgets one that is half-closed after 60 s of silence (nf_conntrack_tcp_timeout_close_wait;
// kube-proxy asks for an hour on its node, and nobody may in a pod): what its other half sends then goes to nobody. A probe is a packet.
const trackedSilence = 30

// stayTracked sets a listening socket's options, which accepted ones inherit.
func stayTracked(fd int) error {
	return errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, trackedSilence),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, trackedSilence))
}
