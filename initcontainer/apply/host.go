package apply

import (
	"os"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// Host is what the process may do and what its network namespace has, as far as decisions and advice need it.
type Host struct {
	UID     int
	CapEff  uint64                      // effective capabilities, a bit each (capabilities(7))
	HasIPv6 bool                        // an interface has an IPv6 address that is neither loopback nor link-local
	Legacy  map[ruleset.Family][]string // the legacy tables that the namespace has already, be they empty
}

// Bits of CapEff, from linux/capability.h.
const (
	capNetAdmin = 12
	capNetRaw   = 13
)

func (h Host) has(capability int) bool { return h.CapEff>>capability&1 != 0 }

// ReadHost asks /proc about the calling thread. What cannot be read counts as absent.
func ReadHost() Host {
	text := func(name string) string {
		b, _ := os.ReadFile("/proc/thread-self/" + name) // absent where the kernel lacks the feature
		return string(b)
	}
	return Host{
		UID:     os.Geteuid(),
		CapEff:  capEff(text("status")),
		HasIPv6: hasIPv6(text("net/if_inet6")),
		Legacy: map[ruleset.Family][]string{
			ruleset.IPv4: strings.Fields(text("net/ip_tables_names")),
			ruleset.IPv6: strings.Fields(text("net/ip6_tables_names")),
		},
	}
}

// capEff reads the line "CapEff:	000001ffffffffff" of /proc/PID/status.
func capEff(status string) uint64 {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64) // the kernel writes nothing else
			return n
		}
	}
	return 0
}

// hasIPv6 reads /proc/net/if_inet6: address, interface index, prefix length, scope, flags, interface name. Scope 00 is
// global, which unique local addresses count as; loopback is 10, link-local 20.
func hasIPv6(table string) bool {
	const scopeGlobal = "00"
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) >= 4 && f[3] == scopeGlobal {
			return true
		}
	}
	return false
}
