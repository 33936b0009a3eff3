package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	bulkBytes  = 1 << 30
	bulkMemory = 32 << 20 // more than the proxy had before
	pauseBytes = 256 << 20
	pauseTime  = 3 * time.Second
	// ahead is how much a server may have sent of what a client does not read: windows, socket buffers on both sides, and ours.
	ahead = 48 << 20
	// silence is longer than any of our checks of a stream on which nothing comes.
	silence = 25 * time.Second
	// pinging is longer than a server of grpc-go bears with pings that come each pingEvery, the least that grpc-go takes.
	pinging   = 45 * time.Second
	pingEvery = 10 * time.Second
)

// bulk makes a suite of bodies that are larger than anything the proxy may keep, of readers that stop, and of streams that are silent.
func bulk() *suite {
	box := func(args ...string) func(ctx context.Context, dir string, r *rig) (string, error) {
		return inMemory(func(ctx context.Context, dir string, r *rig) (string, error) {
			_, figures, err := transferGRPC(ctx, dir, r, args...)
			return figures, err
		})
	}
	return rowSuite("HTTP/2 and gRPC, bulk", false,
		row{"1 GiB up", inMemory(uploadHTTP)},
		row{"1 GiB down", inMemory(downloadHTTP)},
		row{"1 GiB up, gRPC", box()},
		row{"1 GiB down, gRPC", box("--down")},
		row{"a reader that stops", inMemory(pausedHTTP)},
		row{"a reader that stops, gRPC", inMemory(func(ctx context.Context, dir string, r *rig) (string, error) {
			t, figures, err := transferGRPC(ctx, dir, r, "--down", "--bytes", fmt.Sprint(pauseBytes), "--pause", pauseTime.String())
			if stalled := time.Duration(t.Stalled * float64(time.Second)); err == nil && stalled < pauseTime/2 {
				err = fmt.Errorf("the server was held up for %v at the longest, while the client read nothing for %v", stalled, pauseTime)
			}
			return figures, err
		})},
		row{"a silent stream, and a server that wants no pings", holdGRPC("--for", silence.String())},
		row{"a silent stream with pings, and a server that wants none", holdGRPC("--for", pinging.String(), "--ping", pingEvery.String())},
	)
}

// inMemory holds what the proxy needs meanwhile.
func inMemory(try func(ctx context.Context, dir string, r *rig) (string, error)) func(ctx context.Context, dir string, r *rig) (string, error) {
	return func(ctx context.Context, dir string, r *rig) (string, error) {
		m, err := watchMemory(ctx, r.pid)
		if err != nil {
			return "", err
		}
		figures, err := try(ctx, dir, r)
		grown := m.end()
		figures = fmt.Sprintf("%s; %.1f MiB more memory", figures, float64(grown)/(1<<20))
		if grown > bulkMemory {
			err = errors.Join(err, fmt.Errorf("at most %d MiB are allowed", bulkMemory>>20))
		}
		return figures, err
	}
}

// flow is a body of bytes that the other side can make as well.
type flow struct {
	source *rand.ChaCha8
	left   int64
	sum    hash.Hash
	gone   atomic.Int64 // bytes that were asked for
}

func newFlow(n int64) *flow {
	return &flow{source: rand.NewChaCha8([32]byte{}), left: n, sum: sha256.New()}
}

func (f *flow) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.left)]
	f.source.Read(p) // never fails
	f.sum.Write(p)
	f.left -= int64(len(p))
	f.gone.Add(int64(len(p)))
	return len(p), nil
}

func (f *flow) digest() string { return hex.EncodeToString(f.sum.Sum(nil)) }

// big serves HTTP/2 in the rig: PUT answers the checksum of its body, GET sends down.
func big(r *rig, down *flow) (url string, stop func(), err error) {
	l, err := r.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", bulkPort))
	if err != nil {
		return "", nil, err
	}
	s := h2cServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPut {
			sum := sha256.New()
			if _, err := io.Copy(sum, q.Body); err == nil {
				io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
			}
			return
		}
		io.Copy(w, down) // a client that goes away is its own affair
	}))
	go s.Serve(l)
	return fmt.Sprintf("http://127.0.0.1:%d/", bulkPort), func() { s.Close() }, nil
}

func rateOf(n int64, began time.Time) string {
	return fmt.Sprintf("%.0f MiB/s", float64(n)/(1<<20)/time.Since(began).Seconds())
}

