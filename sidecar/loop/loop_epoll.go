//go:build linux && !netloop && !race

package loop

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Implementation names the build: "epoll" or "net".
const Implementation = "epoll"

const (
	maxEvents = 256
	// quantum is how many bytes (each call counts callCost more) one coroutine may move before it gives way.
	quantum  = 512 << 10
	callCost = 8 << 10
)

// Loop is one event loop. See the package comment for who may call what.
type Loop struct {
	opts  Options
	epfd  int
	file  *os.File // epfd, registered with Go's poller
	raw   syscall.RawConn
	armed int64 // the deadline set on file; Never is none

	linger  linger
	rest    rest
	stretch stretch
	rested  int64 // when the last turn ended

	now   int64
	cur   *Task
	queue []*Task // coroutines to resume in this turn
	// flushers are to be called when this turn, or this crowd of turns, ends.
	flushers []Flusher
	held     int     // turns since they were called last
	ready    []*Task // … in the next one
	heavy    heavy   // … behind those
	idle     []*Task // ended coroutines kept for reuse
	live     int     // coroutines that run or wait
	spent    int     // of the quantum
	moved    int     // bytes of that
	timers   timers
	// parkHead links the coroutines that wait in Park.
	parkHead *Task
	bufs     buffers
	pipe     pipe // kept for the next Splice; zero is none
	// pipeUsed and pipeRefused are when a pipe was last asked for, and last too small; pipeMinded says that a coroutine will close it.
	pipeUsed, pipeRefused int64
	pipeMinded            bool

	slots     []slot // by the number in an event's data
	freeSlots []uint32
	events    [maxEvents]unix.EpollEvent
	iov       []unix.Iovec

	wakefd int
	poked  atomic.Bool // wakefd was written and not yet read
	mu     sync.Mutex
	posted []func() // guarded by mu
	ended  bool     // guarded by mu: wakefd is closed
	spare  []func()

	stopping bool
	stopReq  atomic.Bool
	done     chan struct{}
	stats    counters
}

// slot is one registered descriptor. gen guards against events of a descriptor that was closed in the same batch.
type slot struct {
	gen uint32
	c   *Conn
	ln  *Listener
}

const wakeSlot = 0

// New makes a loop; Run runs it.
func New(o Options) (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	l := &Loop{opts: o, epfd: epfd, wakefd: wakefd, done: make(chan struct{}), now: clock(), slots: make([]slot, 1, 64)}
	fail := func(err error) (*Loop, error) {
		unix.Close(wakefd)
		if l.file != nil {
			l.file.Close()
		} else {
			unix.Close(epfd)
		}
		return nil, err
	}
	if err := unix.SetNonblock(epfd, true); err != nil {
		return fail(fmt.Errorf("epoll descriptor: %w", err))
	}
	l.file = os.NewFile(uintptr(epfd), "epoll")
	if err := l.file.SetReadDeadline(time.Time{}); err != nil {
		return fail(fmt.Errorf("epoll descriptor in Go's poller: %w", err))
	}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return fail(fmt.Errorf("epoll descriptor in Go's poller: %w", err))
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | epollET, Fd: wakeSlot}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &ev); err != nil {
		return fail(fmt.Errorf("epoll_ctl: %w", err))
	}
	return l, nil
}

// epollET is EPOLLET without its sign.
const epollET = 1 << 31

// Run runs the loop until Stop was called and every coroutine has ended. It is called once, on a goroutine of its own.
func (l *Loop) Run() {
	defer l.close()
	turns := l.turns
	for {
		// All turns are made inside one wait of Go's poller. What it was told of the epoll descriptor meanwhile is kept until
		// turns asks for more: nothing is lost, and nothing has to be looked for again before the goroutine parks.
		err := l.raw.Read(turns)
		if err == nil {
			return
		}
		// A timer is due. Read forgets what it was told when it begins anew, and calls turns first.
		if turns(0) {
			return
		}
	}
}

// turns makes turns until there is nothing to do. It reports whether the loop is over; else it is to be called again when there may
// be events, or when the deadline it has set on the descriptor has come.
func (l *Loop) turns(uintptr) (over bool) {
	n := l.epollWait()
	l.stretch = stretch{}
	for waited := true; ; {
		l.turn(n, waited)
		l.stretch.turned(l.now, l.rested)
		if l.stopping && l.live == 0 {
			return true
		}
		next := l.timers.next()
		due := l.anyReady() || next != Never && next <= l.now
		waited = false
		if !l.anyReady() {
			l.rest.judge()
		}
		if !l.anyReady() && l.rest.pays() {
			n = l.resting()
			due = due || n == 0 // the turn that judges it
		} else if due || n >= crowded {
			n = l.epollWait()
		} else if waited = l.linger.pays(); waited {
			n = l.lingering(next)
		} else {
			n = 0
		}
		if n == 0 && !due {
			if len(l.flushers) > 0 {
				l.release()
				if l.anyReady() {
					continue
				}
			}
			l.arm(next)
			return false
		}
	}
}

// crowded is how many events at a time show that there will be more by the end of the turn: then the loop asks for them itself, which
// costs one system call, instead of leaving that to Go's poller, which costs up to three.
const crowded = 2

// turn handles the events of a poll, behind a wait or not, and lets every coroutine run that can.
func (l *Loop) turn(n int, waited bool) {
	began := clock()
	l.now = began
	if waited {
		l.linger.waited(began - l.rested)
	}
	l.rest.came(began - l.rested)
	for i := range n {
		l.dispatch(&l.events[i])
	}
	l.fireTimers()
	l.runPosted()
	last := l.heavy.last
	l.queue, l.ready = l.ready, l.queue[:0]
	for i, t := range l.queue {
		l.queue[i] = nil
		l.resume(t)
	}
	l.queue = l.queue[:0]
	l.runHeavy(last)
	if l.held++; l.held > maxHeld || n < crowded && !l.anyReady() {
		l.release()
	}
	l.rested = clock()
	l.stats.turn(l.rested - began)
}

