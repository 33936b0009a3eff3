package apply

import (
	"github.com/coreos/go-iptables/iptables"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// Tables is what is needed of one iptables program: one IP version, one kernel implementation. *iptables.IPTables is
// one. Every call but ChainExists and List is one atomic change.
type Tables interface {
	ChainExists(table, chain string) (bool, error)
	List(table, chain string) ([]string, error) // as iptables -S prints it
	NewChain(table, chain string) error
	Append(table, chain string, rule ...string) error
	Delete(table, chain string, rule ...string) error // the first rule spelled like this
	ClearChain(table, chain string) error
	DeleteChain(table, chain string) error
}

// lockWait is how many seconds iptables waits for the lock of legacy tables. Without it a holder that hangs would keep
// the pod from starting, without a word.
const lockWait = 10

// OpenIptables finds the iptables program for a family and an implementation (not config.ModeAuto) in PATH.
func OpenIptables(f ruleset.Family, m config.Mode) (Tables, error) {
	proto := iptables.ProtocolIPv4
	if f == ruleset.IPv6 {
		proto = iptables.ProtocolIPv6
	}
	t, err := iptables.New(iptables.IPFamily(proto), iptables.Path(program(f, m)), iptables.Timeout(lockWait))
	if err != nil {
		return nil, err // not t: a nil *IPTables would make a Tables that is not nil
	}
	return t, nil
}

// program is the iptables program's name, as every distribution has it since iptables 1.8.
func program(f ruleset.Family, m config.Mode) string {
	if f == ruleset.IPv6 {
		return "ip6tables-" + string(m)
	}
	return "iptables-" + string(m)
}
