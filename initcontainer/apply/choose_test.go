package apply

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset/rulesettest"
)

const foreignRule = "-A OUTPUT -d 10.0.0.9/32 -p tcp -j RETURN\n"

// loaded gives one program's table a script to start with.
func (w *world) loaded(t *testing.T, program, script string) *world {
	t.Helper()
	if err := w.tables[program].Load(script); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestTheImplementationIsChosenByWhatIsThere(t *testing.T) {
	v4 := settings(t, "--redirect-cidrs=10.96.0.0/16")
	older := ruleset.Script(mustConfig("10.96.0.0/12"), ruleset.IPv4)
	broken := func(k *rulesettest.Kernel) { k.Before = func(string) error { return errors.New("TABLE_ADD failed") } }
	for name, c := range map[string]struct {
		prepare func(*world)
		mode    string
		want    config.Mode // where the rules are in the end
		why     Reason
	}{
		"nothing anywhere":                          {func(*world) {}, "auto", config.ModeNFT, Preferred},
		"nothing anywhere, no legacy":               {func(w *world) { w.legacyInUse(false) }, "auto", config.ModeNFT, Preferred},
		"others use nft":                            {func(w *world) { w.loaded(t, "iptables-nft", foreignRule) }, "auto", config.ModeNFT, Preferred},
		"others use legacy":                         {func(w *world) { w.loaded(t, "iptables-legacy", foreignRule) }, "auto", config.ModeLegacy, UsedByOther},
		"others use both":                           {func(w *world) { w.loaded(t, "iptables-legacy", foreignRule).loaded(t, "iptables-nft", foreignRule) }, "auto", config.ModeNFT, Preferred},
		"an earlier run used legacy":                {func(w *world) { w.loaded(t, "iptables-legacy", older) }, "auto", config.ModeLegacy, AlreadyOurs},
		"an earlier run used nft":                   {func(w *world) { w.loaded(t, "iptables-nft", older).loaded(t, "iptables-legacy", foreignRule) }, "auto", config.ModeNFT, AlreadyOurs},
		"earlier runs used both":                    {func(w *world) { w.loaded(t, "iptables-nft", older).loaded(t, "iptables-legacy", older) }, "auto", config.ModeNFT, AlreadyOurs},
		"legacy is asked for after nft":             {func(w *world) { w.loaded(t, "iptables-nft", older) }, "legacy", config.ModeLegacy, Asked},
		"nft is asked for after legacy":             {func(w *world) { w.loaded(t, "iptables-legacy", older) }, "nft", config.ModeNFT, Asked},
		"nft is asked for, legacy is not installed": {func(w *world) { delete(w.tables, "iptables-legacy") }, "nft", config.ModeNFT, Asked},
		"nft is not installed":                      {func(w *world) { delete(w.tables, "iptables-nft") }, "auto", config.ModeLegacy, Fallback},
		"nft is not installed and legacy unused":    {func(w *world) { delete(w.tables, "iptables-nft"); w.legacyInUse(false) }, "auto", config.ModeLegacy, Fallback},
		"nft can be read but not written":           {func(w *world) { broken(w.tables["iptables-nft"]) }, "auto", config.ModeLegacy, Fallback},
		"nft lacks a module that our older rules did not need": {func(w *world) {
			w.loaded(t, "iptables-nft", older)
			w.tables["iptables-nft"].Before = func(command string) error {
				if strings.Contains(command, "-A ") {
					return errors.New("RULE_APPEND failed (No such file or directory)")
				}
				return nil
			}
		}, "auto", config.ModeLegacy, Fallback},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			c.prepare(w)
			settings := v4
			settings.IptablesMode = config.Mode(c.mode)
			if err := w.system().Apply(t.Context(), settings); err != nil {
				t.Fatal(err)
			}
			for _, m := range []config.Mode{config.ModeNFT, config.ModeLegacy} {
				k, ok := w.tables[program(ruleset.IPv4, m)]
				if !ok {
					continue
				}
				for _, ch := range ruleset.Chains {
					have, err := read(k, ch)
					if err != nil {
						t.Fatal(err)
					}
					if m == c.want && len(plan(have, ch.Build(v4, ruleset.IPv4))) > 0 || m != c.want && have.ours() {
						t.Errorf("%s has\n%v", m, k)
					}
				}
			}
			if !strings.Contains(w.log.String(), fmt.Sprintf("why=%q", string(c.why))) &&
				!strings.Contains(w.log.String(), "why="+string(c.why)) {
				t.Errorf("the log does not say %q:\n%s", c.why, &w.log)
			}
		})
	}
}

