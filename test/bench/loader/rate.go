package main

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rateResult counts the requests that were due in the measured part, and how long each took from the moment it was due
// until its answer was complete, in microseconds. A request that had to wait for a free connection has waited since it
// was due: a proxy that stalls is charged for everybody it kept waiting.
type rateResult struct {
	Due      int            `json:"due"`
	Answered int            `json:"answered"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors,omitempty"`
	P50      float64        `json:"p50"`
	P90      float64        `json:"p90"`
	P99      float64        `json:"p99"`
	P999     float64        `json:"p999"`
	Max      float64        `json:"max"`
}

// rateConn is a keep-alive connection with at most one request on its way.
type rateConn struct {
	fd       int
	busy     bool
	due      time.Duration // of the request on its way
	response response
}

// rateLoad is an open loop: requests become due at random times (exponential gaps, so that arrivals are independent of
// one another) whether or not earlier ones were answered. One thread, one epoll instance; a timerfd, because other
// timers are late by the scheduler's slack of 50 µs and Go's own by up to a millisecond. Without a rate a request is due whenever a
// connection is free.
type rateLoad struct {
	o       options
	request drawn
	epoll   int
	timer   int
	random  *rand.Rand // of the arrival times
	keys    *rand.Rand
	begin   func() // of the measured part
	started time.Time
	conns   map[int]*rateConn
	free    []*rateConn     // longest idle first
	waiting []time.Duration // due, without a connection
	next    time.Duration   // when the next request is due
	pending int             // measured requests without an answer
	took    []float64       // of measured requests
	result  rateResult
}

func rate(o options) (any, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l, err := newRateLoad(o)
	if err != nil {
		return nil, err
	}
	defer l.close()
	l.begin = begin
	if err := l.run(); err != nil {
		return nil, err
	}
	l.result.Answered = len(l.took)
	l.result.Failed = l.result.Due - l.result.Answered
	slices.Sort(l.took)
	l.result.P50, l.result.P90 = quantile(l.took, 0.5), quantile(l.took, 0.9)
	l.result.P99, l.result.P999, l.result.Max = quantile(l.took, 0.99), quantile(l.took, 0.999), quantile(l.took, 1)
	return l.result, nil
}

// newRateLoad makes one with its connections, to be closed.
func newRateLoad(o options) (*rateLoad, error) {
	request, err := newDrawn(o)
	if err != nil {
		return nil, err
	}
	l := &rateLoad{o: o, epoll: -1, timer: -1, conns: make(map[int]*rateConn), random: rand.New(rand.NewPCG(o.seed, 0)),
		keys: rand.New(rand.NewPCG(o.seed, 1)), request: request, begin: func() {}, result: rateResult{Errors: make(map[string]int)}}
	if err := l.open(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *rateLoad) open() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll_create1: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("timerfd_create: %w", err)
	}
	if err := l.watch(l.timer); err != nil {
		return err
	}
	for range l.o.connections {
		if err := l.connect(); err != nil {
			return err
		}
	}
	return nil
}

func (l *rateLoad) close() {
	for fd := range l.conns {
		unix.Close(fd)
	}
	unix.Close(l.timer)
	unix.Close(l.epoll)
}

func (l *rateLoad) watch(fd int) error {
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	if err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (l *rateLoad) connect() error {
	fd, err := dial(l.o.target)
	if err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("make a socket non-blocking: %w", err)
	}
	c := &rateConn{fd: fd}
	l.conns[fd] = c
	l.free = append(l.free, c)
	return l.watch(fd)
}

func (l *rateLoad) now() time.Duration { return time.Since(l.started) }

func (l *rateLoad) run() error {
	end := l.o.warmup + l.o.duration
	l.started = time.Now()
	l.plan()
	events := make([]unix.EpollEvent, 256)
	begun := false
	for {
		now := l.now()
		if !begun && now >= l.o.warmup {
			begun = true
			l.begin()
		}
		for l.next <= now && l.next < end {
			l.due(l.next)
			l.plan()
		}
		for l.o.rate == 0 && now < end && len(l.waiting) < len(l.free) {
			l.due(now)
		}
		for len(l.waiting) > 0 && len(l.free) > 0 {
			c, due := l.free[0], l.waiting[0]
			l.free, l.waiting = l.free[1:], l.waiting[1:]
			if err := l.send(c, due); err != nil {
				return err
			}
		}
		wake := l.next
		if now >= end {
			if l.pending == 0 {
				return nil
			}
			if now > end+patience {
				l.result.Errors["no answer"] += l.pending
				return nil
			}
			wake = end + patience + 1
		} else {
			wake = min(wake, end)
		}
		if err := l.wait(events, wake); err != nil {
			return err
		}
	}
}

// due takes a request that is due.
func (l *rateLoad) due(at time.Duration) {
	if at >= l.o.warmup {
		l.result.Due++
		l.pending++
	}
	l.waiting = append(l.waiting, at)
}

// plan draws when the next request is due.
func (l *rateLoad) plan() {
	if l.o.rate == 0 {
		l.next = math.MaxInt64
		return
	}
	l.next += time.Duration(l.random.ExpFloat64() / l.o.rate * float64(time.Second))
}

// wait sleeps until something can be read or the time has come, and reads.
func (l *rateLoad) wait(events []unix.EpollEvent, until time.Duration) error {
	left := max(until-l.now(), 1) // zero would disarm it
	if err := unix.TimerfdSettime(l.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(left))}, nil); err != nil {
		return fmt.Errorf("timerfd_settime: %w", err)
	}
	n, err := unix.EpollWait(l.epoll, events, -1)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("epoll_wait: %w", err)
	}
	for _, e := range events[:max(n, 0)] {
		if c := l.conns[int(e.Fd)]; c != nil {
			if err := l.receive(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *rateLoad) send(c *rateConn, due time.Duration) error {
	c.busy, c.due = true, due
	c.response.reset()
	if _, err := unix.Write(c.fd, l.request.draw(l.keys)); err != nil {
		return l.broken(c, err)
	}
	return nil
}

func (l *rateLoad) receive(c *rateConn) error {
	n, err := unix.Read(c.fd, c.response.space())
	switch {
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
		return nil
	case err != nil:
		return l.broken(c, err)
	case n == 0:
		return l.broken(c, errors.New("closed by the other side"))
	case !c.busy:
		return l.broken(c, errors.New("bytes that nobody asked for"))
	}
	done, err := c.response.add(n)
	if err != nil {
		return l.broken(c, err)
	}
	if !done {
		return nil
	}
	if c.due >= l.o.warmup {
		l.pending--
		l.took = append(l.took, float64(l.now()-c.due)/1e3)
	}
	if c.response.last {
		c.busy = false
		return l.broken(c, nil)
	}
	c.busy = false
	l.free = append(l.free, c)
	return nil
}

// broken replaces a connection; the request on its way has failed. An idle connection may be closed by the other side.
func (l *rateLoad) broken(c *rateConn, why error) error {
	if c.busy && c.due >= l.o.warmup {
		l.pending--
		l.result.Errors[why.Error()]++
	}
	delete(l.conns, c.fd)
	l.free = slices.DeleteFunc(l.free, func(f *rateConn) bool { return f == c })
	unix.Close(c.fd)
	return l.connect()
}

// quantile answers the smallest of the sorted values that at least the share q of them does not exceed; 0 for no values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}
