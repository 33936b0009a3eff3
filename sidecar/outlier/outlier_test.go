package outlier

import (
	"bufio"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Scenarios are scripts of commands with what each leads to, in testdata. Commit a changed answer only once it can be explained.
func TestScenarios(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no scenarios")
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(b))
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// stage is what a script plays on: endpoints a, b, c and a clock.
type stage struct {
	eps    []*cluster.Endpoint
	now    int64
	since  map[string]Since
	doubts Doubts
}

func play(t *testing.T, script string) string {
	s := &stage{now: int64(time.Hour), since: map[string]Since{}}
	var out strings.Builder
	sc := bufio.NewScanner(strings.NewReader(script))
	for sc.Scan() {
		line := sc.Text()
		if strings.HasPrefix(line, "\t") {
			continue // an answer
		}
		fmt.Fprintln(&out, line)
		if command, _, _ := strings.Cut(line, "#"); strings.TrimSpace(command) != "" {
			for _, answer := range s.do(t, strings.Fields(command)) {
				fmt.Fprintf(&out, "\t%s\n", answer)
			}
		}
	}
	return out.String()
}

// do plays one command: endpoints N | wait D | begin E X | good E X | heard E X | bad E X | gone E X | busy E X | refuse E | connect E |
// ask E N | answer E N | fail E N | doubt E N, where E is an endpoint, X an attempt's name and N a number. gone ends an attempt without an
// answer, and busy one with an answer, that say nothing.
func (s *stage) do(t *testing.T, f []string) (answers []string) {
	if f[0] == "endpoints" {
		for _, name := range f[1:] {
			ep := cluster.NewEndpoint(netip.AddrPort{}, 1)
			ep.Name = name
			s.eps = append(s.eps, ep)
		}
		return nil
	}
	if f[0] == "wait" {
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		s.now += int64(d)
		return nil
	}
	var ep *cluster.Endpoint
	for _, e := range s.eps {
		if e.Name == f[1] {
			ep = e
		}
	}
	l := &ep.Load[0]
	n := 1
	x := f[len(f)-1]
	bad := func(since Since) bool {
		return Bad(ep, since, Scene{Settings: Defaults(), Endpoints: s.eps, Now: s.now, Doubtful: f[0] == "doubt", Doubts: &s.doubts})
	}
	switch f[0] {
	case "begin":
		s.since[x] = Began(l, s.now, Defaults())
	case "good":
		Good(l, s.since[x], s.now)
		s.doubts.Good()
	case "heard":
		s.since[x] = Heard(l, s.since[x], s.now, Defaults())
	case "gone", "busy":
		Silent(l, s.since[x], s.now, f[0] == "busy")
	case "answer": // attempts, one behind the other
		fmt.Sscan(x, &n)
		for range n {
			Good(l, Began(l, s.now, Defaults()), s.now)
			s.doubts.Good()
		}
	case "bad":
		if bad(s.since[x]) {
			answers = append(answers, "ejected")
		}
	case "ask":
		fmt.Sscan(x, &n)
		l.InFlight = int64(n)
	case "refuse":
		ConnectFailed(l, s.now)
	case "connect":
		Connected(l, s.now)
	case "fail", "doubt": // attempts, one behind the other
		fmt.Sscan(x, &n)
		for i := range n {
			if bad(Began(l, s.now, Defaults())) {
				answers = append(answers, fmt.Sprintf("ejected by attempt %d", i+1))
			}
		}
	default:
		t.Fatalf("command %q", f)
	}
	state := "in use"
	switch {
	case l.Probing:
		state = "probed"
	case l.Bad == ejected && l.SuspectUntil > s.now:
		state = "ejected"
	case l.SuspectUntil > s.now:
		state = "suspect"
	case l.Bad == ejected || l.Fails > 0:
		state = "to be probed"
	}
	if l.SuspectUntil > s.now {
		state += fmt.Sprintf(", passed over for %v", time.Duration(l.SuspectUntil-s.now))
	}
	return append(answers, ep.Name+" is "+state)
}

// Whatever happens, a load never leaves an endpoint out for ever.
func TestNoEndpointIsOutForEver(t *testing.T) {
	s := Defaults()
	for seed := range uint64(200) {
		eps := []*cluster.Endpoint{cluster.NewEndpoint(netip.AddrPort{}, 1), cluster.NewEndpoint(netip.AddrPort{}, 1)}
		l := &eps[0].Load[0]
		now := int64(time.Hour)
		var open []Since
		x := seed*2654435761 + 1
		for range 400 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			now += int64(x>>8&1023) * int64(time.Millisecond)
			switch {
			case x&7 < 3 || len(open) == 0:
				open = append(open, Began(l, now, s))
			case x&7 == 3:
				Good(l, open[0], now)
				open = open[1:]
			case x&7 == 4:
				ConnectFailed(l, now)
			case x&7 == 5:
				Connected(l, now)
			default:
				Bad(eps[0], open[0], Scene{Settings: s, Endpoints: eps, Now: now, Jitter: 0.999})
				open = open[1:]
			}
			if out := time.Duration(l.SuspectUntil - now); out > s.Most*5/4 {
				t.Fatalf("seed %d: out for %v", seed, out)
			}
		}
		now = max(now, l.SuspectUntil)
		Good(l, Began(l, now, s), now)
		if l.SuspectUntil > now || l.Probing || Ejected(l) {
			t.Fatalf("seed %d: a good attempt behind it all did not return the endpoint: %+v", seed, *l)
		}
	}
}

func TestJitterAndWhatTheEndpointAskedFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		jitter  float64
		atLeast time.Duration
		want    time.Duration
	}{
		{"neither", 0, 0, time.Second},
		{"half the jitter", 0.5, 0, 1125 * time.Millisecond},
		{"the endpoint asked for ten seconds", 0, 10 * time.Second, 10 * time.Second},
		{"the endpoint asked for an hour", 0, time.Hour, time.Minute},
	} {
		eps := []*cluster.Endpoint{cluster.NewEndpoint(netip.AddrPort{}, 1), cluster.NewEndpoint(netip.AddrPort{}, 1)}
		l, now := &eps[0].Load[0], int64(time.Hour)
		for range 5 {
			Bad(eps[0], Began(l, now, Defaults()), Scene{Settings: Defaults(), Endpoints: eps, Now: now, Jitter: c.jitter, AtLeast: c.atLeast})
		}
		if got := time.Duration(l.SuspectUntil - now); got != c.want {
			t.Errorf("%s: out for %v, want %v", c.name, got, c.want)
		}
	}
}
