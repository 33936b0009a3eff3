package rulesettest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Packet is the first packet of a connection, as OUTPUT sees it.
type Packet struct {
	Protocol string // "tcp", "udp"
	Dst      netip.AddrPort
	UID      uint32
	Out      string // interface the route leads to
}

// Walk answers the local port the packet is redirected to, or 0 when it goes where it was going.
func (k *Kernel) Walk(p Packet) (port int) {
	port, _ = k.walk("OUTPUT", p)
	return port
}

func (k *Kernel) walk(chain string, p Packet) (port int, decided bool) {
	for _, rule := range k.Chains[chain] {
		if !matches(rule, p) {
			continue
		}
		switch t := target(rule); t {
		case "RETURN":
			return 0, false
		case "REDIRECT":
			port, err := strconv.Atoi(rule[len(rule)-1])
			if err != nil {
				panic(fmt.Sprintf("rule %q: %v", rule, err))
			}
			return port, true
		default:
			if port, decided = k.walk(t, p); decided {
				return port, true
			}
		}
	}
	return 0, false
}

// matches reads a rule option by option; one it does not know is a mistake in the test.
func matches(rule []string, p Packet) bool {
	for i := 0; i+1 < len(rule); i += 2 {
		ok, v := true, rule[i+1]
		switch rule[i] {
		case "-p":
			ok = p.Protocol == v
		case "-o":
			ok = p.Out == v
		case "-d":
			ok = netip.MustParsePrefix(v).Contains(p.Dst.Addr())
		case "--dport":
			ok = within(v, ":", uint64(p.Dst.Port()))
		case "--uid-owner":
			ok = within(v, "-", uint64(p.UID))
		case "-m", "-j", "--to-ports":
		default:
			panic(fmt.Sprintf("rule %q: unknown option %s", rule, rule[i]))
		}
		if !ok {
			return false
		}
	}
	return true
}

func within(span, separator string, n uint64) bool {
	low, high, isRange := strings.Cut(span, separator)
	if !isRange {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 64)
	b, err2 := strconv.ParseUint(high, 10, 64)
	if err != nil || err2 != nil {
		panic(fmt.Sprintf("span %q is not a number or a range", span))
	}
	return a <= n && n <= b
}
