//go:build linux && !netloop && !race

package loop

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sendUrgent sends b with its last byte marked urgent.
func sendUrgent(t *testing.T, c net.Conn, b string) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err == nil {
		cerr := raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte(b), unix.MSG_OOB, nil) })
		if err == nil {
			err = cerr
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func TestAnUrgentByteIsReadInItsPlace(t *testing.T) {
	t.Run("from an accepted connection", func(t *testing.T) {
		l, _ := run(t)
		c, err := net.Dial("tcp", echo(t, l).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		for range 3 {
			// Nothing follows that would make another edge.
			sendUrgent(t, c, "ABOR\r\n")
			got := make([]byte, 6)
			if _, err := io.ReadFull(c, got); string(got) != "ABOR\r\n" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	})
	t.Run("from a dialled connection", func(t *testing.T) {
		l, do := run(t)
		ln, addr := listen(t)
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			sendUrgent(t, c, "ABOR\r\n")
			c.Close()
		}()
		do(func() error {
			c, err := l.Dial(addr, DialOptions{})
			if err != nil {
				return err
			}
			defer c.Close()
			var got []byte
			for buf := make([]byte, 64); ; {
				n, err := c.Read(buf)
				got = append(got, buf[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil {
					return err
				}
			}
			if string(got) != "ABOR\r\n" {
				t.Errorf("got %q", got)
			}
			return nil
		})
	})
}
