package manifest

import (
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/discovery/files"
)

func TestDiscoveryUnderstandsWhatIsWritten(t *testing.T) {
	addr := netip.MustParseAddr
	s := Service{Name: "shop", ClusterIPs: []netip.Addr{addr("10.96.0.10"), addr("fd96::10")},
		Ports: []Port{{Name: "http", Port: 80, Target: 8080}, {Name: "db", AppProtocol: "tcp", Port: 5432, Target: 5433}}}
	pods := []Endpoint{{"a", addr("10.77.0.3")}, {"a", addr("fd77::3")}, {"b", addr("10.77.0.4")}}
	for _, c := range []struct {
		name      string
		endpoints []Endpoint
		want      map[string][]string
	}{
		{"each family and port has its endpoints", pods, map[string][]string{
			"10.96.0.10:80":   {"10.77.0.3:8080", "10.77.0.4:8080"},
			"10.96.0.10:5432": {"10.77.0.3:5433", "10.77.0.4:5433"},
			"[fd96::10]:80":   {"[fd77::3]:8080"},
		}},
		{"a Service without endpoints is known all the same", nil, map[string][]string{"10.96.0.10:80": {}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s.Endpoints = c.endpoints
			if err := s.Write(dir); err != nil {
				t.Fatal(err)
			}
			r, err := files.New(files.Options{Dir: dir, Loops: 1, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			if problems := r.Status().Problems; len(problems) > 0 {
				t.Errorf("discovery complains: %v", problems)
			}
			for dst, want := range c.want {
				answer := r.Lookup(netip.MustParseAddrPort(dst))
				if answer.Target == nil {
					t.Errorf("%s: %v", dst, answer.Reason)
					continue
				}
				got := map[string]bool{}
				for _, e := range answer.Target.Snapshot().Set.Endpoints {
					got[e.Addr.String()] = true
				}
				if len(got) != len(want) {
					t.Errorf("%s has endpoints %v, want %v", dst, got, want)
				}
				for _, w := range want {
					if !got[w] {
						t.Errorf("%s has endpoints %v, want %v", dst, got, want)
					}
				}
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("the directory holds %v, %v", entries, err)
			}
		})
	}
}
