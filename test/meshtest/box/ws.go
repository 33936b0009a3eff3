package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1" // RFC 6455, section 1.3, asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// WebSocket frames, RFC 6455, section 5.2. Messages are small here: a frame
// holds at most maxFrame bytes.
const (
	opText, opBinary, opClose, opPing, opPong = 1, 2, 8, 9, 10

	maxFrame = 1 << 20
	wsGUID   = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3
)

type frame struct {
	first   byte // FIN, reserved bits, opcode: an echo keeps them
	masked  bool
	payload []byte
}

func (f frame) op() byte { return f.first & 15 }

func readFrame(r io.Reader) (f frame, err error) {
	var head [8]byte
	if _, err = io.ReadFull(r, head[:2]); err != nil {
		return f, err
	}
	f.first, f.masked = head[0], head[1]&128 != 0
	length := uint64(head[1] & 127)
	switch length {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		length = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(r, head[:8])
		length = binary.BigEndian.Uint64(head[:8])
	}
	if err != nil {
		return f, noEOF(err)
	}
	if length > maxFrame {
		return f, fmt.Errorf("a frame of %d bytes, at most %d are taken", length, maxFrame)
	}
	var key [4]byte
	if f.masked {
		if _, err = io.ReadFull(r, key[:]); err != nil {
			return f, noEOF(err)
		}
	}
	f.payload = make([]byte, length)
	if _, err = io.ReadFull(r, f.payload); err != nil {
		return f, noEOF(err)
	}
	for i := range f.payload {
		f.payload[i] ^= key[i%4]
	}
	return f, nil
}

// noEOF: an end in the middle of a frame is not a clean one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f frame) append(b []byte) []byte {
	mask := byte(0)
	if f.masked {
		mask = 128
	}
	b = append(b, f.first)
	switch n := len(f.payload); {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if !f.masked {
		return append(b, f.payload...)
	}
	var key [4]byte
	rand.Read(key[:]) // never fails
	b = append(b, key[:]...)
	for i, c := range f.payload {
		b = append(b, c^key[i%4])
	}
	return b
}

func wsAccept(key string) string {
	sum := sha1.Sum([]byte(key + wsGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// wsEcho answers /ws: it gives back every message, a pong for a ping, and ends
// with the client's close.
func wsEcho(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Sec-WebSocket-Key")
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || key == "" {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "want a WebSocket handshake", http.StatusUpgradeRequired)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusHTTPVersionNotSupported)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"X-Pod: %s\r\nSec-WebSocket-Accept: %s\r\n\r\n", w.Header().Get("X-Pod"), wsAccept(key))
	for {
		f, err := readFrame(rw)
		if err != nil || !f.masked { // RFC 6455, section 5.1: a client's frame MUST be masked
			return
		}
		f.masked = false
		op := f.op()
		switch op {
		case opPing:
			f.first = f.first&^15 | opPong
		case opPong:
			continue
		}
		if _, err := conn.Write(f.append(nil)); err != nil || op == opClose {
			return
		}
	}
}

// wsResult is what "box ws" prints.
type wsResult struct {
	Pod      string  `json:"pod"`
	Messages int     `json:"messages"` // echoed as sent
	MaxMS    float64 `json:"maxMs"`    // longest wait for an echo
	Error    string  `json:"error,omitempty"`
}

func wsClient(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("ws", flag.ContinueOnError)
	n := fs.Int("messages", 10, "messages to send")
	size := fs.Int("size", 200, "bytes of a message")
	every := fs.Duration("every", 0, "time between messages")
	timeout := fs.Duration("timeout", 10*time.Second, "for all of it")
	if err := parse(fs, args, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	r, err := wsExchange(ctx, fs.Arg(0), *n, *size, *every)
	if err != nil {
		r.Error = err.Error()
	}
	return errors.Join(printJSON(out, r), err)
}

func wsExchange(ctx context.Context, target string, n, size int, every time.Duration) (r wsResult, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return r, err
	}
	if (u.Scheme != "ws" && u.Scheme != "http") || u.Host == "" {
		return r, fmt.Errorf("%s: want ws://HOST:PORT/PATH", target)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(u))
	if err != nil {
		return r, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	key := base64.StdEncoding.EncodeToString([]byte(rand.Text()[:16]))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", u.RequestURI(), u.Host, key)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return r, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != wsAccept(key) {
		return r, fmt.Errorf("no WebSocket: %s", resp.Status)
	}
	r.Pod = resp.Header.Get("X-Pod")
	for ; r.Messages < n; r.Messages++ {
		message := make([]byte, size)
		rand.Read(message) // never fails
		start := time.Now()
		if _, err := conn.Write(frame{128 | opBinary, true, message}.append(nil)); err != nil {
			return r, err
		}
		f, err := readFrame(in)
		if err != nil {
			return r, err
		}
		if f.op() != opBinary || !bytes.Equal(f.payload, message) {
			return r, fmt.Errorf("message %d: the echo differs (opcode %d, %d bytes)", r.Messages, f.op(), len(f.payload))
		}
		r.MaxMS = max(r.MaxMS, ms(time.Since(start)))
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(every):
		}
	}
	if _, err := conn.Write(frame{128 | opClose, true, []byte{3, 232}}.append(nil)); err != nil { // 1000: normal
		return r, err
	}
	f, err := readFrame(in)
	if err == nil && f.op() != opClose {
		err = fmt.Errorf("opcode %d", f.op())
	}
	if err != nil {
		err = fmt.Errorf("waiting for the close frame: %w", err)
	}
	return r, err
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), "80")
}