// anyReady reports whether a coroutine can run in the next turn.
func (l *Loop) anyReady() bool { return len(l.ready) > 0 || l.heavy.any() }

// AtTurnEnd calls f.Flush once every coroutine of this turn has run, or of a few turns when events come one upon the other: what many of
// them write to one connection goes out in one system call. On the loop only; each call of it is answered by one of Flush.
func (l *Loop) AtTurnEnd(f Flusher) { l.flushers = append(l.flushers, f) }

// maxHeld is for how many turns more than one what was written is held while the loop is crowded, and asks for further events in any
// case: they often write to the same connections.
const maxHeld = 3

// release sends what was collected.
func (l *Loop) release() {
	l.held = 0
	for i := 0; i < len(l.flushers); i++ { // a Flush may add more
		f := l.flushers[i]
		l.flushers[i] = nil
		l.opts.flush(f)
	}
	l.flushers = l.flushers[:0]
}

func (l *Loop) close() {
	l.Trim()
	if l.pipe != (pipe{}) {
		l.pipe.close()
	}
	l.mu.Lock()
	l.ended = true
	unix.Close(l.wakefd)
	l.mu.Unlock()
	l.file.Close()
	close(l.done)
}

// arm makes a deadline end the wait for events.
func (l *Loop) arm(deadline int64) {
	if l.armed == deadline || l.armed != Never && l.armed > l.now && (deadline == Never || l.armed < deadline) {
		// Arming costs a few hundred nanoseconds, so an earlier deadline that is still set is left to fire in vain.
		return
	}
	l.armed = deadline
	when := time.Time{}
	if deadline != Never {
		when = time.Now().Add(time.Duration(deadline - clock()))
	}
	l.file.SetReadDeadline(when)
}

func (l *Loop) epollWait() int {
	l.stats.polls.Add(1)
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epfd), uintptr(unsafe.Pointer(&l.events)),
			maxEvents, 0, 0, 0)
		if errno == 0 {
			return int(n)
		}
		if errno != syscall.EINTR {
			// Only a broken descriptor answers otherwise; going on would spin.
			panic("epoll_pwait: " + errno.Error())
		}
	}
}

func (l *Loop) dispatch(ev *unix.EpollEvent) {
	id := uint32(ev.Fd)
	if id == wakeSlot {
		var b [8]byte
		unix.Read(l.wakefd, b[:])
		return
	}
	s := &l.slots[id]
	if s.gen != uint32(ev.Pad) {
		return
	}
	if s.c != nil {
		s.c.event(ev.Events)
	} else if s.ln != nil {
		s.ln.event()
	}
}

// register adds a descriptor to the epoll instance.
func (l *Loop) register(fd int, events uint32, c *Conn, ln *Listener) (uint32, error) {
	var id uint32
	if k := len(l.freeSlots); k > 0 {
		id = l.freeSlots[k-1]
		l.freeSlots = l.freeSlots[:k-1]
	} else {
		id = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[id]
	s.gen++
	s.c, s.ln = c, ln
	ev := unix.EpollEvent{Events: events, Fd: int32(id), Pad: int32(s.gen)}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(l.epfd), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		l.unregister(id)
		return 0, fmt.Errorf("epoll_ctl: %w", errno)
	}
	return id, nil
}

// closeRaw closes a socket by a raw call, as nothing waits in it: a non-blocking socket's close does not linger. The runtime would
// prepare to lend the processor to others meanwhile.
func closeRaw(fd int) error {
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func (l *Loop) unregister(id uint32) {
	s := &l.slots[id]
	s.gen++
	s.c, s.ln = nil, nil
	l.freeSlots = append(l.freeSlots, id)
}

func (l *Loop) fireTimers() {
	for len(l.timers) > 0 && l.timers[0].when <= l.now {
		t := l.timers[0]
		l.timers.remove(t)
		l.wake(t.task)
	}
}

// Post runs f on the loop, in order, between coroutines; f must not wait. Safe for concurrent use. It reports false, and f
// never runs, when the loop has ended.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.posted = append(l.posted, f)
	l.poke()
	return true
}

// poke ends a park; mu is held, so that wakefd is not closed meanwhile.
func (l *Loop) poke() {
	if !l.ended && l.poked.CompareAndSwap(false, true) {
		one := [8]byte{1}
		unix.Write(l.wakefd, one[:])
	}
}

func (l *Loop) runPosted() {
	if !l.poked.Load() {
		return
	}
	l.poked.Store(false)
	if l.stopReq.Load() && !l.stopping {
		l.stopping = true
		l.abortAll()
	}
	l.mu.Lock()
	run := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, f := range run {
		run[i] = nil
		l.opts.contain(f)
	}
	l.spare = run
}

// Stop ends the loop: listeners close, every waiting call answers ErrStopped, and Run returns once all coroutines have
// ended. Safe for concurrent use and for more than one call.
func (l *Loop) Stop() {
	l.stopReq.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.poke()
}

// Done is closed when Run has returned. Safe for concurrent use.
func (l *Loop) Done() <-chan struct{} { return l.done }

func (l *Loop) abortAll() {
	for i := range l.slots {
		if c := l.slots[i].c; c != nil {
			c.wakeAll()
		}
		if ln := l.slots[i].ln; ln != nil {
			ln.Close()
		}
	}
	for len(l.timers) > 0 {
		t := l.timers[0]
		l.timers.remove(t)
		l.wake(t.task)
	}
	for _, t := range l.parked() {
		l.wake(t)
	}
}
