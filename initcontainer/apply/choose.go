package apply

import (
	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// side is one of the kernel's two iptables implementations, for one family and one chain.
type side struct {
	chain  ruleset.Chain
	mode   config.Mode // nft or legacy
	tables Tables
	have   state
	err    error // it cannot be used, and why
	idle   bool  // not looked at: there is no table, and looking would create it
}

// usable reports whether the side was looked at and can be read.
func (s *side) usable() bool { return s.err == nil && !s.idle }

// Reason is why an implementation was chosen.
type Reason string

// The reasons, in the order they are considered.
const (
	Asked       Reason = "asked for"
	AlreadyOurs Reason = "earlier run used it"
	UsedByOther Reason = "namespace has rules there"
	Preferred   Reason = "preferred"
	Fallback    Reason = "the other one does not work"
)

// choose orders the two implementations: the first one that works is used. Staying with what an earlier run used makes
// a re-run change nothing; following the rules that are there keeps all nat rules of a pod where a person would look;
// nf_tables is preferred because it needs no CAP_NET_RAW and no lock file.
func choose(asked config.Mode, nft, legacy *side) ([]*side, Reason) {
	switch {
	case asked == config.ModeNFT:
		return []*side{nft}, Asked
	case asked == config.ModeLegacy:
		return []*side{legacy}, Asked
	case nft.have.ours():
		return []*side{nft, legacy}, AlreadyOurs
	case legacy.have.ours():
		return []*side{legacy, nft}, AlreadyOurs
	case legacy.have.foreign > 0 && nft.have.foreign == 0:
		return []*side{legacy, nft}, UsedByOther
	}
	return []*side{nft, legacy}, Preferred
}
