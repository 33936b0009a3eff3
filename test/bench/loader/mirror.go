package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// mirror sends back what comes, until the process ends: HTTP/1.1 bodies at listen, while they still come, and opaque bytes at
// listen2.
func mirror(o options) (any, error) {
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return nil, err
	}
	raw, err := net.Listen("tcp", o.listen2)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(l, http.HandlerFunc(mirrorBody)) }()
	go func() { failed <- mirrorOn(raw) }()
	return nil, <-failed
}

func mirrorBody(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", r.Header.Get("Content-Length"))
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		panic(http.ErrAbortHandler)
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, r.Body, make([]byte, 256<<10)); err != nil {
		panic(http.ErrAbortHandler) // so that the client does not take it for an end
	}
}

func mirrorOn(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if _, err := io.Copy(c, c); err == nil {
				_ = c.(*net.TCPConn).CloseWrite() // the client tells when something is missing
			}
		}()
	}
}

type echoResult struct {
	Bytes   int64   `json:"bytes"` // that came back, as many as were sent and with the same checksum
	Seconds float64 `json:"seconds"`
}

// echo sends random bytes to a mirror and compares what comes back at the same time: as one HTTP/1.1 body, or opaque.
func echo(o options) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", o.target.String())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	begin()
	started := time.Now()
	sum := crc64.MakeTable(crc64.ECMA)
	sent, came := crc64.New(sum), crc64.New(sum)
	wrote := make(chan error, 1)
	go func() { wrote <- send(c, o, sent) }()
	n, err := receive(c, o, came)
	if err := errors.Join(err, <-wrote); err != nil {
		return nil, err
	}
	if n != o.bytes || sent.Sum64() != came.Sum64() {
		return nil, fmt.Errorf("sent %d bytes with checksum %x, got back %d with %x", o.bytes, sent.Sum64(), n, came.Sum64())
	}
	return echoResult{Bytes: n, Seconds: time.Since(started).Seconds()}, nil
}

func send(c net.Conn, o options, sum hash.Hash64) error {
	if !o.opaque {
		if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", o.target.Addr(), o.bytes); err != nil {
			return err
		}
	}
	random := rand.NewChaCha8([32]byte{byte(o.seed)})
	buf := make([]byte, 256<<10)
	for left := o.bytes; left > 0; {
		b := buf[:min(left, int64(len(buf)))]
		_, _ = random.Read(b) // does not fail
		_, _ = sum.Write(b)   // neither does this
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.Write(b); err != nil {
			return err
		}
		left -= int64(len(b))
	}
	if o.opaque {
		return c.(*net.TCPConn).CloseWrite()
	}
	return nil
}

// patient bounds every wait of a connection's reads.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(patience)) // fails only on a closed connection, and so does the read
	return p.Conn.Read(b)
}

func receive(c net.Conn, o options, sum hash.Hash64) (int64, error) {
	if o.opaque {
		return io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{patient{c}}, make([]byte, 256<<10))
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(patient{c}, 256<<10), &http.Request{Method: http.MethodPost})
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answered %s", resp.Status)
	}
	return io.CopyBuffer(struct{ io.Writer }{sum}, resp.Body, make([]byte, 256<<10))
}
