package meshtest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// serve answers every connection with the text and closes it.
func serve(t *testing.T, p *Pod, address, text string) {
	t.Helper()
	l, err := p.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text) // a client that went away is its own affair
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

func ask(t *testing.T, p *Pod, address string) (string, error) {
	t.Helper()
	c, err := p.Dial(within(t, 5*time.Second), "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestPodsReachEachOtherOverIPv4AndIPv6(t *testing.T) {
	n := NewNet(t)
	client := n.Pod("10.77.0.2", "fd77::2")
	server := n.Pod("10.77.0.3/24", "fd77::3/64")
	for _, address := range []string{"10.77.0.3:80", "[fd77::3]:80"} {
		serve(t, server, address, "hello")
		if got, err := ask(t, client, address); err != nil || got != "hello" {
			t.Errorf("%s answered %q, %v", address, got, err)
		}
	}
}

func TestAServiceSpreadsConnectionsAndFollowsItsBackends(t *testing.T) {
	n := NewNet(t)
	client, a, b := n.Pod("10.77.0.2", "fd77::2"), n.Pod("10.77.0.3", "fd77::3"), n.Pod("10.77.0.4", "fd77::4")
	for _, c := range []struct{ vip, client, a, b string }{
		{"10.96.0.10:80", "10.77.0.2:8080", "10.77.0.3:8080", "10.77.0.4:8080"},
		{"[fd96::10]:80", "[fd77::2]:8080", "[fd77::3]:8080", "[fd77::4]:8080"},
	} {
		t.Run(c.vip, func(t *testing.T) {
			serve(t, client, c.client, "self")
			serve(t, a, c.a, "a")
			serve(t, b, c.b, "b")
			vip := netip.MustParseAddrPort(c.vip)
			backends := func(s ...string) {
				t.Helper()
				var list []netip.AddrPort
				for _, one := range s {
					list = append(list, netip.MustParseAddrPort(one))
				}
				if err := n.Service(vip, list...); err != nil {
					t.Fatal(err)
				}
			}
			seen := func() map[string]int {
				t.Helper()
				m := make(map[string]int)
				for range 64 { // all on one of two: 2 in 2^64
					got, err := ask(t, client, c.vip)
					if err != nil {
						t.Fatal(err)
					}
					m[got]++
				}
				return m
			}
			backends(c.a, c.b)
			if m := seen(); m["a"] == 0 || m["b"] == 0 || len(m) != 2 {
				t.Errorf("two backends got %v", m)
			}
			backends(c.b)
			if m := seen(); m["b"] != 64 {
				t.Errorf("the one backend left got %v", m)
			}
			backends(c.client)
			if m := seen(); m["self"] != 64 {
				t.Errorf("a pod that calls its own Service got %v", m)
			}
			backends()
			if _, err := ask(t, client, c.vip); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a Service without backends: %v, want connection refused", err)
			}
			backends(c.a)
			if m := seen(); m["a"] != 64 {
				t.Errorf("the backend that came back got %v", m)
			}
		})
	}
}

func TestCommandRunsInsideTheNamespaceUnderTheGivenUser(t *testing.T) {
	n := NewNet(t)
	pod := n.Pod("10.77.0.2")
	out, err := pod.Command(within(t, 5*time.Second), "ip", "-o", "-4", "addr").Output()
	if err != nil || !strings.Contains(string(out), "10.77.0.2/32") {
		t.Errorf("ip addr: %s, %v", out, err)
	}
	if err := UserMapped(15301); err != nil {
		t.Skipf("running as another user: %v", err)
	}
	out, err = pod.Command(within(t, 5*time.Second), "id", "-u").As(15301, 15301).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "15301" {
		t.Errorf("id -u: %s, %v", out, err)
	}
}

func TestTheProcessItselfStaysOutside(t *testing.T) {
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	n := NewNet(t)
	for range 20 {
		pod := n.Pod("10.77.0.2")
		if err := pod.Do(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if now, err := os.Readlink("/proc/self/ns/net"); err != nil || now != home {
			t.Fatalf("the main thread is in %s, %v; it was in %s", now, err, home)
		}
		if err := pod.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseKillsWhatStillRuns(t *testing.T) {
	if err := Permitted(); err != nil {
		t.Skipf("this test needs network namespaces: %v", err)
	}
	ns, err := OpenNamespace()
	if err != nil {
		t.Fatal(err)
	}
	c := ns.Command(within(t, 20*time.Second), "sleep", "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := ns.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Wait(); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("the child ended with %v after %v; want killed at once", err, time.Since(began))
	}
	if err := ns.Command(t.Context(), "true").Run(); err == nil {
		t.Error("a command started in a closed namespace")
	}
}

func TestWaitPortSeesAListenerAndTimesOutWithoutOne(t *testing.T) {
	n := NewNet(t)
	pod := n.Pod("10.77.0.2")
	if err := pod.WaitPort(within(t, 30*time.Millisecond), 81); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody listens: %v", err)
	}
	for port, address := range map[uint16]string{81: "127.0.0.1:81", 82: "[::1]:82"} {
		serve(t, pod, address, "")
		if err := pod.WaitPort(within(t, 5*time.Second), port); err != nil {
			t.Error(err)
		}
	}
}

func TestAFunctionThatEndsItsGoroutineIsReported(t *testing.T) {
	n := NewNet(t)
	sub := new(testing.T)
	if err := n.Node.Do(func() error { sub.SkipNow(); return nil }); err == nil {
		t.Error("Do returned nil")
	}
}

func TestPodAddressesAreChecked(t *testing.T) {
	for name, addrs := range map[string][]string{
		"none":                    {},
		"a name":                  {"pod"},
		"an IPv4 address in IPv6": {"::ffff:10.0.0.1"},
		"a zone":                  {"fe80::1%eth0"},
	} {
		if got, err := parseAddrs(addrs); err == nil {
			t.Errorf("%s gave %v and no error", name, got)
		}
	}
}

func TestLeaksAreFound(t *testing.T) {
	before := descriptors()
	stop := make(chan struct{})
	go func() { <-stop }()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	after := descriptors()
	if len(after) != len(before)+1 {
		t.Errorf("descriptors before %v, after %v", before, after)
	}
	found := false
	for _, s := range goroutines(nil) {
		found = found || strings.Contains(s, "TestLeaksAreFound.func1")
	}
	if !found {
		t.Error("the goroutine was not found")
	}
	l.Close()
	close(stop)
}
