package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// The reverse of TestWhatSpeaksNoHTTP2IsHeardAsWithoutUs: servers of HTTP/2 alone, called by HTTP/1.1. The client's
// connection ends as the server's does; frames, which cannot be read as an answer, do not reach it.
func TestAnHTTP2ServerBehindAnHTTP1Client(t *testing.T) {
	ask := lines("GET / HTTP/1.1", "Host: web")
	said := func(c net.Conn) string {
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, ask)
		b := make([]byte, 12)
		n, _ := io.ReadFull(c, b)
		return string(b[:n])
	}
	t.Run("net/http's, which ends the connection", func(t *testing.T) {
		s := newH2Server(t, named("never"))
		direct, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		want := said(direct)
		r := newRig(t)
		r.serve(s.addr)
		through, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := said(through); got != want {
			t.Errorf("got %q, want %q as directly", got, want)
		}
	})
	t.Run("one that answers with frames", func(t *testing.T) {
		r, o := newRig(t), newOrigin(t)
		r.serve(o.addr)
		go func() {
			s := o.accept()
			s.c.Read(make([]byte, 1000))
			s.send(string(frame.AppendGoAway(frame.AppendSettings(nil), 0, frame.ProtocolError, "")))
			s.close()
		}()
		through, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := said(through); got != "" {
			t.Errorf("got %q, want the connection's end, and no frames", got)
		}
	})
}
