package apply

import (
	"context"
	"log/slog"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// dropping is what became of the rules that drop invalid packets.
type dropping struct {
	inForce, changed bool
	err              error // the run is being stopped
}

// drop brings ruleset.Drops into force, in the implementation that the redirect is in. The redirect works without it, save for what
// becomes of rare packets, so that a kernel without the filter table or the conntrack match is told of and gone on with.
func (s System) drop(ctx context.Context, log *slog.Logger, c config.Config, f ruleset.Family, m config.Mode) (d dropping) {
	nft, legacy := s.look(f, config.ModeNFT, ruleset.Drops), s.look(f, config.ModeLegacy, ruleset.Drops)
	used := nft
	if m == config.ModeLegacy {
		used = legacy
	}
	if used.idle {
		s.read(f, used)
	}
	changed, err := s.converge(ctx, log, f, used, ruleset.Drops.Build(c, f))
	switch {
	case err == nil:
		d.inForce, d.changed = true, changed
	case ctx.Err() != nil:
		s.discard(log, used)
		d.err = err
		return d
	default:
		s.discard(log, used)
		log.Warn("goes on without a rule: connections of which a packet is taken for invalid may be reset", "error", err)
	}
	if err := s.clean(ctx, f, nft, legacy, used); err != nil {
		log.Warn("rules of an earlier run stay", "table", ruleset.Drops.Table, "error", err)
	}
	return d
}
