package attack

import (
	"context"
	"io"
	"net"
	"slices"
	"time"

	"golang.org/x/net/http2"
)

// Client is an attack from a client.
type Client struct {
	Name string
	Why  string // what it is known as
	// Codes are those of the GOAWAY that has to end the connection.
	Codes []http2.ErrCode
	// Endured says that the connection may also live on, as the attack costs its victim no more than it costs the attacker.
	Endured bool
	// Opens says that the attack leaves as many streams open as may be: so many requests it may cause.
	Opens bool

	settings []http2.Setting // sent first
	deaf     bool            // reads nothing while it runs
	run      func(c *Conn)
	many     func(dial Dial, end time.Time) // instead of run: on connections of its own
}

// The paths that attacks ask for. A server answers Quick at once, Hold never, until the request is cancelled, and Big with some MB.
const (
	Quick = "/attack/quick"
	Hold  = "/attack/hold"
	Big   = "/attack/big"
)

// Dial opens a connection to the victim.
type Dial func(ctx context.Context) (net.Conn, error)

// Outcome is what became of an attack from a client.
type Outcome struct {
	Seen
	Sent int           // frames
	Took time.Duration // until the victim ended it, or its time was over
}

// Right reports whether the attack ended as it has to.
func (a Client) Right(o Outcome) bool {
	for _, code := range o.GoAway {
		if o.Closed && slices.Contains(a.Codes, code) {
			return true
		}
	}
	return a.Endured && len(o.GoAway) == 0
}

// farewell is how long the victim gets for its last words, at most, and no longer than the attack took.
const farewell = time.Second

// Run attacks for so long at most.
func (a Client) Run(ctx context.Context, dial Dial, length time.Duration) (Outcome, error) {
	began := time.Now()
	if a.many != nil {
		a.many(dial, began.Add(length))
		return Outcome{Took: time.Since(began)}, nil
	}
	nc, err := dial(ctx)
	if err != nil {
		return Outcome{}, err
	}
	defer nc.Close()
	wait := min(farewell, length)
	nc.SetReadDeadline(began.Add(length + wait)) // on a fresh connection
	if t, ok := nc.(*net.TCPConn); ok && a.deaf {
		t.SetReadBuffer(4 << 10) // fails only on a connection that is gone
	}
	c := newConn(nc, began.Add(length))
	watched := make(chan struct{})
	watch := func() {
		defer close(watched)
		c.watch(nil)
	}
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		return Outcome{}, err
	}
	c.WriteSettings(a.settings...)
	c.Flush()
	if !a.deaf {
		go watch()
	}
	// A write that blocks ends with the attack's time, and so does one that waits for a victim that has ended the connection.
	nc.SetWriteDeadline(c.end)
	go func() {
		<-watched
		nc.SetWriteDeadline(time.Now())
	}()
	a.run(c)
	c.Flush()
	o := Outcome{Sent: c.sent, Took: min(time.Since(began), length)}
	if a.deaf {
		go watch()
	}
	select {
	case <-watched:
	case <-time.After(wait):
	}
	o.Seen = c.Seen()
	return o, nil
}
