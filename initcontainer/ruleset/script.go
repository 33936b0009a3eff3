package ruleset

import (
	"fmt"
	"strings"
)

// The chains rules stand in. There are two names so that a new version can be built beside the one in force.
const (
	Table    = "nat"
	HookedIn = "OUTPUT"
	ChainA   = "SLUICE_OUTPUT_A"
	ChainB   = "SLUICE_OUTPUT_B"
)

// Jump is the rule in OUTPUT that leads to a chain, as iptables arguments.
func Jump(chain string) []string {
	return []string{"-p", "tcp", "-j", chain}
}

// Script writes rules as input for iptables-restore --noflush (ip6tables-restore for IPv6): what a namespace without
// rules of ours is given. No rules make no script.
func Script(rules []Rule) string {
	if len(rules) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n:%s - [0:0]\n", Table, ChainA)
	for _, r := range rules {
		fmt.Fprintf(&b, "-A %s %s\n", ChainA, strings.Join(r.Args(), " "))
	}
	fmt.Fprintf(&b, "-A %s %s\nCOMMIT\n", HookedIn, strings.Join(Jump(ChainA), " "))
	return b.String()
}
