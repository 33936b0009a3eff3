package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// System is the network namespace to work on.
type System struct {
	Open func(ruleset.Family, config.Mode) (Tables, error) // OpenIptables; never asked for config.ModeAuto
	Host Host
	Log  *slog.Logger
}

var families = []ruleset.Family{ruleset.IPv4, ruleset.IPv6}

// Apply makes the kernel's rules those the settings ask for. When it returns nil they are in force, have been read
// back, and nothing else of ours is left; but for the rules of ruleset.Drops, which a kernel may be unable to have: the
// log says so then. On an error what was in force before still is, or the new rules are.
func (s System) Apply(ctx context.Context, c config.Config) error {
	var errs error
	for _, f := range families {
		if err := s.applyFamily(ctx, c, f); err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", f, err))
		}
	}
	return errs
}

func (s System) applyFamily(ctx context.Context, c config.Config, f ruleset.Family) error {
	want := ruleset.Redirects.Build(c, f)
	if len(want) == 0 {
		s.Log.Info("nothing to redirect", "family", f.String())
		for _, ch := range ruleset.Chains {
			s.tidy(ctx, f, ch)
		}
		return nil
	}
	nft, legacy := s.look(f, config.ModeNFT, ruleset.Redirects), s.look(f, config.ModeLegacy, ruleset.Redirects)
	if legacy.err != nil && c.IptablesMode != config.ModeLegacy {
		s.Log.Warn("there is a legacy nat table which cannot be read", "family", f.String(), "error", s.explain(f, legacy, nil))
	}
	order, why := choose(c.IptablesMode, nft, legacy)
	var errs error
	for i, used := range order {
		if i > 0 {
			why = Fallback
		}
		if used.idle {
			s.read(f, used)
		}
		log := s.Log.With("family", f.String(), "mode", string(used.mode))
		changed, err := s.converge(ctx, log, f, used, want)
		if err == nil {
			drops := s.drop(ctx, log, c, f, used.mode)
			changed = changed || drops.changed
			log.Info(map[bool]string{true: "in force", false: "unchanged"}[changed],
				"rules", len(want), "why", string(why), "dropsInvalid", drops.inForce)
			return errors.Join(drops.err, s.clean(ctx, f, nft, legacy, used))
		}
		errs = errors.Join(errs, err)
		s.discard(log, used)
		if ctx.Err() != nil {
			break
		}
		if i+1 < len(order) {
			log.Warn("does not work here, trying the other", "error", err, "other", string(order[i+1].mode))
		}
	}
	if f == ruleset.IPv6 && c.IPv6 == config.IPv6Auto && !s.Host.HasIPv6 {
		s.Log.Warn("skipped: the pod has no IPv6 address, and IPv6 rules cannot be made here",
			"family", f.String(), "error", errs)
		return nil
	}
	return errs
}

// look opens one implementation and reads it, without creating what is not there.
func (s System) look(f ruleset.Family, m config.Mode, ch ruleset.Chain) *side {
	sd := &side{chain: ch, mode: m, idle: m == config.ModeLegacy && !slices.Contains(s.Host.Legacy[f], ch.Table)}
	if !sd.idle {
		s.read(f, sd)
	}
	return sd
}

func (s System) read(f ruleset.Family, sd *side) {
	sd.idle = false
	if sd.tables, sd.err = s.Open(f, sd.mode); sd.err == nil {
		sd.have, sd.err = read(sd.tables, sd.chain)
	}
}

// converge brings one implementation from what it has to what is wanted.
func (s System) converge(
	ctx context.Context, log *slog.Logger, f ruleset.Family, sd *side, want []ruleset.Rule,
) (changed bool, err error) {
	if sd.err != nil {
		return false, s.explain(f, sd, nil)
	}
	steps := plan(sd.have, want)
	if len(steps) == 0 {
		return false, nil
	}
	if sd.have.foreign > 0 {
		log.Info("other rules in OUTPUT are kept and come first", "table", sd.chain.Table, "count", sd.have.foreign)
	}
	if err := s.run(ctx, log, f, sd, steps, want); err != nil {
		return true, err
	}
	return true, s.verify(f, sd, want)
}

// run executes steps, each logged once it is done.
func (s System) run(
	ctx context.Context, log *slog.Logger, f ruleset.Family, sd *side, steps []step, want []ruleset.Rule,
) error {
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before %q: %w", st, err)
		}
		if sd.err = execute(sd, st, want); sd.err != nil {
			return s.explain(f, sd, &st)
		}
		log.Info("done", "table", sd.chain.Table, "step", st.String())
	}
	return nil
}

// execute does one step.
func execute(sd *side, st step, want []ruleset.Rule) error {
	t, table := sd.tables, sd.chain.Table
	switch st.op {
	case newChain:
		return t.NewChain(table, st.chain)
	case appendRule:
		return t.Append(table, st.chain, st.rule...)
	case deleteRule:
		return t.Delete(table, st.chain, st.rule...)
	case clearChain:
		return t.ClearChain(table, st.chain)
	case deleteChain:
		return t.DeleteChain(table, st.chain)
	case checkChain:
		have, err := read(t, sd.chain)
		if err == nil && !have.holds(st.chain, want) {
			err = fmt.Errorf("the kernel has %q", have.chains[st.chain])
		}
		return err
	}
	panic("apply: unknown step " + string(st.op))
}

// verify reads everything back.
func (s System) verify(f ruleset.Family, sd *side, want []ruleset.Rule) error {
	if sd.have, sd.err = read(sd.tables, sd.chain); sd.err != nil {
		return s.explain(f, sd, nil)
	}
	if left := plan(sd.have, want); len(left) > 0 {
		return fmt.Errorf("%s: after all steps the kernel's rules are not those asked for; still to do: %v",
			program(f, sd.mode), left)
	}
	return nil
}

// discard removes the half-built chain of an attempt that failed. What is in force stays.
func (s System) discard(log *slog.Logger, sd *side) {
	if sd.tables == nil {
		return
	}
	have, err := read(sd.tables, sd.chain)
	if err != nil {
		return // the attempt's own error says it already
	}
	for _, st := range leftovers(have) {
		if err := execute(sd, st, nil); err != nil {
			log.Warn("a half-built chain stays behind, which nothing leads to", "table", sd.chain.Table, "step", st.String(), "error", err)
			return
		}
		log.Info("done", "table", sd.chain.Table, "step", st.String())
	}
}