func uploadHTTP(ctx context.Context, _ string, r *rig) (string, error) {
	url, stop, err := big(r, nil)
	if err != nil {
		return "", err
	}
	defer stop()
	t := h2cClient(r)
	defer t.CloseIdleConnections()
	f := newFlow(bulkBytes)
	q, err := http.NewRequestWithContext(ctx, http.MethodPut, url, f)
	if err != nil {
		return "", err
	}
	began := time.Now()
	p, err := t.RoundTrip(q)
	if err != nil {
		return fmt.Sprintf("%d bytes went", f.gone.Load()), err
	}
	defer p.Body.Close()
	theirs, err := io.ReadAll(p.Body)
	if err == nil && !bytes.Equal(theirs, []byte(f.digest())) {
		err = fmt.Errorf("the server's checksum is %q, the client's %s", theirs, f.digest())
	}
	return rateOf(bulkBytes, began), err
}

func downloadHTTP(ctx context.Context, _ string, r *rig) (string, error) {
	f := newFlow(bulkBytes)
	began := time.Now()
	err := download(ctx, r, f, func(io.Reader) error { return nil })
	return rateOf(f.gone.Load(), began), err
}

// download reads what the server sends and compares checksums; behind its first quarter it calls pause.
func download(ctx context.Context, r *rig, f *flow, pause func(io.Reader) error) error {
	whole := f.left
	url, stop, err := big(r, f)
	if err != nil {
		return err
	}
	defer stop()
	t := h2cClient(r)
	defer t.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	p, err := t.RoundTrip(q)
	if err != nil {
		return err
	}
	defer p.Body.Close()
	sum := sha256.New()
	if _, err := io.CopyN(sum, p.Body, whole/4); err != nil {
		return err
	}
	if err := pause(p.Body); err != nil {
		return err
	}
	n, err := io.Copy(sum, p.Body)
	switch ours := hex.EncodeToString(sum.Sum(nil)); {
	case err != nil:
		return err
	case n+whole/4 != whole || ours != f.digest():
		return fmt.Errorf("%d of %d bytes came, with checksum %s of %s", n+whole/4, whole, ours, f.digest())
	}
	return nil
}

// pausedHTTP holds that a client that does not read stops the server.
func pausedHTTP(ctx context.Context, _ string, r *rig) (figures string, err error) {
	f := newFlow(pauseBytes)
	err = download(ctx, r, f, func(io.Reader) error {
		time.Sleep(pauseTime / 2)
		half := f.gone.Load()
		time.Sleep(pauseTime / 2)
		more, early := f.gone.Load()-half, half-pauseBytes/4
		figures = fmt.Sprintf("the server was %.1f MiB ahead of the client", float64(early)/(1<<20))
		if more > 0 || early > ahead {
			return fmt.Errorf("in the later half of the pause the server went on by %d bytes", more)
		}
		return nil
	})
	return figures, err
}

// transferred is what the box's bulk prints.
type transferred struct{ Seconds, Stalled float64 }

func transferGRPC(ctx context.Context, dir string, r *rig, flags ...string) (t transferred, figures string, err error) {
	box := filepath.Join(dir, programName(grpcBox))
	addr := fmt.Sprintf("127.0.0.1:%d", bulkGRPC)
	stop, err := background(ctx, r, bulkGRPC, 0, box, "serve", "--address", addr)
	if err != nil {
		return t, "", err
	}
	defer stop()
	figures, err = r.boxJSON(ctx, &t, box, append([]string{"bulk", "--target", addr}, flags...)...)
	return t, figures, err
}

// holdGRPC holds that a server with grpc-go's defaults takes nothing for too many pings: neither the proxy's own checks nor the pings of the
// proxy's client, which end at the proxy.
func holdGRPC(flags ...string) func(ctx context.Context, dir string, r *rig) (string, error) {
	return func(ctx context.Context, dir string, r *rig) (string, error) {
		box := filepath.Join(dir, programName(grpcBox))
		addr := fmt.Sprintf("127.0.0.1:%d", bulkGRPC)
		stop, err := background(ctx, r, bulkGRPC, 0, box, "serve", "--address", addr)
		if err != nil {
			return "", err
		}
		defer stop()
		return r.boxJSON(ctx, &struct{}{}, box, append([]string{"hold", "--target", addr}, flags...)...)
	}
}
