package discovery

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLookup(t *testing.T) {
	target := NewTarget("shop", "cart", "http", 80, &Snapshot{})
	table := &Table{
		Targets: map[netip.AddrPort]*Target{netip.MustParseAddrPort("10.96.0.10:80"): target},
		Addrs: map[netip.Addr]Reason{
			netip.MustParseAddr("10.96.0.10"): UnknownPort,
			netip.MustParseAddr("10.96.0.11"): SessionAffinity,
		},
	}
	for _, c := range []struct{ name, dst, want string }{
		{"a Service port", "10.96.0.10:80", "found"},
		{"the same in an IPv6 socket's words", "[::ffff:10.96.0.10]:80", "found"},
		{"another port of the Service", "10.96.0.10:81", "unknown-port"},
		{"a Service that passes through", "10.96.0.11:80", "session-affinity"},
		{"an address that is not known", "10.96.0.12:80", "pending"},
	} {
		a := table.Lookup(netip.MustParseAddrPort(c.dst))
		if a.Reason.String() != c.want || (a.Target != nil) != (c.want == "found") {
			t.Errorf("%s: %v, target %v", c.name, a.Reason, a.Target)
		}
		if a.Target != nil {
			a.Target.Release()
		}
	}
	if !target.Retire(time.Now().Add(time.Hour)) {
		t.Fatal("not retired, though everything was released")
	}
	if a := table.Lookup(netip.MustParseAddrPort("10.96.0.10:80")); a.Target != nil || a.Reason != Pending {
		t.Errorf("a retired target: %+v, want pending", a)
	}
}

func TestReasonsHaveWordsOfTheirOwn(t *testing.T) {
	seen := map[string]Reason{}
	for r := Found; r <= OtherProxy; r++ {
		if other, ok := seen[r.String()]; ok {
			t.Errorf("%d and %d are both %q", other, r, r)
		}
		seen[r.String()] = r
	}
}

func TestATargetInUseIsNotRetired(t *testing.T) {
	target := NewTarget("shop", "cart", "http", 80, &Snapshot{})
	future := time.Now().Add(time.Hour)
	if !target.Hold() || target.Idle(future) || target.Retire(future) {
		t.Fatal("retired while it was held")
	}
	target.Release()
	if target.Idle(time.Now().Add(-time.Minute)) || target.Retire(time.Now().Add(-time.Minute)) {
		t.Fatal("retired though it was used within the last minute")
	}
	if !target.Idle(future) || !target.Retire(future) || target.Hold() || target.Retire(future) {
		t.Fatal("want it retired once, and not to be held again")
	}
}

// Whoever got hold of a target has it until Release, however the retirement falls.
func TestHoldAndRetireAtOnce(t *testing.T) {
	for range 200 {
		target := NewTarget("shop", "cart", "http", 80, &Snapshot{})
		future := time.Now().Add(time.Hour)
		var both sync.WaitGroup
		var held, retired bool
		both.Go(func() { held = target.Hold() })
		both.Go(func() { retired = target.Retire(future) })
		both.Wait()
		if held == retired {
			t.Fatalf("held %v, retired %v", held, retired)
		}
	}
}

func TestSortedIsByNameThenDestination(t *testing.T) {
	table := &Table{Targets: map[netip.AddrPort]*Target{
		netip.MustParseAddrPort("10.96.0.3:80"):   NewTarget("b", "x", "", 80, &Snapshot{}),
		netip.MustParseAddrPort("10.96.0.2:80"):   NewTarget("a", "x", "", 80, &Snapshot{}),
		netip.MustParseAddrPort("[fd00::1]:80"):   NewTarget("a", "x", "", 80, &Snapshot{}),
		netip.MustParseAddrPort("10.96.0.2:8080"): NewTarget("a", "x", "", 8080, &Snapshot{}),
	}}
	var names []string
	for _, target := range table.Sorted() {
		names = append(names, target.Name)
	}
	if want := []string{"a/x:80", "a/x:80", "a/x:8080", "b/x:80"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestProblemsAreLoggedWhenTheyComeAndWhenTheyGo(t *testing.T) {
	var log bytes.Buffer
	p := NewProblems(slog.New(slog.NewTextHandler(&log, nil)))
	p.Set("b.yaml", []string{"b.yaml: broken"})
	p.Set("a.yaml", []string{"a.yaml: one", "a.yaml: two"})
	p.Set("b.yaml", []string{"b.yaml: broken"})
	p.Set("a.yaml", []string{"a.yaml: two"})
	if got, want := p.List(), []string{"a.yaml: two", "b.yaml: broken"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	p.Set("a.yaml", nil)
	p.Set("b.yaml", nil)
	if got := p.List(); got != nil {
		t.Errorf("left: %q", got)
	}
	if text := log.String(); strings.Count(text, "problem=new") != 3 || strings.Count(text, "problem=gone") != 3 {
		t.Errorf("three came and three went, logged:\n%s", text)
	}
}
