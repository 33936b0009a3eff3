package main

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// dial opens a blocking TCP connection whose waits are bounded by patience; prepare is done to it before it connects.
func dial(to netip.AddrPort, prepare ...func(fd int) error) (fd int, err error) {
	if !to.Addr().Is4() {
		return -1, fmt.Errorf("--target=%s: want an IPv4 address and a port", to)
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	wait := unix.NsecToTimeval(int64(patience))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait))
	for _, f := range prepare {
		err = errors.Join(err, f(fd))
	}
	if err == nil {
		err = again(func() error {
			return unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
		})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", to, err)
	}
	return fd, nil
}

// again repeats what a signal interrupted: Go's runtime sends itself some.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// read is one read that got something; the end of the connection is an error.
func read(fd int, p []byte) (n int, err error) {
	err = again(func() error { n, err = unix.Read(fd, p); return err })
	if err == nil && n == 0 {
		err = errors.New("closed by the other side")
	}
	return n, err
}

// write writes all of p.
func write(fd int, p []byte) error {
	for len(p) > 0 {
		var n int
		err := again(func() (err error) { n, err = unix.Write(fd, p); return err })
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// discard reads n bytes and throws them away inside the kernel (MSG_TRUNC, tcp(7)), so that the client costs little.
func discard(fd int, n int64) error {
	scratch := make([]byte, 1<<20) // only its length matters
	for n > 0 {
		var got int
		err := again(func() (err error) {
			got, _, err = unix.Recvfrom(fd, scratch[:min(n, int64(len(scratch)))], unix.MSG_TRUNC)
			return err
		})
		switch {
		case err != nil:
			return err
		case got == 0:
			return fmt.Errorf("closed by the other side with %d bytes missing", n)
		}
		n -= int64(got)
	}
	return nil
}
