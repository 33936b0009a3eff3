package apply

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// Texts are as iptables 1.8.9 words them; those marked so are from its source, the others were seen.
func TestErrorsSayWhatIsMissing(t *testing.T) {
	const (
		admin = 1 << capNetAdmin
		raw   = 1 << capNetRaw
	)
	owner := strings.Fields("-m owner --uid-owner 15301 -j RETURN")
	redirect := strings.Fields("-d 10.96.0.0/16 -p tcp -j REDIRECT --to-ports 15301")
	port := strings.Fields("-p tcp -m tcp --dport 53 -j RETURN")
	for name, c := range map[string]struct {
		mode   config.Mode
		family ruleset.Family
		caps   uint64
		uid    int
		text   string
		rule   []string
		want   string
	}{
		"nft without the capability": {config.ModeNFT, ruleset.IPv4, 0, 0,
			"iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)", nil,
			"missing capability NET_ADMIN: add it to the container's securityContext"},
		"nft as an ordinary user": {config.ModeNFT, ruleset.IPv4, 0, 65534,
			"iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)", nil,
			"runs as user 65534"},
		"legacy without any capability": {config.ModeLegacy, ruleset.IPv4, 0, 0,
			"iptables v1.8.9 (legacy): can't initialize iptables table `nat': Permission denied (you must be root)", nil,
			"NET_ADMIN and NET_RAW"},
		"legacy without NET_RAW": {config.ModeLegacy, ruleset.IPv6, admin, 0,
			"ip6tables v1.8.9 (legacy): can't initialize ip6tables table `nat': Permission denied (you must be root)", nil,
			"missing capability NET_RAW"},
		"forbidden in spite of all capabilities": {config.ModeNFT, ruleset.IPv4, admin | raw, 0,
			"iptables v1.8.9 (nf_tables): Could not fetch rule set generation id: Operation not permitted", nil,
			"seccomp"},
		"no lock file": {config.ModeLegacy, ruleset.IPv4, admin | raw, 0,
			"Fatal: can't open lock file /run/xtables.lock: Permission denied", nil, "XTABLES_LOCKFILE"},
		"somebody holds the lock": {config.ModeLegacy, ruleset.IPv4, admin | raw, 0,
			"Can't lock /run/xtables.lock: Resource temporarily unavailable\n" +
				"Another app is currently holding the xtables lock. Stopped waiting after 10s.", nil,
			"waited 10 s"},
		"legacy nat is not in the kernel": {config.ModeLegacy, ruleset.IPv4, admin | raw, 0,
			"iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)", nil,
			"iptable_nat"},
		"legacy IPv6 nat is not in the kernel": {config.ModeLegacy, ruleset.IPv6, admin | raw, 0,
			"ip6tables v1.8.9 (legacy): can't initialize ip6tables table `nat': Table does not exist (do you need to insmod?)", nil,
			"ip6table_nat"},
		"nf_tables is not in the kernel": {config.ModeNFT, ruleset.IPv4, admin, 0, // from the program's source
			"iptables/1.8.9 Failed to initialize nft: Protocol not supported", nil, "module nf_tables"},
		"a match is not in the kernel": {config.ModeNFT, ruleset.IPv4, admin, 0, // from the program's source
			"Warning: Extension owner revision 0 not supported, missing kernel module?", owner, "module xt_owner"},
		"a target is not in the kernel": {config.ModeLegacy, ruleset.IPv4, admin | raw, 0,
			"iptables: No chain/target/match by that name.", redirect, "xt_REDIRECT"},
		"nft cannot append the owner rule": {config.ModeNFT, ruleset.IPv4, admin, 0, // from the program's source
			"iptables v1.8.9 (nf_tables):  RULE_APPEND failed (No such file or directory): rule in chain SLUICE_OUTPUT_A", owner,
			"xt_owner, nft_compat"},
		"nft cannot append a port rule": {config.ModeNFT, ruleset.IPv4, admin, 0, // from the program's source
			"iptables v1.8.9 (nf_tables):  RULE_APPEND failed (No such file or directory): rule in chain SLUICE_OUTPUT_A", port,
			"xt_tcpudp, nft_compat"},
		"nft nat chains are not in the kernel": {config.ModeNFT, ruleset.IPv4, admin, 0, // from the program's source
			"iptables v1.8.9 (nf_tables):  CHAIN_ADD failed (No such file or directory): chain OUTPUT", nil, "nft_chain_nat"},
		"a user that the user namespace does not have": {config.ModeNFT, ruleset.IPv4, admin, 0,
			"iptables v1.8.9 (nf_tables): RULE_APPEND failed (Invalid argument): rule in chain SLUICE_OUTPUT_A", owner, "uid_map"},
		"a table made by nft itself": {config.ModeNFT, ruleset.IPv4, admin, 0,
			"iptables v1.8.9 (nf_tables): chain `OUTPUT' in table `nat' is incompatible, use 'nft' tool.", nil, "--iptables-mode=legacy"},
		"something new": {config.ModeNFT, ruleset.IPv4, admin, 0, "the moon is full", nil, ""},
	} {
		got := advise(c.family, c.mode, "nat", Host{UID: c.uid, CapEff: c.caps}, errors.New(c.text), c.rule)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: the advice is %q, want %q in it", name, got, c.want)
		}
	}
	gone := fmt.Errorf("opening: %w", &exec.Error{Name: "iptables-nft", Err: exec.ErrNotFound})
	if got := advise(ruleset.IPv4, config.ModeNFT, "nat", Host{}, gone, nil); !strings.Contains(got, "iptables 1.8") {
		t.Errorf("a missing program: the advice is %q", got)
	}
}

func TestErrorsOfTheFilterTableSayWhatIsMissing(t *testing.T) {
	state := strings.Fields("-p tcp -m conntrack --ctstate INVALID -j SLUICE_INVALID_A")
	for name, c := range map[string]struct {
		mode   config.Mode
		family ruleset.Family
		text   string
		rule   []string
		want   string
	}{
		"legacy filter is not in the kernel": {config.ModeLegacy, ruleset.IPv4,
			"iptables v1.8.9 (legacy): can't initialize iptables table `filter': Table does not exist (do you need to insmod?)", nil,
			"lacks legacy filter: modules ip_tables, iptable_filter"},
		"legacy IPv6 filter is not in the kernel": {config.ModeLegacy, ruleset.IPv6,
			"ip6tables v1.8.9 (legacy): can't initialize ip6tables table `filter': Table does not exist (do you need to insmod?)", nil,
			"lacks legacy IPv6 filter: modules ip6_tables, ip6table_filter"},
		"the match is not in the kernel": {config.ModeNFT, ruleset.IPv4, // from the program's source
			"Warning: Extension conntrack revision 0 not supported, missing kernel module?", state, "module xt_conntrack"},
		"nft cannot append the jump": {config.ModeNFT, ruleset.IPv4, // from the program's source
			"iptables v1.8.9 (nf_tables):  RULE_APPEND failed (No such file or directory): rule in chain OUTPUT", state,
			"xt_conntrack, nft_compat"},
		"legacy cannot append the jump": {config.ModeLegacy, ruleset.IPv4,
			"iptables: No chain/target/match by that name.", state, "a module: xt_conntrack"},
	} {
		got := advise(c.family, c.mode, "filter", Host{CapEff: ^uint64(0)}, errors.New(c.text), c.rule)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: the advice is %q, want %q in it", name, got, c.want)
		}
	}
}
