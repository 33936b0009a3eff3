package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tcpServer echoes every connection until the client half-closes, then
// half-closes too. With a banner it speaks first: one line with the pod's name.
type tcpServer struct {
	pod    string
	banner bool
	conns  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	stopped  bool
}

func newTCPServer(pod string, banner bool) *tcpServer { return &tcpServer{pod: pod, banner: banner} }

// Serve accepts until Shutdown, and then returns [http.ErrServerClosed].
func (s *tcpServer) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	stopped := s.stopped
	s.mu.Unlock()
	if stopped {
		l.Close()
		return http.ErrServerClosed
	}
	for {
		conn, err := l.Accept()
		s.mu.Lock()
		stopped := s.stopped
		if err == nil && !stopped {
			s.conns.Go(func() { s.serve(conn) })
		}
		s.mu.Unlock()
		switch {
		case stopped:
			if err == nil {
				conn.Close()
			}
			return http.ErrServerClosed
		case err != nil:
			return err
		}
	}
}

func (s *tcpServer) serve(conn net.Conn) {
	defer conn.Close()
	if s.banner {
		if _, err := fmt.Fprintf(conn, "220 %s\r\n", s.pod); err != nil {
			return
		}
	}
	if _, err := io.Copy(conn, conn); err != nil {
		return
	}
	closeWrite(conn)
	// What a client sends behind its end is nothing; wait until it is gone.
	io.Copy(io.Discard, conn)
}

// Shutdown accepts no more and waits for the connections there are.
func (s *tcpServer) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	if s.listener != nil {
		s.listener.Close()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.conns.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func closeWrite(conn net.Conn) error {
	c, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a %T cannot be half-closed", conn)
	}
	return c.CloseWrite()
}

// tcpResult is what "box tcp" prints.
type tcpResult struct {
	Local       string  `json:"local"`
	Remote      string  `json:"remote"`
	Banner      string  `json:"banner,omitempty"`
	Sent        int     `json:"sent"`
	Received    int     `json:"received"`
	Equal       bool    `json:"equal"` // the echo is what was sent
	ConnectMS   float64 `json:"connectMs"`
	FirstByteMS float64 `json:"firstByteMs"` // since connected; a banner, or else the echo
	Error       string  `json:"error,omitempty"`
}

func tcpClient(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("tcp", flag.ContinueOnError)
	banner := fs.Bool("banner", false, "wait for the server's line before sending")
	n := fs.Int("bytes", 1000, "random bytes to send, to be echoed")
	timeout := fs.Duration("timeout", 10*time.Second, "for all of it")
	if err := parse(fs, args, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	r, err := tcpExchange(ctx, fs.Arg(0), *banner, *n)
	if err != nil {
		r.Error = err.Error()
	}
	return errors.Join(printJSON(out, r), err)
}

// tcpExchange sends n bytes, half-closes, and reads the echo to its end.
func tcpExchange(ctx context.Context, addr string, banner bool, n int) (r tcpResult, err error) {
	start := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	r.ConnectMS = ms(time.Since(start))
	r.Local, r.Remote = conn.LocalAddr().String(), conn.RemoteAddr().String()
	connected := time.Now()
	in := &firstByte{Reader: conn}
	if banner {
		if r.Banner, err = readLine(in); err != nil {
			return r, fmt.Errorf("banner: %w", err)
		}
	}
	data := make([]byte, n)
	rand.Read(data) // never fails
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(data)
		sent <- errors.Join(err, closeWrite(conn))
	}()
	got, err := io.ReadAll(in)
	r.Sent, r.Received, r.Equal = n, len(got), bytes.Equal(got, data)
	if !in.at.IsZero() {
		r.FirstByteMS = ms(in.at.Sub(connected))
	}
	if err = errors.Join(err, <-sent); err == nil && !r.Equal {
		err = fmt.Errorf("%d bytes came back that are not the %d sent", len(got), n)
	}
	return r, err
}

// firstByte notes when the first byte came.
type firstByte struct {
	io.Reader
	at time.Time
}

func (f *firstByte) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if n > 0 && f.at.IsZero() {
		f.at = time.Now()
	}
	return n, err
}

// readLine reads byte by byte, so that nothing behind the line is lost.
func readLine(r io.Reader) (string, error) {
	var line strings.Builder
	var b [1]byte
	for line.Len() < 1000 {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return line.String(), err
		}
		if b[0] == '\n' {
			return strings.TrimSuffix(line.String(), "\r"), nil
		}
		line.WriteByte(b[0])
	}
	return line.String(), errors.New("no end in 1000 bytes")
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
