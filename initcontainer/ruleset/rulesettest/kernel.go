// Package rulesettest is a stand-in for the kernel's nat table: chains of rules as iptables takes them, the few
// commands the init container uses with the kernel's own refusals, and a walker that says what becomes of a packet. It
// is written without ruleset's types on purpose: it is the dumb twin they are compared with. For tests only.
package rulesettest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors the kernel gives, in its words.
var (
	ErrExists   = errors.New("chain already exists")
	ErrMissing  = errors.New("no chain/target/match by that name")
	ErrBusy     = errors.New("too many links")
	ErrNotEmpty = errors.New("directory not empty")
	ErrNoRule   = errors.New("bad rule (does a matching rule exist in that chain?)")
)

// Kernel is one nat table. It is not safe for concurrent use.
type Kernel struct {
	Chains map[string][][]string // rules of each chain, as arguments

	// Before, when set, is asked before each command that changes something, and ends the command with its error.
	Before func(command string) error
	// After, when set, is told after each command that has changed something.
	After func(command string)
}

// NewKernel is a table with an empty OUTPUT chain.
func NewKernel() *Kernel {
	return &Kernel{Chains: map[string][][]string{"OUTPUT": nil}}
}

func (k *Kernel) change(command string, f func() error) error {
	if k.Before != nil {
		if err := k.Before(command); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if k.After != nil {
		k.After(command)
	}
	return nil
}

// ChainExists reports whether the chain is there.
func (k *Kernel) ChainExists(_, chain string) (bool, error) {
	_, ok := k.Chains[chain]
	return ok, nil
}

// List writes the chain as iptables -S does.
func (k *Kernel) List(_, chain string) ([]string, error) {
	rules, ok := k.Chains[chain]
	if !ok {
		return nil, ErrMissing
	}
	lines := []string{"-N " + chain}
	if chain == "OUTPUT" {
		lines = []string{"-P OUTPUT ACCEPT"}
	}
	for _, r := range rules {
		lines = append(lines, "-A "+chain+" "+strings.Join(r, " "))
	}
	return lines, nil
}

// NewChain makes an empty chain.
func (k *Kernel) NewChain(_, chain string) error {
	return k.change("-N "+chain, func() error {
		if _, ok := k.Chains[chain]; ok {
			return ErrExists
		}
		k.Chains[chain] = nil
		return nil
	})
}

// Append adds a rule at a chain's end.
func (k *Kernel) Append(_, chain string, rule ...string) error {
	return k.change("-A "+chain+" "+strings.Join(rule, " "), func() error {
		if _, ok := k.Chains[chain]; !ok {
			return ErrMissing
		}
		if t := target(rule); t != "RETURN" && t != "REDIRECT" {
			if _, ok := k.Chains[t]; !ok {
				return ErrMissing
			}
		}
		k.Chains[chain] = append(slices.Clone(k.Chains[chain]), slices.Clone(rule))
		return nil
	})
}

// Delete removes the first rule that is spelled like this.
func (k *Kernel) Delete(_, chain string, rule ...string) error {
	return k.change("-D "+chain+" "+strings.Join(rule, " "), func() error {
		i := slices.IndexFunc(k.Chains[chain], func(r []string) bool { return slices.Equal(r, rule) })
		if i < 0 {
			return ErrNoRule
		}
		k.Chains[chain] = slices.Delete(slices.Clone(k.Chains[chain]), i, i+1)
		return nil
	})
}

// ClearChain empties a chain that is there.
func (k *Kernel) ClearChain(_, chain string) error {
	return k.change("-F "+chain, func() error {
		if _, ok := k.Chains[chain]; !ok {
			return ErrMissing
		}
		k.Chains[chain] = nil
		return nil
	})
}

// DeleteChain removes an empty chain that nothing jumps to.
func (k *Kernel) DeleteChain(_, chain string) error {
	return k.change("-X "+chain, func() error {
		rules, ok := k.Chains[chain]
		switch {
		case !ok:
			return ErrMissing
		case len(rules) > 0:
			return ErrNotEmpty
		}
		for _, others := range k.Chains {
			for _, r := range others {
				if target(r) == chain {
					return ErrBusy
				}
			}
		}
		delete(k.Chains, chain)
		return nil
	})
}

// String lists the table; equal tables have equal text.
func (k *Kernel) String() string {
	var names []string
	for n := range k.Chains {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, ":%s\n", n)
		for _, r := range k.Chains[n] {
			fmt.Fprintf(&b, "-A %s %s\n", n, strings.Join(r, " "))
		}
	}
	return b.String()
}

// Load reads an iptables-restore script.
func (k *Kernel) Load(script string) error {
	for line := range strings.Lines(script) {
		f := strings.Fields(line)
		var err error
		switch {
		case strings.HasPrefix(line, ":"):
			err = k.NewChain("nat", strings.TrimPrefix(f[0], ":"))
		case f[0] == "-A":
			err = k.Append("nat", f[1], f[2:]...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func target(rule []string) string {
	if i := slices.Index(rule, "-j"); i >= 0 && i+1 < len(rule) {
		return rule[i+1]
	}
	return ""
}
