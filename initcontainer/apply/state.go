package apply

import (
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// state is what there is of one chain of ours in its table, and how much of others.
type state struct {
	chain   ruleset.Chain
	jumps   []jump                // rules of OUTPUT that lead to a chain of ours, in order
	chains  map[string][][]string // which of the chain's names exist: each rule's arguments
	foreign int                   // other rules of OUTPUT
}

// jump is a rule of OUTPUT whose target is a chain of ours.
type jump struct {
	to   string
	rule []string // its arguments
}

// exact reports whether the jump is spelled as we make it.
func (s state) exact(j jump) bool { return slices.Equal(j.rule, s.chain.Jump(j.to)) }

// ours reports whether there is anything of ours.
func (s state) ours() bool { return len(s.jumps)+len(s.chains) > 0 }

// live reports whether OUTPUT leads to the chain of this name.
func (s state) live(name string) bool {
	return slices.ContainsFunc(s.jumps, func(j jump) bool { return j.to == name })
}

// holds reports whether the chain of this name exists and has exactly these rules.
func (s state) holds(name string, want []ruleset.Rule) bool {
	rules, ok := s.chains[name]
	return ok && slices.EqualFunc(rules, want, func(have []string, w ruleset.Rule) bool {
		r, ok := ruleset.ParseRule(have)
		return ok && r == w
	})
}

// read looks at a chain's table.
func read(t Tables, ch ruleset.Chain) (state, error) {
	s := state{chain: ch, chains: make(map[string][][]string)}
	lines, err := t.List(ch.Table, ruleset.HookedIn)
	if err != nil {
		return s, err
	}
	for _, rule := range parseList(lines, ruleset.HookedIn) {
		if to := target(rule); slices.Contains(ch.Names(), to) {
			s.jumps = append(s.jumps, jump{to, rule})
		} else {
			s.foreign++
		}
	}
	for _, name := range ch.Names() {
		exists, err := t.ChainExists(ch.Table, name)
		if err != nil {
			return s, err
		}
		if !exists {
			continue
		}
		lines, err := t.List(ch.Table, name)
		if err != nil {
			return s, err
		}
		s.chains[name] = parseList(lines, name)
	}
	return s, nil
}

// parseList takes the rules of a chain out of what iptables -S prints: "-A CHAIN ARGUMENT…" lines between the chain's
// declaration and, in some versions, warnings.
func parseList(lines []string, chain string) (rules [][]string) {
	for _, line := range lines {
		if args, ok := splitRule(line); ok && len(args) >= 2 && args[0] == "-A" && args[1] == chain {
			rules = append(rules, args[2:])
		}
	}
	return rules
}

// target is the chain or target a rule leads to, by jump or by goto.
func target(rule []string) string {
	for i, a := range rule {
		if (a == "-j" || a == "-g") && i+1 < len(rule) {
			return rule[i+1]
		}
	}
	return ""
}

// splitRule splits a listed rule into arguments. iptables puts arguments with blanks or quotes in them (comments) into
// double quotes, with a backslash before quotes and backslashes. It reports false when a quote is not closed.
func splitRule(line string) (args []string, ok bool) {
	var arg strings.Builder
	inArg, quoted, escaped := false, false, false
	for _, b := range []byte(line) {
		switch {
		case escaped:
			arg.WriteByte(b)
			escaped = false
		case quoted && b == '\\':
			escaped = true
		case b == '"':
			quoted = !quoted
			inArg = true
		case !quoted && (b == ' ' || b == '\t' || b == '\n'):
			if inArg {
				args = append(args, arg.String())
			}
			arg.Reset()
			inArg = false
		default:
			arg.WriteByte(b)
			inArg = true
		}
	}
	if inArg {
		args = append(args, arg.String())
	}
	return args, !quoted
}
