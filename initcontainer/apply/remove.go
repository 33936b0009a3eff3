package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// Remove takes out everything of ours, in both families and both implementations. It changes nothing when there is
// nothing. It fails when a place where rules of ours may be cannot be read.
func (s System) Remove(ctx context.Context) error {
	var errs error
	for _, f := range families {
		var unreadable []config.Mode // the first chain's table; the second stands beside it, so that this is said once
		for _, ch := range ruleset.Chains {
			nft, legacy := s.look(f, config.ModeNFT, ch), s.look(f, config.ModeLegacy, ch)
			if err := s.clean(ctx, f, nft, legacy, nil); err != nil {
				errs = errors.Join(errs, fmt.Errorf("%s: %w", f, err))
			}
			for _, sd := range []*side{nft, legacy} {
				switch {
				case sd.err == nil, slices.Contains(unreadable, sd.mode):
				case sd == nft && legacy.usable(), f == ruleset.IPv6 && !s.Host.HasIPv6:
					// Rules cannot have been made there either, or not for anybody.
					s.Log.Warn("not looked at", "family", f.String(), "table", sd.chain.Table, "mode", string(sd.mode), "error", s.explain(f, sd, nil))
				default:
					errs = errors.Join(errs, fmt.Errorf("%s: %w", f, s.explain(f, sd, nil)))
				}
				if sd.err != nil {
					unreadable = append(unreadable, sd.mode)
				}
			}
		}
	}
	return errs
}

// clean looks again and removes what is ours from both implementations except the one in use (nil for none). Sides that
// cannot be read are left alone.
func (s System) clean(ctx context.Context, f ruleset.Family, nft, legacy, used *side) error {
	for _, sd := range []*side{nft, legacy} {
		if sd == used || sd.idle {
			continue
		}
		if s.read(f, sd); sd.err != nil {
			continue
		}
		log := s.Log.With("family", f.String(), "mode", string(sd.mode), "table", sd.chain.Table)
		if !sd.have.ours() {
			if used == nil {
				log.Info("unchanged", "rules", 0)
			}
			continue
		}
		if err := s.run(ctx, log, f, sd, plan(sd.have, nil), nil); err != nil {
			return err
		}
		if err := s.verify(f, sd, nil); err != nil {
			return err
		}
		log.Info("removed")
	}
	return nil
}

// tidy removes what is left of ours in a family in which nothing is to be redirected any more.
func (s System) tidy(ctx context.Context, f ruleset.Family, ch ruleset.Chain) {
	nft, legacy := s.look(f, config.ModeNFT, ch), s.look(f, config.ModeLegacy, ch)
	if nft.err != nil {
		// Not asked for, so no reason to fail: an image or a kernel without this family is fine.
		s.Log.Debug("not looked at", "family", f.String(), "table", ch.Table, "mode", string(nft.mode), "error", nft.err)
	}
	if nft.have.ours() || legacy.have.ours() {
		if err := s.clean(ctx, f, nft, legacy, nil); err != nil {
			s.Log.Warn("rules of an earlier run stay", "family", f.String(), "table", ch.Table, "error", err)
		}
	}
}
