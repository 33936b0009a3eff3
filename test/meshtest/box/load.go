package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loadSettings are the flags of "box load".
type loadSettings struct {
	call        callSettings
	rate        float64
	duration    time.Duration
	requests    int64
	concurrency int
	follow      bool
	strict      bool
	effects     bool

	oneConnection bool
	keys          int64
	keyHeader     string
}

// load calls a URL and prints a [summary]. With a rate, the calls are due at
// fixed times whatever the server does, and latency counts from then on: a
// stall is seen in every call that it delays, not in one.
func load(ctx context.Context, args []string, out io.Writer) error {
	var s loadSettings
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	fs.StringVar(&s.call.url, "url", "", "what to call")
	fs.Float64Var(&s.rate, "rate", 0, "requests per second in all; 0 is as fast as it can")
	fs.DurationVar(&s.duration, "duration", 0, "end after this time; 0 is no end by time")
	fs.Int64Var(&s.requests, "requests", 0, "end after so many; 0 is no end by number")
	fs.IntVar(&s.concurrency, "concurrency", 1, "requests at the same time, each on a connection of its own")
	fs.BoolVar(&s.call.keepAlive, "keep-alive", true, "keep connections; false opens one for each request")
	fs.BoolVar(&s.call.h2c, "h2c", false, "HTTP/2 with prior knowledge instead of HTTP/1.1")
	fs.BoolVar(&s.oneConnection, "one-connection", false, "with --h2c: all requests are streams of one connection, while its server allows that")
	fs.StringVar(&s.call.method, "method", "GET", "method")
	fs.StringVar(&s.call.body, "body", "", "body to send")
	fs.IntVar(&s.call.bodyBytes, "body-bytes", 0, "send so many bytes instead of --body")
	fs.Var(&s.call.headers, "header", "NAME:VALUE, Host too (repeatable)")
	fs.DurationVar(&s.call.timeout, "timeout", 10*time.Second, "for one request")
	fs.StringVar(&s.call.expect, "expect", "", "text that every answer's body must hold")
	fs.BoolVar(&s.follow, "follow", false, "print a line each second too")
	fs.BoolVar(&s.strict, "strict", false, "end with 1 when a request failed")
	fs.BoolVar(&s.effects, "effects", false, "give each request a number in "+effectHeader+", and list the numbers of those answered with 2xx")
	fs.Int64Var(&s.keys, "keys", 0, "give each request one of so many keys, from 0 on, and say which pods answered each; 0 is no keys")
	fs.StringVar(&s.keyHeader, "key-header", "account-id", "with --keys: the header that holds the key")
	if err := parse(fs, args, 0); err != nil {
		return err
	}
	if s.keys > 0 {
		s.call.keys = &keys{header: s.keyHeader, n: s.keys}
	}
	if s.effects {
		s.call.effects = new(atomic.Int64)
	}
	if err := s.check(); err != nil {
		return err
	}
	sum, err := s.run(ctx, out)
	if err != nil {
		return err
	}
	if s.strict && (sum.Failed > 0 || sum.Requests == 0) {
		return fmt.Errorf("%d of %d requests failed", sum.Failed, sum.Requests)
	}
	return nil
}

func (s *loadSettings) check() error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	want(s.call.url != "", "--url is needed")
	want(s.duration > 0 || s.requests > 0, "--duration or --requests is needed, above 0")
	want(s.rate >= 0, "--rate=%v: want 0 or more", s.rate)
	want(!s.oneConnection || s.call.h2c, "--one-connection is for --h2c")
	want(s.concurrency > 0, "--concurrency=%d: want 1 or more", s.concurrency)
	want(s.call.bodyBytes >= 0, "--body-bytes=%d: want 0 or more", s.call.bodyBytes)
	if s.call.bodyBytes > 0 {
		s.call.body = strings.Repeat("x", s.call.bodyBytes)
	}
	return errors.Join(errs...)
}

// run makes the calls, prints, and ends when they are done or ctx is.
func (s loadSettings) run(ctx context.Context, out io.Writer) (summary, error) {
	record := newRecord()
	callers := make([]caller, s.concurrency)
	for i := range callers {
		if i > 0 && s.oneConnection {
			callers[i] = callers[0]
			continue
		}
		c, err := newCaller(s.call, record)
		if err != nil {
			return summary{}, err
		}
		callers[i] = c
		defer c.close()
	}
	stopFollowing := func() {}
	if s.follow {
		done := make(chan struct{})
		var printer sync.WaitGroup
		printer.Go(func() { followRecord(record, out, done) })
		stopFollowing = func() { close(done); printer.Wait() }
	}
	due := ctx
	if s.duration > 0 {
		var cancel context.CancelFunc
		due, cancel = context.WithTimeout(ctx, s.duration)
		defer cancel()
	}
	start := time.Now()
	s.workAll(due, callers, record)
	sum := record.summary(time.Since(start))
	stopFollowing()
	if ctx.Err() == nil {
		sum.Missed = s.missed(sum.Requests)
	}
	return sum, printJSON(out, sum)
}

// workAll makes the calls, one worker for each caller.
func (s loadSettings) workAll(ctx context.Context, callers []caller, r *record) {
	start := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for _, c := range callers {
		workers.Go(func() { s.work(ctx, start, &next, c, r) })
	}
	workers.Wait()
}

// missed is how many calls were due in the time and not made, since all callers
// waited for answers.
func (s loadSettings) missed(made int) int {
	if s.rate == 0 || s.duration == 0 {
		return 0
	}
	due := int(s.rate * s.duration.Seconds())
	if s.requests > 0 {
		due = min(due, int(s.requests))
	}
	return max(0, due-made)
}

// work takes one number after the other; a number fixes when its call is due.
// A call that began is finished, whatever the time.
func (s loadSettings) work(ctx context.Context, start time.Time, next *atomic.Int64, c caller, r *record) {
	for {
		i := next.Add(1) - 1
		if s.requests > 0 && i >= s.requests {
			return
		}
		due := time.Now()
		if s.rate > 0 {
			due = start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
			if end, ok := ctx.Deadline(); ok && due.After(end) {
				return
			}
			timer := time.NewTimer(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		r.add(c.call(), time.Since(due))
	}
}

// followRecord prints what happened in each second until done.
func followRecord(r *record, out io.Writer, done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if printJSON(out, r.second()) != nil {
				return // nobody reads
			}
		}
	}
}
