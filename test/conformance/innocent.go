package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/test/attack"
)

const (
	innocentEvery = 10 * time.Millisecond
	innocentLimit = 5 * time.Second
)

// innocent is a client that calls a server all the time, on one connection of HTTP/2, and counts what it sees. It begins a call whether or
// not those before it were answered: of a time in which nothing is, each call that falls into it tells.
type innocent struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	failed int
	first  error // the first failure
	took   []time.Duration
}

// within is how long all calls took at most, but one of each whole hundred.
func (i *innocent) within() time.Duration {
	n := len(i.took)
	return slices.Sorted(slices.Values(i.took))[n-1-n/100]
}

func (i *innocent) String() string {
	longest := slices.Max(i.took)
	return fmt.Sprintf("all but 1 %% of %d calls within %v, the longest %v", len(i.took), i.within().Round(time.Millisecond), longest.Round(time.Millisecond))
}

// h2cClient answers an HTTP client that speaks HTTP/2 without TLS inside the rig.
func h2cClient(r *rig) *http.Transport {
	t := &http.Transport{DisableCompression: true, Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	t.DialContext = r.Dial
	return t
}

func startInnocent(ctx context.Context, r *rig, url string) *innocent {
	ctx, cancel := context.WithCancel(ctx)
	i := &innocent{stop: cancel}
	i.done.Go(func() {
		t := h2cClient(r)
		defer t.CloseIdleConnections()
		c := http.Client{Transport: t, Timeout: innocentLimit}
		tick := time.NewTicker(innocentEvery)
		defer tick.Stop()
		one := func() {
			began := time.Now()
			err := ask(&c, url)
			took := time.Since(began)
			i.mu.Lock()
			defer i.mu.Unlock()
			i.took = append(i.took, took)
			if err != nil {
				i.failed++
				if i.first == nil {
					i.first = err
				}
			}
		}
		one() // alone, so that there is one connection
		var calls sync.WaitGroup
		defer calls.Wait()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				calls.Go(one)
			}
		}
	})
	return i
}

func ask(c *http.Client, url string) error {
	p, err := c.Get(url)
	if err != nil {
		return err
	}
	defer p.Body.Close()
	b, err := io.ReadAll(p.Body)
	if err == nil && (p.StatusCode != http.StatusOK || string(b) != attack.Answer) {
		err = fmt.Errorf("status %d with %.40q", p.StatusCode, b)
	}
	return err
}

// end stops the client, which finishes the calls it is making.
func (i *innocent) end() {
	i.stop()
	i.done.Wait()
}

// memory watches a process's resident set.
type memory struct {
	stop         context.CancelFunc
	done         sync.WaitGroup
	before, peak int64
}

const memoryEvery = 20 * time.Millisecond

func watchMemory(ctx context.Context, pid int) (*memory, error) {
	before, err := resident(pid)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &memory{stop: cancel, before: before, peak: before}
	m.done.Go(func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				now, err := resident(pid)
				if err != nil {
					return // it ended, which shows elsewhere
				}
				m.peak = max(m.peak, now)
			}
		}
	})
	return m, nil
}

// end answers by how many bytes the process grew at most.
func (m *memory) end() int64 {
	m.stop()
	m.done.Wait()
	return m.peak - m.before
}

// resident answers a process's resident set in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text))
	if len(f) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", pid, text)
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// dialer answers how an attack reaches an address in the rig.
func dialer(r *rig, addr string) attack.Dial {
	return func(ctx context.Context) (net.Conn, error) { return r.Dial(ctx, "tcp", addr) }
}
