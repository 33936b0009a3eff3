package main

import (
	"net/netip"
	"testing"
)

func TestEachBackendHasTheSameChance(t *testing.T) {
	backends := []netip.AddrPort{netip.MustParseAddrPort("10.77.0.11:8080"), netip.MustParseAddrPort("10.77.0.12:8080"),
		netip.MustParseAddrPort("10.77.0.13:8080")}
	const want = `*nat
:KUBE-SVC-SHOP - [0:0]
-A KUBE-SVC-SHOP -p tcp -m statistic --mode random --probability 0.3333333333 -j DNAT --to-destination 10.77.0.11:8080
-A KUBE-SVC-SHOP -p tcp -m statistic --mode random --probability 0.5000000000 -j DNAT --to-destination 10.77.0.12:8080
-A KUBE-SVC-SHOP -p tcp -j DNAT --to-destination 10.77.0.13:8080
COMMIT
`
	if got := serviceRules(backends); got != want {
		t.Errorf("the rules are\n%s\nwant\n%s", got, want)
	}
}

func TestOnlyRulesThatMatchAUserAreLeftOut(t *testing.T) {
	const before, owner, after = "*nat\n-A X -o lo -j RETURN\n", "-A X -m owner --uid-owner 15301 -j RETURN\n",
		"-A X -p tcp -j REDIRECT --to-ports 15301\nCOMMIT\n"
	if got := withoutOwner(before + owner + after); got != before+after {
		t.Errorf("got %q", got)
	}
}
