package attack

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

// brief is enough to see that an attack is one.
const brief = 20 * time.Millisecond

func to(l net.Listener) Dial {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestClientsAttack(t *testing.T) {
	l := listen(t)
	s := &http.Server{Handler: Handler(), Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
	s.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(l)
	}()
	defer func() {
		s.Close()
		<-done
	}()
	for _, a := range Clients {
		o, err := a.Run(t.Context(), to(l), brief)
		if err != nil || a.many == nil && o.Sent < 1 {
			t.Errorf("%s: %+v, %v", a.Name, o, err)
		}
		t.Logf("%-40s %8d frames, GOAWAY %v, closed %v, resets %v", a.Name, o.Sent, o.GoAway, o.Closed, o.Resets)
	}
}

// The client takes nearly everything as it comes: what it shows is what the servers do.
func TestServersAttack(t *testing.T) {
	for _, a := range Servers {
		l := listen(t)
		v := a.Serve(l, brief)
		got := a.Ask(t.Context(), to(l), 5*time.Second)
		l.Close()
		seen, requests := v.End()
		t.Logf("%s: want %v, got %v", a.Name, a.Want, got)
		if a.Want == Works && !got.Right(a) {
			t.Errorf("%s: want %v, got %v", a.Name, a.Want, got)
		}
		// A client may end with wrong SETTINGS before it has said anything.
		early := a.raw != "" || a.greet != nil || a.settings != nil && a.Want == Fails
		if len(seen) == 0 || requests == 0 && !early {
			t.Errorf("%s: %d connections, %d requests", a.Name, len(seen), requests)
		}
	}
}

func TestAnAnswerThatIsNotWholeIsNone(t *testing.T) {
	for _, c := range []struct {
		name  string
		a     Server
		got   Answered
		right bool
	}{
		{"an answer", Server{Want: Works}, Answered{Status: "200", Body: Answer, Whole: true}, true},
		{"a part of one", Server{}, Answered{Status: "200", Body: Answer[:3], Whole: true}, false},
		{"an error within it", Server{Want: Fails}, Answered{Status: "200", Body: Answer[:3], Err: io.ErrUnexpectedEOF}, true},
		{"a status that says so", Server{Want: Fails}, Answered{Status: "502", Whole: true}, true},
		{"an answer where there is none", Server{Want: Fails}, Answered{Status: "200", Body: Answer, Whole: true}, false},
		{"nothing", Server{Want: Fails}, Answered{Err: errLate}, false},
		{"nothing of a silent server", Server{silent: true}, Answered{Err: errLate}, true},
	} {
		if got := c.got.Right(c.a); got != c.right {
			t.Errorf("%s: right %v", c.name, got)
		}
	}
}
