package rulesettest

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Packet is the first packet of a connection, or an invalid one, as OUTPUT sees it.
type Packet struct {
	Protocol string         // "tcp", "udp"
	Src      netip.AddrPort // the zero one is none of ours
	Dst      netip.AddrPort
	UID      uint32
	Out      string // interface the route leads to
	Invalid  bool   // connection tracking says so
}

// Dropped is the verdict on a packet that goes nowhere.
const Dropped = -1

// Walk answers the local port the packet is redirected to, 0 when it goes where it was going, or Dropped. The kernel asks the nat table
// about first packets only, and then the filter table.
func (k *Kernel) Walk(p Packet) (verdict int) {
	port := 0
	if !p.Invalid {
		port, _ = k.walk("nat", "OUTPUT", p)
	}
	if port != 0 {
		to := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if p.Dst.Addr().Is6() {
			to = netip.IPv6Loopback()
		}
		p.Dst = netip.AddrPortFrom(to, uint16(port))
	}
	if verdict, decided := k.walk("filter", "OUTPUT", p); decided {
		return verdict
	}
	return port
}

func (k *Kernel) walk(table, chain string, p Packet) (verdict int, decided bool) {
	for _, rule := range k.Tables[table][chain] {
		if !matches(rule, p) {
			continue
		}
		switch t := target(rule); t {
		case "RETURN":
			return 0, false
		case "DROP":
			return Dropped, true
		case "REDIRECT":
			port, err := strconv.Atoi(rule[len(rule)-1])
			if err != nil {
				panic(fmt.Sprintf("rule %q: %v", rule, err))
			}
			return port, true
		default:
			if verdict, decided = k.walk(table, t, p); decided {
				return verdict, true
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
		case "-s":
			ok = netip.MustParsePrefix(v).Contains(p.Src.Addr())
		case "-d":
			ok = netip.MustParsePrefix(v).Contains(p.Dst.Addr())
		case "--ctstate":
			if v != "INVALID" {
				panic(fmt.Sprintf("rule %q: unknown state %s", rule, v))
			}
			ok = p.Invalid
		case "--sport":
			ok = within(v, ":", uint64(p.Src.Port()))
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
