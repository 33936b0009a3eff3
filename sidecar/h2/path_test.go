package h2

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// far makes a path to addr whose bytes take a millisecond each way, however many they are.
func far(t *testing.T, addr netip.AddrPort) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	type parcel struct {
		due time.Time
		b   []byte
	}
	carry := func(to, from net.Conn) {
		line := make(chan parcel, 4096)
		go func() {
			for p := range line {
				time.Sleep(time.Until(p.due))
				to.Write(p.b)
			}
			to.Close()
		}()
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				line <- parcel{time.Now().Add(time.Millisecond), b[:n]}
			}
			if err != nil {
				close(line)
				return
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", addr.String())
			if err != nil {
				c.Close()
				continue
			}
			go carry(s, c)
			go carry(c, s)
		}
	}()
	return ln
}

// On a path of 1 Gbit/s and 1 ms 125 KB are under way. One stream's sender must be able to have as much outstanding, in both directions, and so
// must its connection: the windows are held to that, and not the time, which is the machine's.
func TestWindowsOfOneStreamAreGoodForAPathOf1GbitAndAMillisecond(t *testing.T) {
	const path = 125_000 // bytes
	for _, up := range []bool{false, true} {
		t.Run(map[bool]string{false: "download", true: "upload"}[up], func(t *testing.T) {
			r := newRig(t, 1, nil)
			there := r.endpoints[0].ln
			if up {
				r.addr = netip.MustParseAddrPort(far(t, r.addr).Addr().String())
			} else {
				r.endpoints[0].ln = far(t, netip.MustParseAddrPort(there.Addr().String()))
			}
			c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			c.WriteWindowUpdate(0, 1<<30)
			c.post(1)
			raw, err := there.Accept()
			if err != nil {
				t.Fatal(err)
			}
			io.ReadFull(raw, make([]byte, 24))
			s := r.peer(raw)
			s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			s.WriteWindowUpdate(0, 1<<30)
			s.want(asked("POST", 1), "")
			s.ok(1, false)
			c.want("HEADERS 1 :status=200", "")
			from, to := s, c
			if up {
				from, to = c, s
			}
			done := make(chan int64, 1)
			go func() {
				n := int64(0)
				for {
					f, err := to.read()
					if err != nil {
						break
					}
					if f, ok := f.(*http2.DataFrame); ok {
						n += int64(len(f.Data()))
						if f.StreamEnded() {
							break
						}
					}
				}
				done <- n
			}()
			const size = 8 << 20
			sent := int64(0)
			for sent < size {
				n := min(from.window[0]-sent, from.window[1]+65535-sent, 16384, size-sent)
				if n <= 0 {
					from.next()
					continue
				}
				from.WriteData(1, sent+n == size, make([]byte, n))
				sent += n
			}
			if n := <-done; n != size {
				t.Errorf("%d bytes arrived", n)
			}
			target, conn := int64(0), int64(0)
			r.eventually("the windows", func() bool {
				for d := range r.downs {
					if up {
						conn = d.grant.target
						for _, x := range d.streams {
							target = x.req.target
						}
					}
				}
				for u := range r.endpoints[0].ups {
					if !up {
						conn = u.grant.target
						for _, x := range u.streams {
							target = x.res.target
						}
					}
				}
				return target > 0
			})
			// Half a window is returned at a time, so the sender may have at least the other half outstanding.
			if target/2 < path || conn/2 < path {
				t.Errorf("the stream's window is %d and the connection's %d, want twice %d", target, conn, path)
			}
			t.Logf("windows: stream %d, connection %d", target, conn)
			if up {
				s.WriteData(1, true, nil)
			} else {
				c.WriteData(1, true, nil)
			}
		})
	}
}
