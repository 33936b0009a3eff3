package apply

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

func TestListedRulesAreSplitIntoArguments(t *testing.T) {
	for line, want := range map[string][]string{
		"":                           nil,
		"-A OUTPUT -j RETURN":        {"-A", "OUTPUT", "-j", "RETURN"},
		"  -A\tOUTPUT  -j RETURN \n": {"-A", "OUTPUT", "-j", "RETURN"},
		`-m comment --comment "say \"hi\" \\ there" -j X`: {"-m", "comment", "--comment", `say "hi" \ there`, "-j", "X"},
		`--comment ""`:      {"--comment", ""},
		`--comment a"b c"d`: {"--comment", "ab cd"},
		`a\b`:               {`a\b`},
	} {
		if got, ok := splitRule(line); !ok || !slices.Equal(got, want) {
			t.Errorf("%q is split into %q, %v; want %q", line, got, ok, want)
		}
	}
	if _, ok := splitRule(`--comment "open`); ok {
		t.Error("an open quote was accepted")
	}
}

func TestListingsAreReadWhateverStandsAroundTheRules(t *testing.T) {
	lines := strings.Split(`# Warning: iptables-legacy tables present, use iptables-legacy to see them
-P OUTPUT ACCEPT
-A OUTPUT -p tcp -j SLUICE_OUTPUT_A
-A OUTPUT -m comment --comment "-j SLUICE_OUTPUT_B" -j RETURN
-A OUTPUT_OTHER -j RETURN
-A OUTPUT --comment "open
-A OUTPUT`, "\n")
	got := parseList(lines, "OUTPUT")
	want := []string{"-p tcp -j SLUICE_OUTPUT_A", "-m comment --comment -j SLUICE_OUTPUT_B -j RETURN", ""}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if strings.Join(got[i], " ") != want[i] {
			t.Errorf("rule %d is %q, want %q", i, got[i], want[i])
		}
	}
	if c := target(got[1]); c != "RETURN" {
		t.Errorf("a comment was taken for a jump to %q", c)
	}
}

// listing is a table that gives back what it is told, whatever it is.
type listing struct {
	Tables
	chains map[string][]string
}

func (l listing) ChainExists(_, chain string) (bool, error) { _, ok := l.chains[chain]; return ok, nil }
func (l listing) List(_, chain string) ([]string, error)    { return l.chains[chain], nil }

// Whatever iptables lists, reading it does not fail, and the plan made from it takes out every jump to ours that it saw
// and ends with exactly one.
func FuzzReadAndPlan(f *testing.F) {
	for _, script := range starts {
		f.Add(script, "-N SLUICE_OUTPUT_A\n-A SLUICE_OUTPUT_A -o lo -j RETURN", "-N SLUICE_OUTPUT_B")
	}
	f.Add(`-A OUTPUT -m comment --comment "say \"hi\" \\ there" -g SLUICE_OUTPUT_B`, "", "")
	want := ruleset.Redirects.Build(mustConfig("10.96.0.0/16"), ruleset.IPv4)
	f.Fuzz(func(t *testing.T, output, a, b string) {
		l := listing{chains: map[string][]string{
			"OUTPUT":            strings.Split(output, "\n"),
			ruleset.Redirects.A: strings.Split(a, "\n"),
			ruleset.Redirects.B: strings.Split(b, "\n"),
		}}
		have, err := read(l, ruleset.Redirects)
		if err != nil {
			t.Fatal(err)
		}
		for _, rules := range [][]ruleset.Rule{want, nil} {
			jumps := len(have.jumps)
			for _, s := range plan(have, rules) {
				switch {
				case s.op == deleteRule && s.chain == ruleset.HookedIn:
					jumps--
				case s.op == appendRule && s.chain == ruleset.HookedIn:
					jumps++
				case s.op == clearChain && jumps == 0 && len(rules) > 0:
					if have.ours() && len(have.jumps) > 0 {
						t.Fatalf("%v leaves a hole", plan(have, rules))
					}
				}
			}
			if jumps != min(len(rules), 1) {
				t.Fatalf("%v ends with %d jumps", plan(have, rules), jumps)
			}
		}
	})
}
