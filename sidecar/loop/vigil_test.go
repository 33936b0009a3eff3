package loop

import (
	"net"
	"net/netip"
	"testing"
)

// A program that reads nothing has its kernel's window closed in the end. Its machine answers all the same.
func TestAMachineThatIsThereIsNotGone(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	l.Post(func() {
		l.Go(func() {
			defer close(ended)
			c, err := l.Dial(netip.MustParseAddrPort(ln.Addr().String()), DialOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			var v Vigil
			v.Begin(0)
			if v.Next() != VigilAfter {
				t.Errorf("it is looked at after %d", v.Next())
			}
			c.SetWriteDeadline(l.Now() + 300_000_000) // until its socket is full
			for b := make([]byte, 1<<20); err == nil; {
				_, err = c.Write(b)
			}
			for now := int64(1); now < 100*vigilTime; now += vigilEvery {
				if _, gone := v.Look(c, now); gone {
					t.Error("it counts as gone")
					return
				}
			}
		})
	})
	go l.Run()
	<-ended
	l.Stop()
	<-l.Done()
}
