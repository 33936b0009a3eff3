package apply

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// op is what a step does.
type op string

const (
	newChain    op = "new chain"
	appendRule  op = "append"
	checkChain  op = "check" // changes nothing: the chain must hold what is wanted
	deleteRule  op = "delete"
	clearChain  op = "clear"
	deleteChain op = "delete chain"
)

// step is one command to the kernel.
type step struct {
	op    op
	chain string
	rule  []string // for append and delete
}

func (s step) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", s.op, s.chain, strings.Join(s.rule, " ")))
}

// plan lists the steps from what there is to what is wanted; no rules wanted means that nothing of ours is to stay. No
// steps means that everything is as wanted. After every step the table is one that is safe to stop at.
func plan(have state, want []ruleset.Rule) (steps []step) {
	do := func(o op, chain string, rule ...string) { steps = append(steps, step{o, chain, rule}) }
	jumps := slices.Clone(have.jumps)
	dropJump := func(i int) {
		do(deleteRule, ruleset.HookedIn, jumps[i].rule...)
		jumps = slices.Delete(jumps, i, i+1)
	}

	keep := "" // the chain that is to be in force in the end
	if len(want) > 0 {
		i := slices.IndexFunc(jumps, func(j jump) bool { return have.exact(j) && have.holds(j.to, want) })
		if i >= 0 {
			keep = jumps[i].to
			jumps = slices.Delete(jumps, i, i+1) // what is left of jumps is to go
		} else {
			keep = free(have)
			if have.live(keep) {
				// A run ended between the two jump commands and the settings have changed since. The other chain,
				// which packets meet first, stays in force.
				for i := len(jumps) - 1; i >= 0; i-- {
					if jumps[i].to == keep {
						dropJump(i)
					}
				}
			}
			if _, leftover := have.chains[keep]; leftover {
				do(clearChain, keep)
			} else {
				do(newChain, keep)
			}
			for _, r := range want {
				do(appendRule, keep, r.Args()...)
			}
			do(checkChain, keep)
			do(appendRule, ruleset.HookedIn, have.chain.Jump(keep)...)
		}
	}
	for len(jumps) > 0 {
		dropJump(0)
	}
	for _, name := range have.chain.Names() {
		if rules, exists := have.chains[name]; exists && name != keep {
			if len(rules) > 0 {
				do(clearChain, name)
			}
			do(deleteChain, name)
		}
	}
	return steps
}

// free is the chain name to build in: one that no packet goes through, or, when packets go through both, the one they
// meet second.
func free(have state) string {
	switch {
	case !have.live(have.chain.A):
		return have.chain.A
	case !have.live(have.chain.B):
		return have.chain.B
	case have.jumps[0].to == have.chain.A:
		return have.chain.B
	default:
		return have.chain.A
	}
}

// leftovers lists the steps that remove chains nothing leads to: what an attempt has left that failed while building.
func leftovers(have state) (steps []step) {
	for _, name := range have.chain.Names() {
		if rules, exists := have.chains[name]; exists && !have.live(name) {
			if len(rules) > 0 {
				steps = append(steps, step{op: clearChain, chain: name})
			}
			steps = append(steps, step{op: deleteChain, chain: name})
		}
	}
	return steps
}
