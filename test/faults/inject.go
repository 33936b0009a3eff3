package main

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// tcpHeader is the header of a TCP segment without options or data.
const tcpHeader = 20

// inject sends a TCP acknowledgement, with sequence numbers of the caller's choice, from the calling thread's network namespace. The
// kernel's sockets know nothing of it.
func inject(from, to netip.AddrPort, seq, ack uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b [tcpHeader]byte
	binary.BigEndian.PutUint16(b[0:], from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], ack)
	b[12] = tcpHeader / 4 << 4
	b[13] = 0x10 // ACK
	binary.BigEndian.PutUint16(b[14:], 502)
	binary.BigEndian.PutUint16(b[16:], checksum(from.Addr(), to.Addr(), b[:]))
	return unix.Sendto(fd, b[:], 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
}

// checksum is TCP's over IPv4 (RFC 9293, section 3.1).
func checksum(from, to netip.Addr, segment []byte) uint16 {
	f, t := from.As4(), to.As4()
	text := append(append(append([]byte{}, f[:]...), t[:]...), 0, unix.IPPROTO_TCP, 0, byte(len(segment)))
	text = append(text, segment...)
	sum := uint32(0)
	for i := 0; i < len(text); i += 2 {
		sum += uint32(text[i])<<8 | uint32(text[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
