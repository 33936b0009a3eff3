package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// byteCopy is the baseline: a proxy that knows nothing but TCP. It dials where each connection was going, copies bytes
// both ways and passes on how either side ends. What differs through it differs through any proxy.
func byteCopy(port int) error {
	for _, addr := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, fmt.Sprint(port)))
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go copyConn(c.(*net.TCPConn))
			}
		}()
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return nil
}

func copyConn(down *net.TCPConn) {
	defer down.Close()
	dst, err := originalDst(down)
	if err != nil {
		down.SetLinger(0)
		return
	}
	c, err := net.Dial("tcp", dst.String())
	if err != nil {
		down.SetLinger(0) // a refused connect becomes a reset, the nearest thing left
		return
	}
	up := c.(*net.TCPConn)
	defer up.Close()
	var both sync.WaitGroup
	both.Go(func() { copyHalf(up, down) })
	both.Go(func() { copyHalf(down, up) })
	both.Wait()
}

// copyHalf copies until src ends: a FIN is passed on as a FIN, a reset as a reset, which ends both halves.
func copyHalf(dst, src *net.TCPConn) {
	_, err := io.Copy(dst, src)
	if err == nil {
		dst.CloseWrite()
		return
	}
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		dst.SetLinger(0)
		src.SetLinger(0)
	}
	dst.Close()
	src.Close()
}

// originalDst reads where a redirected connection was going (SO_ORIGINAL_DST, include/uapi/linux/netfilter_ipv4.h).
func originalDst(c *net.TCPConn) (dst netip.AddrPort, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return dst, err
	}
	const soOriginalDst = 80
	four := c.LocalAddr().(*net.TCPAddr).IP.To4() != nil
	cerr := raw.Control(func(fd uintptr) {
		if four {
			var a *unix.IPv6Mreq // large enough for a sockaddr_in, and fetched as bytes
			if a, err = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, soOriginalDst); err == nil {
				b := a.Multiaddr
				dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
			}
			return
		}
		var a *unix.IPv6MTUInfo // begins with a sockaddr_in6
		if a, err = unix.GetsockoptIPv6MTUInfo(int(fd), unix.IPPROTO_IPV6, soOriginalDst); err == nil {
			port := a.Addr.Port // in network order
			dst = netip.AddrPortFrom(netip.AddrFrom16(a.Addr.Addr), port>>8|port<<8)
		}
	})
	return dst, errors.Join(err, cerr)
}
