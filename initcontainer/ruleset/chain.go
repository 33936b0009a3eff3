package ruleset

import (
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/config"
)

// HookedIn is the kernel's own chain that leads to ours, in each table.
const HookedIn = "OUTPUT"

// Chain is one of the places that rules of ours stand in. It has two names, so that a new version can be built beside the one in force.
type Chain struct {
	Table  string // iptables' name of it
	A, B   string // the names
	when   string // what the rule in OUTPUT that leads to the chain asks of a packet, as iptables lists it
	target Target // what becomes of a packet to a Service address
}

// The chains, which nobody changes: what leads connections to the proxy, and what drops their packets that would miss it.
var (
	Redirects = Chain{"nat", "SLUICE_OUTPUT_A", "SLUICE_OUTPUT_B", "-p tcp", Redirect}
	Drops     = Chain{"filter", "SLUICE_INVALID_A", "SLUICE_INVALID_B", "-p tcp -m conntrack --ctstate INVALID", Drop}
)

// Chains are all of them, in the order they are worked on.
var Chains = []Chain{Redirects, Drops}

// Names are the chain's two names.
func (ch Chain) Names() []string { return []string{ch.A, ch.B} }

// Jump is the rule in OUTPUT that leads to the chain of this name, as iptables arguments.
func (ch Chain) Jump(name string) []string {
	return append(strings.Fields(ch.when), "-j", name)
}

// Script writes all rules of a family as input for iptables-restore --noflush (ip6tables-restore for IPv6): what a namespace without
// rules of ours is given. No rules make no script.
func Script(c config.Config, f Family) string {
	var b strings.Builder
	for _, ch := range Chains {
		b.WriteString(ch.Script(ch.Build(c, f)))
	}
	return b.String()
}

// Script is the part of one table.
func (ch Chain) Script(rules []Rule) string {
	if len(rules) == 0 {
		return ""
	}
	var b strings.Builder
	line := func(words ...string) { b.WriteString(strings.Join(words, " ") + "\n") }
	line("*" + ch.Table)
	line(":"+ch.A, "-", "[0:0]")
	for _, r := range rules {
		line("-A", ch.A, strings.Join(r.Args(), " "))
	}
	line("-A", HookedIn, strings.Join(ch.Jump(ch.A), " "))
	line("COMMIT")
	return b.String()
}
