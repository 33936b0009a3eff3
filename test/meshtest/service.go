package meshtest

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Service makes the node send each new connection to vip to one of the backends, chosen at random, the way kube-proxy
// does: what pods get without Sluice, and what the proxy falls back to. A backend may be the calling pod itself (the
// node then masquerades, as kube-proxy does for hairpins). Calling it again for the same vip replaces the backends for
// new connections; no backends means that connections are refused.
func (n *Net) Service(vip netip.AddrPort, backends ...netip.AddrPort) error {
	for _, b := range backends {
		if b.Addr().Is4() != vip.Addr().Is4() {
			return fmt.Errorf("meshtest: service %s has a backend of the other address family: %s", vip, b)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	tool := "iptables"
	if vip.Addr().Is6() {
		tool = "ip6tables"
	}
	rules := func(table, list string) (err error) {
		for line := range strings.Lines(list) {
			err = errors.Join(err, n.Node.run(tool, append([]string{"-w", "-t", table}, strings.Fields(line)...)...))
		}
		return err
	}
	chain := serviceChain(vip)
	to := fmt.Sprintf("-d %s -p tcp --dport %d", vip.Addr(), vip.Port())
	fresh := n.Node.run(tool, "-w", "-t", "nat", "-n", "-L", chain) != nil
	if fresh {
		err := rules("nat", fmt.Sprintf("-N %[1]s\n-A PREROUTING %[2]s -j %[1]s\n-A OUTPUT %[2]s -j %[1]s\n", chain, to))
		if err != nil {
			return err
		}
	}
	if len(backends) == 0 {
		return errors.Join(rules("nat", "-F "+chain), n.refuse(tool, to, true))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-F %s\n", chain)
	for i, be := range backends {
		share := ""
		if left := len(backends) - i; left > 1 {
			share = "-m statistic --mode random --probability " + strconv.FormatFloat(1/float64(left), 'f', 10, 64)
		}
		fmt.Fprintf(&b, "-A %s -p tcp %s -j DNAT --to-destination %s\n", chain, share, be)
		// A pod that reaches itself through the Service must see the answer come back from the node.
		hairpin := fmt.Sprintf("POSTROUTING -s %[1]s -d %[1]s -p tcp --dport %[2]d -j MASQUERADE", be.Addr(), be.Port())
		if n.Node.run(tool, append([]string{"-w", "-t", "nat", "-C"}, strings.Fields(hairpin)...)...) != nil {
			fmt.Fprintf(&b, "-A %s\n", hairpin)
		}
	}
	return errors.Join(rules("nat", b.String()), n.refuse(tool, to, false))
}

// refuse adds or removes the answer to connections to a Service without endpoints: a reset, as kube-proxy's REJECT.
func (n *Net) refuse(tool, to string, on bool) error {
	run := func(op, chain string) error {
		args := append([]string{"-w", "-t", "filter", op, chain}, strings.Fields(to)...)
		return n.Node.run(tool, append(args, "-j", "REJECT", "--reject-with", "tcp-reset")...)
	}
	var err error
	for _, chain := range []string{"FORWARD", "OUTPUT"} {
		present := run("-C", chain) == nil
		switch {
		case on && !present:
			err = errors.Join(err, run("-A", chain))
		case !on && present:
			err = errors.Join(err, run("-D", chain))
		}
	}
	return err
}

// serviceChain is a name of at most 28 characters, which is what iptables allows.
func serviceChain(vip netip.AddrPort) string {
	if vip.Addr().Is4() {
		a := vip.Addr().As4()
		return fmt.Sprintf("SVC-%x-%d", a[:], vip.Port())
	}
	a := vip.Addr().As16()
	return fmt.Sprintf("SVC-%x-%d", a[8:], vip.Port()) // the host half tells the Services of one CIDR apart
}
