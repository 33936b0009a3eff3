package ruleset

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/sluice-mesh/sluice/initcontainer/config"
)

// dnsPort is where DNS servers answer over TCP (RFC 1035, section 4.2.2).
const dnsPort = 53

// Build returns the chain's rules for a family, or none when no range of that family is to be redirected. The result
// depends on the settings' values only, not on the order of lists: ranges read from an API may come in any order, and
// the kernel's rules are not to be changed for that.
func (ch Chain) Build(c config.Config, f Family) []Rule {
	if f == IPv6 && c.IPv6 == config.IPv6Off {
		return nil
	}
	ranges := prefixes(c.RedirectCIDRs, f)
	if len(ranges) == 0 {
		return nil
	}
	var rules []Rule
	if ch.target == Drop {
		rules = append(rules, Rule{Src: loopback(f), TCP: true, SrcPort: c.ProxyPort, Target: Drop})
	}
	rules = append(rules,
		Rule{Out: "lo", Target: Return},
		Rule{UIDs: config.UIDs{First: c.ProxyUID, Last: c.ProxyUID}, HasUID: true, Target: Return},
	)
	for _, u := range ordered(c.ExcludeUIDs, func(a, b config.UIDs) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	}) {
		rules = append(rules, Rule{UIDs: u, HasUID: true, Target: Return})
	}
	if c.ExcludeDNS {
		rules = append(rules, Rule{TCP: true, Ports: config.Ports{First: dnsPort, Last: dnsPort}, Target: Return})
	}
	for _, p := range ordered(c.ExcludePorts, func(a, b config.Ports) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	}) {
		rules = append(rules, Rule{TCP: true, Ports: p, Target: Return})
	}
	if c.ExcludeAPIServer && f.Of(c.APIServer) {
		rules = append(rules, Rule{Dst: netip.PrefixFrom(c.APIServer, c.APIServer.BitLen()), Target: Return})
	}
	for _, p := range prefixes(c.ExcludeCIDRs, f) {
		rules = append(rules, Rule{Dst: condition(p), Target: Return})
	}
	for _, p := range ranges {
		r := Rule{Dst: condition(p), TCP: true, Target: ch.target}
		if ch.target == Redirect {
			r.ToPort = c.ProxyPort
		}
		rules = append(rules, r)
	}
	return rules
}

// loopback is where REDIRECT in OUTPUT leads to, and where the proxy answers from.
func loopback(f Family) netip.Prefix {
	if f == IPv6 {
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	}
	return netip.MustParsePrefix("127.0.0.1/32")
}

// prefixes picks a family's prefixes, in order and each one once.
func prefixes(all []netip.Prefix, f Family) (mine []netip.Prefix) {
	for _, p := range all {
		if f.Of(p.Addr()) {
			mine = append(mine, p)
		}
	}
	return ordered(mine, netip.Prefix.Compare)
}

func ordered[T comparable](list []T, less func(a, b T) int) []T {
	return slices.Compact(slices.SortedFunc(slices.Values(list), less))
}

// condition is the zero Prefix for a prefix that every address has: iptables lists no condition then.
func condition(p netip.Prefix) netip.Prefix {
	if p.Bits() == 0 {
		return netip.Prefix{}
	}
	return p
}
