package meshtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Namespace is one network namespace, held open by a descriptor and by one thread that lives inside it. Its methods are
// safe for concurrent use. Whoever made it closes it (a Net closes its own).
type Namespace struct {
	file *os.File // of nsfs; what setns is given

	// The keeper is a thread inside the namespace that lives until Close. Children are started from it: the kernel
	// sends a child's parent-death signal when the starting thread ends, not when the process does.
	jobs   chan func()
	closed chan struct{}
	once   sync.Once
	keeper sync.WaitGroup
}

// OpenNamespace makes a network namespace whose loopback interface is up. It needs CAP_SYS_ADMIN; see Permitted.
func OpenNamespace() (*Namespace, error) {
	ns := &Namespace{jobs: make(chan func()), closed: make(chan struct{})}
	ready := make(chan error, 1)
	ns.keeper.Add(1)
	go onThread(func() { ns.keep(ready) })
	if err := <-ready; err != nil {
		ns.keeper.Wait()
		return nil, err
	}
	if err := ns.ip("link", "set", "lo", "up"); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

// keep is the keeper's body. Its thread is never unlocked: it has left the process's namespace and ends with it.
func (ns *Namespace) keep(ready chan<- error) {
	defer ns.keeper.Done()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		ready <- fmt.Errorf("meshtest: unshare(CLONE_NEWNET): %w", err)
		return
	}
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		ready <- fmt.Errorf("meshtest: %w", err)
		return
	}
	ns.file = f
	ready <- nil
	for {
		select {
		case job := <-ns.jobs:
			job()
		case <-ns.closed:
			return
		}
	}
}

// Close lets the namespace go; the kernel frees it once no process and no socket is inside. Children still running are
// killed by the kernel (parent-death signal). Closing twice is harmless.
func (ns *Namespace) Close() error {
	var err error
	ns.once.Do(func() {
		close(ns.closed)
		ns.keeper.Wait()
		err = ns.file.Close()
	})
	return err
}

// Path names the namespace for other programs (nsenter --net=, ip link set netns) as long as this process lives.
func (ns *Namespace) Path() string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd())
}

// Do runs f inside the namespace and returns its error. Calls may overlap and may block. Only the calling goroutine's
// thread is moved: goroutines that f starts are outside, and so is /proc/self/net (use /proc/thread-self/net). A socket
// stays in the namespace it was opened in, so it can be used after Do has returned.
func (ns *Namespace) Do(f func() error) error {
	done := make(chan error, 1)
	go onThread(func() {
		err := errors.New("meshtest: the function given to Do ended its goroutine (FailNow belongs outside)")
		defer func() { done <- err }()
		err = ns.visit(f)
	})
	return <-done
}

// visit runs f inside the namespace and brings the thread home; one that cannot go home stays locked, so that it ends
// with the goroutine.
func (ns *Namespace) visit(f func() error) error {
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("meshtest: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("meshtest: setns: %w", err)
	}
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// onThread runs f with its goroutine locked to a thread that is not the process's main thread: while that one is
// elsewhere /proc/self/net shows the wrong namespace, and it cannot be ended.
func onThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != os.Getpid() {
		f()
		return
	}
	elsewhere := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(elsewhere)
		f()
	}()
	<-elsewhere // until then this goroutine occupies the main thread
	runtime.UnlockOSThread()
}

// Listen is net.Listen inside the namespace. The address is an IP literal with a port.
func (ns *Namespace) Listen(network, address string) (l net.Listener, err error) {
	err = ns.Do(func() error {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// Dial connects from inside the namespace. The address is an IP literal with a port: names are resolved on other
// threads, which are outside.
func (ns *Namespace) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = ns.Do(func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// ip runs iproute2 inside the namespace.
func (ns *Namespace) ip(args ...string) error {
	return ns.run("ip", args...)
}

func (ns *Namespace) run(name string, args ...string) error {
	out, err := ns.Command(context.Background(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("meshtest: %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Permitted reports why networks cannot be made here, or nil.
func Permitted() error {
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("meshtest: the ip program (package iproute2) is needed: %w", err)
	}
	ns, err := OpenNamespace()
	if err != nil {
		return fmt.Errorf("%w (root, or root of a user namespace, is needed)", err)
	}
	return ns.Close()
}
