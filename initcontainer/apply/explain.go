package apply

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// explain turns a side's error into one that says what was being done, what the kernel or iptables said, and what is
// missing as far as that can be told.
func (s System) explain(f ruleset.Family, sd *side, st *step) error {
	doing := "look at its " + sd.chain.Table + " table"
	var rule []string
	if st != nil {
		doing, rule = st.String(), st.rule
	}
	said := oneLine{sd.err}
	advice := advise(f, sd.mode, sd.chain.Table, s.Host, sd.err, rule)
	if advice == "" {
		return fmt.Errorf("%s: %s: %w", program(f, sd.mode), doing, said)
	}
	return fmt.Errorf("%s: %s: %s: %w", program(f, sd.mode), doing, advice, said)
}

// oneLine is an error whose text, which iptables spreads over lines, is written as one.
type oneLine struct{ error }

func (o oneLine) Error() string { return strings.Join(strings.Fields(o.error.Error()), " ") }
func (o oneLine) Unwrap() error { return o.error }

// extensionMissing is how iptables names a match or target the kernel does not have.
var extensionMissing = regexp.MustCompile(`(?:Extension|match|target) .?(owner|tcp|conntrack|REDIRECT).? .*(?:not supported|missing)`)

// advise says what is missing. The iptables programs tell their errors apart by text only, so this is the one place
// that reads it; texts are those of iptables 1.8, in both modes. An error it does not know gives no advice.
func advise(f ruleset.Family, m config.Mode, table string, h Host, err error, rule []string) string {
	text := err.Error()
	says := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "the image has no such program: it needs iptables 1.8 or newer, nft and legacy, IPv4 and IPv6"
	case says("holding the xtables lock", "Resource temporarily unavailable"):
		return fmt.Sprintf("another program is changing the rules; waited %d s for it", lockWait)
	case says("open lock file", "Read-only file system"):
		return "legacy iptables needs a lock file it may write: set XTABLES_LOCKFILE, or use --iptables-mode=nft"
	case says("is incompatible, use 'nft' tool"):
		return "the table was made by the nft program in a way iptables cannot read; --iptables-mode=legacy goes around it"
	case says("you must be root", "Operation not permitted", "Permission denied"):
		return adviseCapability(m, h)
	case says("Table does not exist", "do you need to insmod", "can't initialize", "Module ip_tables not found"):
		return adviseLegacy(f, table)
	case says("Protocol not supported", "Failed to initialize nft", "Could not fetch rule set generation id"):
		return "the node's kernel lacks nf_tables: module nf_tables"
	}
	if says("Invalid argument") && strings.Contains(strings.Join(rule, " "), "--uid-owner") {
		return "the kernel takes only users that exist in its user namespace (see /proc/self/uid_map)"
	}
	if found := extensionMissing.FindStringSubmatch(text); found != nil {
		return "the node's kernel lacks module xt_" + found[1]
	}
	if says("No such file or directory", "No chain/target/match by that name", "Could not process rule") {
		return adviseModule(m, table, text, rule)
	}
	return ""
}

func adviseLegacy(f ruleset.Family, table string) string {
	what, modules := table, fmt.Sprintf("ip_tables, iptable_%s", table)
	if f == ruleset.IPv6 {
		what, modules = "IPv6 "+table, fmt.Sprintf("ip6_tables, ip6table_%s", table)
	}
	if table == ruleset.Redirects.Table {
		modules += ", nf_nat"
	}
	return fmt.Sprintf("the node's kernel lacks legacy %s: modules %s", what, modules)
}

func adviseCapability(m config.Mode, h Host) string {
	var missing []string
	if !h.has(capNetAdmin) {
		missing = append(missing, "NET_ADMIN")
	}
	if m == config.ModeLegacy && !h.has(capNetRaw) {
		missing = append(missing, "NET_RAW")
	}
	switch {
	case len(missing) > 0 && h.UID != 0:
		return fmt.Sprintf("missing capability %s: the process runs as user %d, and Kubernetes gives added capabilities to "+
			"root only (runAsUser: 0)", strings.Join(missing, " and "), h.UID)
	case len(missing) > 0:
		return fmt.Sprintf("missing capability %s: add it to the container's securityContext.capabilities.add",
			strings.Join(missing, " and "))
	}
	return "the needed capabilities are there, so something else forbids it: seccomp, AppArmor or SELinux, or a user " +
		"namespace that does not own the network namespace"
}

// adviseModule guesses from what was being done: the kernel says only that something was not found.
func adviseModule(m config.Mode, table, text string, rule []string) string {
	line := strings.Join(rule, " ")
	compat := ""
	if m == config.ModeNFT {
		compat = ", nft_compat"
	}
	switch {
	case table == ruleset.Redirects.Table && (strings.Contains(text, "CHAIN_ADD") || strings.Contains(text, "TABLE_ADD")):
		return "the node's kernel probably lacks nf_tables nat: modules nft_chain_nat, nf_nat"
	case strings.Contains(line, "--uid-owner"):
		return "the node's kernel probably lacks a module: xt_owner" + compat
	case strings.Contains(line, "--ctstate"):
		return "the node's kernel probably lacks a module: xt_conntrack" + compat
	case strings.Contains(line, string(ruleset.Redirect)):
		return "the node's kernel probably lacks a module: xt_REDIRECT, nf_nat_redirect" + compat
	case strings.Contains(line, "--dport"), strings.Contains(line, "--sport"):
		return "the node's kernel probably lacks a module: xt_tcpudp" + compat
	}
	return ""
}
