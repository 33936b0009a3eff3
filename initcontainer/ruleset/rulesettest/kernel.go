// Package rulesettest is a stand-in for the kernel's nat and filter tables: chains of rules as iptables takes them, the few
// commands the init container uses with the kernel's own refusals, and a walker that says what becomes of a packet. It
// is written without ruleset's types on purpose: it is the dumb twin they are compared with. For tests only.
package rulesettest

import (
	"errors"
	"fmt"
	"maps"
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

// Kernel is what one iptables program sees. It is not safe for concurrent use.
type Kernel struct {
	Tables map[string]Table

	// Broken, when set, is asked before a table is read, and ends that with its error.
	Broken func(table string) error

	// Before, when set, is asked before each command that changes something, "-t nat -N CHAIN" for instance, and ends
	// the command with its error.
	Before func(command string) error
	// After, when set, is told after each command that has changed something.
	After func(command string)
}

// Table has the rules of each chain, as arguments.
type Table map[string][][]string

// NewKernel has an empty OUTPUT chain in each table.
func NewKernel() *Kernel {
	return &Kernel{Tables: map[string]Table{"filter": {"OUTPUT": nil}, "nat": {"OUTPUT": nil}}}
}

func (k *Kernel) broken(table string) error {
	if k.Broken == nil {
		return nil
	}
	return k.Broken(table)
}

func (k *Kernel) change(table, command string, f func(Table) error) error {
	command = "-t " + table + " " + command
	if k.Before != nil {
		if err := k.Before(command); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	if err := f(k.Tables[table]); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	if k.After != nil {
		k.After(command)
	}
	return nil
}

// ChainExists reports whether the chain is there.
func (k *Kernel) ChainExists(table, chain string) (bool, error) {
	_, ok := k.Tables[table][chain]
	return ok, k.broken(table)
}

// List writes the chain as iptables -S does.
func (k *Kernel) List(table, chain string) ([]string, error) {
	if err := k.broken(table); err != nil {
		return nil, err
	}
	rules, ok := k.Tables[table][chain]
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
func (k *Kernel) NewChain(table, chain string) error {
	return k.change(table, "-N "+chain, func(in Table) error {
		if _, ok := in[chain]; ok {
			return ErrExists
		}
		in[chain] = nil
		return nil
	})
}

// Append adds a rule at a chain's end.
func (k *Kernel) Append(table, chain string, rule ...string) error {
	return k.change(table, "-A "+chain+" "+strings.Join(rule, " "), func(in Table) error {
		if _, ok := in[chain]; !ok {
			return ErrMissing
		}
		if t := target(rule); t != "RETURN" && t != "DROP" && (t != "REDIRECT" || table != "nat") {
			if _, ok := in[t]; !ok {
				return ErrMissing
			}
		}
		in[chain] = append(slices.Clone(in[chain]), slices.Clone(rule))
		return nil
	})
}

// Delete removes the first rule that is spelled like this.
func (k *Kernel) Delete(table, chain string, rule ...string) error {
	return k.change(table, "-D "+chain+" "+strings.Join(rule, " "), func(in Table) error {
		i := slices.IndexFunc(in[chain], func(r []string) bool { return slices.Equal(r, rule) })
		if i < 0 {
			return ErrNoRule
		}
		in[chain] = slices.Delete(slices.Clone(in[chain]), i, i+1)
		return nil
	})
}

// ClearChain empties a chain that is there.
func (k *Kernel) ClearChain(table, chain string) error {
	return k.change(table, "-F "+chain, func(in Table) error {
		if _, ok := in[chain]; !ok {
			return ErrMissing
		}
		in[chain] = nil
		return nil
	})
}

// DeleteChain removes an empty chain that nothing jumps to.
func (k *Kernel) DeleteChain(table, chain string) error {
	return k.change(table, "-X "+chain, func(in Table) error {
		rules, ok := in[chain]
		switch {
		case !ok:
			return ErrMissing
		case len(rules) > 0:
			return ErrNotEmpty
		}
		for _, others := range in {
			for _, r := range others {
				if target(r) == chain {
					return ErrBusy
				}
			}
		}
		delete(in, chain)
		return nil
	})
}

// String lists the tables; equal ones have equal text.
func (k *Kernel) String() string {
	var b strings.Builder
	for _, table := range slices.Sorted(maps.Keys(k.Tables)) {
		fmt.Fprintf(&b, "*%s\n", table)
		for _, n := range slices.Sorted(maps.Keys(k.Tables[table])) {
			fmt.Fprintf(&b, ":%s\n", n)
			for _, r := range k.Tables[table][n] {
				fmt.Fprintf(&b, "-A %s %s\n", n, strings.Join(r, " "))
			}
		}
	}
	return b.String()
}

// Load reads an iptables-restore script; what stands before the first table's name is nat's.
func (k *Kernel) Load(script string) error {
	table := "nat"
	for line := range strings.Lines(script) {
		f := strings.Fields(line)
		var err error
		switch {
		case strings.HasPrefix(line, "*"):
			table = strings.TrimPrefix(f[0], "*")
		case strings.HasPrefix(line, ":"):
			err = k.NewChain(table, strings.TrimPrefix(f[0], ":"))
		case f[0] == "-A":
			err = k.Append(table, f[1], f[2:]...)
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
