package meshtest

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpHeader is the header of a TCP segment without options or data.
const tcpHeader = 20

// Inject sends a TCP acknowledgement, with sequence numbers of the caller's choice, from the calling thread's network namespace (see
// Namespace.Do). The kernel's sockets know nothing of it; a rule may drop it. It needs CAP_NET_RAW.
func Inject(from, to netip.AddrPort, seq, ack uint32) error {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, rawAddress(from.Addr())); err != nil {
		return err
	}
	err = unix.Sendto(fd, acknowledgement(from, to, seq, ack), 0, rawAddress(to.Addr()))
	if errors.Is(err, unix.EPERM) { // how the kernel says that a rule dropped it
		return nil
	}
	return err
}

func rawAddress(a netip.Addr) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Addr: a.As16()}
}

// acknowledgement is a segment that carries nothing (RFC 9293, section 3.1).
func acknowledgement(from, to netip.AddrPort, seq, ack uint32) []byte {
	b := make([]byte, tcpHeader)
	binary.BigEndian.PutUint16(b[0:], from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12] = tcpHeader / 4 << 4
	b[13] = 0x10 // ACK
	binary.BigEndian.PutUint16(b[14:], 502)
	// The pseudo header is, as far as the sum goes, the same for both versions (RFC 8200, section 8.1).
	pseudo := append(from.Addr().AsSlice(), to.Addr().AsSlice()...)
	pseudo = append(pseudo, 0, unix.IPPROTO_TCP, 0, tcpHeader)
	binary.BigEndian.PutUint16(b[16:], checksum(append(pseudo, b...)))
	return b
}

// checksum is that of an even number of bytes (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Sequence asks the kernel which byte a TCP connection sends and gets next. It needs CAP_NET_ADMIN.
func Sequence(c syscall.Conn) (sent, got uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	e := raw.Control(func(fd uintptr) { sent, got, err = queues(int(fd)) })
	return sent, got, errors.Join(e, err)
}

// The queues of TCP_REPAIR_QUEUE and the ends of TCP_REPAIR (linux/tcp.h).
const (
	recvQueue      = 1
	sendQueue      = 2
	repairOn       = 1
	repairOffQuiet = -1 // without a window probe
)

func queues(fd int) (sent, got uint32, err error) {
	set := func(option, value int) {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, value))
	}
	ask := func(queue int) uint32 {
		set(unix.TCP_REPAIR_QUEUE, queue)
		n, e := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ)
		err = errors.Join(err, e)
		return uint32(n)
	}
	set(unix.TCP_REPAIR, repairOn)
	got, sent = ask(recvQueue), ask(sendQueue)
	set(unix.TCP_REPAIR, repairOffQuiet)
	return sent, got, err
}
