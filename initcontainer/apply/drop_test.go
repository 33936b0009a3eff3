package apply

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// only the redirect, as an older version made it.
func (w *world) older(t *testing.T, m config.Mode, c config.Config) *world {
	t.Helper()
	for _, f := range families {
		w.loaded(t, program(f, m), ruleset.Redirects.Script(ruleset.Redirects.Build(c, f)))
	}
	return w
}

func TestWhatAnOlderVersionMadeIsCompleted(t *testing.T) {
	for _, m := range []config.Mode{config.ModeNFT, config.ModeLegacy} {
		w, c := newWorld().older(t, m, settings(t, dual)), settings(t, dual)
		for _, k := range w.tables {
			k.After = func(command string) {
				if !strings.HasPrefix(command, "-t filter") {
					t.Errorf("%s: the redirect, which was right, was changed: %s", m, command)
				}
			}
		}
		if err := w.system().Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got, want := w.String(), only(t, m, c); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", m, got, want)
		}
		if n := strings.Count(w.log.String(), `msg="in force"`); n != 2 || strings.Count(w.log.String(), "dropsInvalid=true") != 2 {
			t.Errorf("%s: the log is\n%s", m, &w.log)
		}
	}
}

// A kernel that cannot drop invalid packets is told of, once for each family, and redirects all the same.
func TestWithoutTheFilterTableOrTheMatchThePodStarts(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*world)
		says   string
	}{
		"no conntrack match": {func(w *world) {
			for _, k := range w.tables {
				k.Before = func(command string) error {
					if strings.Contains(command, "--ctstate") {
						return errors.New("Extension conntrack revision 0 not supported, missing kernel module?")
					}
					return nil
				}
			}
		}, "module xt_conntrack"},
		"no filter table": {func(w *world) {
			for _, k := range w.tables {
				k.Broken = func(table string) error {
					if table == "filter" {
						return errors.New("can't initialize iptables table `filter': Table does not exist (do you need to insmod?)")
					}
					return nil
				}
			}
		}, "table_filter"},
	} {
		for _, mode := range []string{"nft", "legacy"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				w, s := newWorld(), settings(t, dual+"--iptables-mode="+mode)
				c.breaks(w)
				for _, outcome := range []string{`msg="in force"`, "msg=unchanged"} {
					w.log.Reset()
					if err := w.system().Apply(t.Context(), s); err != nil {
						t.Fatal(err)
					}
					if got, want := w.String(), newWorld().older(t, config.Mode(mode), s).String(); got != want {
						t.Errorf("got\n%s\nwant\n%s", got, want)
					}
					log := w.log.String()
					if strings.Count(log, "level=WARN") != 2 || strings.Count(log, c.says) != 2 ||
						strings.Count(log, outcome) != 2 || strings.Count(log, "dropsInvalid=false") != 2 {
						t.Errorf("want %q and %q in the log:\n%s", c.says, outcome, log)
					}
				}
			})
		}
	}
}

func TestAStopWhileTheSecondChainIsBuiltLeavesTheFirstInForce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, c := newWorld(), settings(t, "--redirect-cidrs=10.96.0.0/16")
	w.tables["iptables-nft"].After = func(command string) {
		if strings.HasPrefix(command, "-t filter -N") {
			cancel()
		}
	}
	err := w.system().Apply(ctx, c)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `stopped before "append `+ruleset.Drops.A) {
		t.Errorf("the error is %v", err)
	}
	if got, want := w.String(), newWorld().older(t, config.ModeNFT, c).String(); got != want {
		t.Errorf("it leaves\n%s\nwant\n%s", got, want)
	}
}

// A legacy filter table that is not there would be made by looking at it; in a namespace that has a legacy nat table, too.
func TestALegacyFilterTableIsNotMadeByLooking(t *testing.T) {
	w := newWorld()
	for _, f := range families {
		w.host.Legacy[f] = []string{"nat"}
		w.tables[program(f, config.ModeLegacy)].Broken = func(table string) error {
			if table == "filter" {
				t.Error("the legacy filter table was looked at")
			}
			return nil
		}
	}
	if err := w.system().Apply(t.Context(), settings(t, dual)); err != nil {
		t.Fatal(err)
	}
	if err := w.system().Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := w.String(), newWorld().String(); got != want {
		t.Errorf("after removing there is\n%s", got)
	}
}

func TestRemoveFailsWhereTheFilterTableCannotBeRead(t *testing.T) {
	w := newWorld()
	w.tables["iptables-nft"].Broken = func(table string) error {
		if table == "filter" {
			return errors.New("chain `OUTPUT' in table `filter' is incompatible, use 'nft' tool.")
		}
		return nil
	}
	w.legacyInUse(false)
	err := w.system().Remove(t.Context())
	if err == nil || !strings.Contains(err.Error(), "IPv4: iptables-nft: look at its filter table") {
		t.Errorf("the error is %v", err)
	}
}
