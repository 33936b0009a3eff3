package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// fault makes a pod misbehave on demand, through /fault on the control port:
//
//	?set=none    behave
//	?set=500     answer every request with that status (400 to 599)
//	?set=reset   reset a request's connection before answering
//	?set=cut-head  the same within the answer's head
//	?set=cut-body  the same within the answer's body
//	?set=slow    answer a second later
//	?set=hang    never answer
//	?set=refuse  close the listening sockets: connections are refused; what is
//	             connected is reset with its next request
//
// It is safe for concurrent use.
type fault struct {
	mu        sync.Mutex
	mode      string
	changed   chan struct{} // closed with the next change of mode
	listeners []*faultListener
}

const (
	slowness = time.Second
	// arrival is how long a part of an answer gets to be read: a reset behind it would take it away.
	arrival = 5 * time.Millisecond
)

func newFault() *fault { return &fault{mode: "none", changed: make(chan struct{})} }

func (f *fault) now() (mode string, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mode, f.changed
}

// set changes the mode; it has closed the listening sockets when it returns.
func (f *fault) set(mode string) error {
	switch code, err := strconv.Atoi(mode); {
	case err == nil && code >= 400 && code <= 599:
	case slices.Contains([]string{"none", "reset", "cut-head", "cut-body", "slow", "hang", "refuse"}, mode):
	default:
		return fmt.Errorf("set=%s: want none, reset, cut-head, cut-body, slow, hang, refuse or a status from 400 to 599", mode)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
	close(f.changed)
	f.changed = make(chan struct{})
	if mode == "refuse" {
		for _, l := range f.listeners {
			l.refuse()
		}
	}
	return nil
}

func (f *fault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if v := r.URL.Query().Get("set"); v != "" {
		if err := f.set(v); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	mode, _ := f.now()
	text(w, mode)
}

// handler puts the fault in front of h.
func (f *fault) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mode, changed := f.now()
		switch mode {
		case "none":
			h.ServeHTTP(w, r)
		case "hang":
			select {
			case <-r.Context().Done():
			case <-changed:
			}
			panic(http.ErrAbortHandler)
		case "slow":
			select {
			case <-r.Context().Done():
			case <-time.After(slowness):
				h.ServeHTTP(w, r)
			}
		case "reset", "refuse":
			reset(w, "")
		case "cut-head":
			reset(w, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Le")
		case "cut-body":
			reset(w, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nonly this")
		default:
			code, _ := strconv.Atoi(mode) // checked by set
			w.WriteHeader(code)
			fmt.Fprintln(w, "fault", mode)
		}
	})
}

// reset ends the connection with RST behind the bytes of answer, or an HTTP/2 stream with RST_STREAM.
func reset(w http.ResponseWriter, answer string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		if answer != "" {
			io.WriteString(conn, answer) // a client that has gone is its own affair
			time.Sleep(arrival)
		}
		if t, ok := conn.(*net.TCPConn); ok {
			t.SetLinger(0) // fails only on a connection that is gone already
		}
		conn.Close()
		return
	}
	panic(http.ErrAbortHandler)
}

// listener wraps l so that the mode "refuse" closes its socket and any other
// opens it again at the same address.
func (f *fault) listener(l net.Listener) net.Listener {
	fl := &faultListener{fault: f, addr: l.Addr(), inner: l, done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = append(f.listeners, fl)
	return fl
}

type faultListener struct {
	fault *fault
	addr  net.Addr
	done  chan struct{} // closed with the listener

	mu       sync.Mutex
	inner    net.Listener
	refusing bool // inner is closed, and Accept is to open another
	closed   bool
}

func (l *faultListener) Addr() net.Addr { return l.addr }

func (l *faultListener) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		inner := l.inner
		l.mu.Unlock()
		conn, err := inner.Accept()
		if err == nil {
			return conn, nil
		}
		if err := l.reopen(err); err != nil {
			return nil, err
		}
	}
}

// reopen waits until the pod no longer refuses. It returns why Accept failed
// when that was for another reason.
func (l *faultListener) reopen(why error) error {
	for {
		mode, changed := l.fault.now()
		if mode != "refuse" {
			break
		}
		select {
		case <-changed:
		case <-l.done:
			return net.ErrClosed
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.refusing {
		return why
	}
	inner, err := net.Listen(l.addr.Network(), l.addr.String())
	if err != nil {
		return err
	}
	l.inner, l.refusing = inner, false
	return nil
}

func (l *faultListener) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && !l.refusing {
		l.refusing = true
		l.inner.Close() // the error would be that it was closed
	}
}

func (l *faultListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	close(l.done)
	return l.inner.Close()
}