func TestLegacyTablesThatAreNotThereAreNotTouched(t *testing.T) {
	w := newWorld()
	w.legacyInUse(false)
	delete(w.tables, "iptables-legacy") // Open of it would fail, and be logged
	delete(w.tables, "ip6tables-legacy")
	if err := w.system().Apply(t.Context(), settings(t, dual)); err != nil {
		t.Fatal(err)
	}
	if err := w.system().Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(w.log.String(), "legacy") {
		t.Errorf("the log speaks of legacy:\n%s", &w.log)
	}
}

func TestWhenIPv6CannotBeDone(t *testing.T) {
	for name, c := range map[string]struct {
		flags   string
		hasIPv6 bool
		fails   bool
		logged  string
	}{
		"no IPv6 range, no IPv6 address":               {"--redirect-cidrs=10.96.0.0/16", false, false, "nothing to redirect"},
		"no IPv6 range in a pod with IPv6":             {"--redirect-cidrs=10.96.0.0/16", true, false, "nothing to redirect"},
		"a range, but the pod has no IPv6 address":     {dual, false, false, "skipped: the pod has no IPv6 address"},
		"a range in a pod with IPv6 would be bypassed": {dual, true, true, ""},
		"asked for, whatever the pod has":              {dual + "--ipv6=on", false, true, ""},
		"switched off":                                 {dual + "--ipv6=off", true, false, "nothing to redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.host.HasIPv6 = c.hasIPv6
			w.legacyInUse(false)
			delete(w.tables, "ip6tables-nft")
			delete(w.tables, "ip6tables-legacy")
			err := w.system().Apply(t.Context(), settings(t, c.flags))
			if c.fails != (err != nil) {
				t.Errorf("the error is %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "IPv6: ip6tables-nft") {
				t.Errorf("the error %q does not name the program", err)
			}
			if !strings.Contains(w.log.String(), c.logged) {
				t.Errorf("the log does not say %q:\n%s", c.logged, &w.log)
			}
			have, err := read(w.tables["iptables-nft"], ruleset.Redirects)
			if err != nil || !have.ours() {
				t.Errorf("IPv4 rules are missing: %v, %v", have, err)
			}
		})
	}
}

func TestAFamilyThatIsNoLongerRedirectedIsTidied(t *testing.T) {
	w := newWorld()
	if err := w.system().Apply(t.Context(), settings(t, dual)); err != nil {
		t.Fatal(err)
	}
	v4 := settings(t, dual+"--ipv6=off")
	if err := w.system().Apply(t.Context(), v4); err != nil {
		t.Fatal(err)
	}
	if got, want := w.String(), only(t, config.ModeNFT, v4); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRemoveTakesOutEverythingOfOursEverywhere(t *testing.T) {
	w := newWorld()
	for p := range w.tables {
		w.loaded(t, p, foreignRule)
	}
	before := w.String()
	for _, f := range families {
		for _, m := range []config.Mode{config.ModeNFT, config.ModeLegacy} {
			w.loaded(t, program(f, m), ruleset.Script(settings(t, dual), f))
		}
	}
	for range 2 {
		if err := w.system().Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.String(); got != before {
			t.Errorf("after removing there is\n%s\nwant\n%s", got, before)
		}
	}
}

func TestRemoveFailsWhereRulesMayBeUnseen(t *testing.T) {
	for name, c := range map[string]struct {
		missing []string
		hasIPv6 bool
		fails   string // words of the error, or ""
	}{
		"everything can be read":               {nil, true, ""},
		"no nft, but legacy":                   {[]string{"iptables-nft", "ip6tables-nft"}, true, ""},
		"a legacy table that cannot be read":   {[]string{"iptables-legacy"}, true, "IPv4: iptables-legacy"},
		"no IPv4 program at all":               {[]string{"iptables-nft", "iptables-legacy"}, true, "IPv4: iptables-nft"},
		"no IPv6 program in a pod with IPv6":   {[]string{"ip6tables-nft", "ip6tables-legacy"}, true, "IPv6: ip6tables-nft"},
		"no IPv6 program in a pod without any": {[]string{"ip6tables-nft", "ip6tables-legacy"}, false, ""},
	} {
		w := newWorld()
		w.host.HasIPv6 = c.hasIPv6
		for _, p := range c.missing {
			delete(w.tables, p)
		}
		err := w.system().Remove(t.Context())
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}
