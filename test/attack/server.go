package attack

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Server is an attack from a server.
type Server struct {
	Name string
	Want Want
	Body bool // the request has one, which does not end by itself
	Slow bool // the client is slow to read
	// Codes are those of the GOAWAY or RST_STREAM of which each connection has to be told one; nil is nothing to be told.
	Codes []http2.ErrCode

	settings []http2.Setting // sent first
	silent   bool            // no SETTINGS, and no acknowledgement
	greet    func(c *Conn)   // after the SETTINGS
	raw      string          // is all that is said, when the client has
	// run answers a request, the n-th of all connections, from 0; nil answers well. Its connection is closed behind it when it says so.
	run func(c *Conn, id uint32, n int) (closes bool)
}

// Want is what a client of the server has to see.
type Want int

// What a client may see. Whatever it is, it comes in time, and an answer that is not whole never looks as if it were.
const (
	Either Want = iota // an error, a status that says so, or the answer
	Works              // the answer, whole
	Fails              // an error, or a status that says so
)

func (w Want) String() string { return [...]string{"either", "an answer", "an error"}[w] }

// Answer is the body of an answer as it should be.
const Answer = "hello\n"

// Told reports whether a connection was told of the attack as it has to be.
func (a Server) Told(s Seen) bool {
	if len(a.Codes) == 0 {
		return true
	}
	return slices.ContainsFunc(a.Codes, func(code http2.ErrCode) bool { return slices.Contains(s.GoAway, code) || s.Resets[code] > 0 })
}

// Victims is a listener's side of the attack: what the clients that came to it did.
type Victims struct {
	mu       sync.Mutex
	conns    []*Conn
	requests int
	all      sync.WaitGroup
}

// Serve attacks whoever connects, each connection for so long at most, until the listener is closed.
func (a Server) Serve(l net.Listener, length time.Duration) *Victims {
	v := &Victims{}
	v.all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			c := newConn(nc, time.Now().Add(length))
			v.mu.Lock()
			v.conns = append(v.conns, c)
			v.mu.Unlock()
			v.all.Go(func() { a.serve(c, v) })
		}
	})
	return v
}

// End closes the connections and answers what their other sides did. The listener is closed already.
func (v *Victims) End() (seen []Seen, requests int) {
	v.mu.Lock()
	for _, c := range v.conns {
		c.Conn.Close()
	}
	v.mu.Unlock()
	v.all.Wait()
	for _, c := range v.conns {
		seen = append(seen, c.Seen())
	}
	return seen, v.requests
}

func (a Server) serve(c *Conn, v *Victims) {
	defer c.Conn.Close()
	if preface(c.Conn) != nil {
		return
	}
	if a.raw != "" {
		fmt.Fprint(c.Conn, a.raw)
		return
	}
	heads := make(chan uint32, 100)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer close(heads)
		c.watch(func(id uint32) {
			select {
			case heads <- id:
			default: // more than any client here sends
			}
		})
	}()
	// A write that blocks ends with the connection.
	c.Conn.SetWriteDeadline(c.end.Add(farewell))
	if !a.silent {
		c.WriteSettings(a.settings...)
		c.WriteSettingsAck() // the client's are read by the time it matters
	}
	if a.greet != nil {
		a.greet(c)
	}
	c.Flush()
	for id := range heads {
		v.mu.Lock()
		n := v.requests
		v.requests++
		v.mu.Unlock()
		closes := false
		if a.run == nil {
			c.well(id)
		} else {
			closes = a.run(c, id, n)
		}
		c.Flush()
		if c.err != nil {
			break // what the other side said of it is still read
		}
		if closes {
			return
		}
	}
	<-watched
}

// well answers as it should be.
func (c *Conn) well(id uint32) {
	c.headers(id, answer("200"), false, true)
	c.WriteData(id, true, []byte(Answer))
}
