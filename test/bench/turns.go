package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// turnTime is how long a turn takes. A machine that others share becomes slower and quicker for seconds: those who take turns as short as this
// have the same of it. A turn's own beginning, with everything on its way at once, is a hundredth of it.
const turnTime = 100 * time.Millisecond

// turns is a loader that sends requests to one address or another, in turns of turnTime, as it is told.
type turns struct {
	stdin   io.WriteCloser
	answers *bufio.Scanner
	wait    func() error
}

// takingTurns starts a loader in the way's pod: program with args, and --targets and --duration.
func (w *way) takingTurns(ctx context.Context, targets []netip.AddrPort, program string, args ...string) (*turns, error) {
	var list []string
	for _, t := range targets {
		list = append(list, t.String())
	}
	c := w.pod.Command(ctx, program, append(args, "--targets="+strings.Join(list, ","), "--duration="+turnTime.String())...)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	stdin, err1 := c.StdinPipe()
	stdout, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		return nil, err
	}
	return &turns{stdin: stdin, answers: bufio.NewScanner(stdout), wait: sync.OnceValue(func() error {
		if err := c.Wait(); err != nil {
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(complaint.Bytes()))
		}
		return nil
	})}, nil
}

// take makes a turn to a target, and answers how many requests were answered.
func (t *turns) take(target int) (requests float64, err error) {
	if _, err := fmt.Fprintln(t.stdin, target); err != nil {
		return 0, err
	}
	if !t.answers.Scan() {
		return 0, errors.Join(errors.New("the loader has ended"), t.answers.Err())
	}
	return strconv.ParseFloat(t.answers.Text(), 64)
}

// end waits for the loader's end; n is how many turns there were.
func (t *turns) end(n int) error {
	var r struct{ Turns int }
	err := t.stdin.Close()
	if t.answers.Scan() {
		err = errors.Join(err, json.Unmarshal(t.answers.Bytes(), &r))
	}
	if err = errors.Join(err, t.wait()); err == nil && r.Turns != n {
		err = fmt.Errorf("the loader has counted %d turns instead of %d", r.Turns, n)
	}
	return err
}

// paired is what requests to several addresses have cost, from blocks with a turn of each in a random order.
type paired struct {
	blocks   [][]float64 // for each block and address, what a request has cost
	requests []float64   // to each address, in all
}

// pair takes blocks of turns. cost says what was used until now, while nothing is on its way. What comes in the first blocks, in which
// connections are made and buffers grow, is left out of all but the number of requests.
func (t *turns) pair(addresses, blocks int, r *rand.Rand, cost func() (float64, error)) (p paired, err error) {
	const settling = 2
	p.requests = make([]float64, addresses)
	for b := range settling + blocks {
		block := make([]float64, addresses)
		for _, to := range r.Perm(addresses) {
			before, err := cost()
			if err != nil {
				return p, err
			}
			n, err := t.take(to)
			if err != nil {
				return p, err
			}
			after, err := cost()
			if err != nil {
				return p, err
			}
			block[to] = (after - before) / n
			p.requests[to] += n
		}
		if b >= settling {
			p.blocks = append(p.blocks, block)
		}
	}
	return p, t.end((settling + blocks) * addresses)
}

// of answers what a request to an address costs: the median of its turns.
func (p paired) of(address int) float64 {
	var all []float64
	for _, b := range p.blocks {
		all = append(all, b[address])
	}
	return median(all)
}

// times answers how many times as much as a request to base one to an address costs: the median over the blocks of what each says by itself. A turn that somebody else has
// disturbed is one of many.
func (p paired) times(address, base int) float64 {
	var all []float64
	for _, b := range p.blocks {
		all = append(all, b[address]/b[base])
	}
	return median(all)
}
