package ruleset

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/config"
)

// Family is an IP version; each has its own rules and its own iptables program.
type Family int

// The two families, in the order they are worked on.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string {
	if f == IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// Of reports whether an address belongs to the family.
func (f Family) Of(a netip.Addr) bool {
	return a.IsValid() && a.Is6() == (f == IPv6)
}

// Target is where a matching packet goes.
type Target string

// Return leaves the chain, Redirect goes to the local port ToPort, Drop goes nowhere.
const (
	Return   Target = "RETURN"
	Redirect Target = "REDIRECT"
	Drop     Target = "DROP"
)

// Rule is one rule of the chain. All its conditions must hold; the zero value of a field is no condition. Rules are
// compared with ==.
type Rule struct {
	Src     netip.Prefix // source address; neither it nor Dst ever with length 0, which is no condition
	Dst     netip.Prefix // destination address
	Out     string       // outgoing interface
	TCP     bool         // protocol
	UIDs    config.UIDs  // owner of the sending socket, when HasUID
	HasUID  bool         //
	SrcPort uint16       // source port; needs TCP
	Ports   config.Ports // destination port; needs TCP
	Target  Target       //
	ToPort  uint16       // for Redirect, which needs TCP
}

// Args writes the rule as iptables arguments, spelled and ordered as iptables itself lists them.
func (r Rule) Args() []string {
	var a []string
	if r.Src.IsValid() {
		a = append(a, "-s", r.Src.String())
	}
	if r.Dst.IsValid() {
		a = append(a, "-d", r.Dst.String())
	}
	if r.Out != "" {
		a = append(a, "-o", r.Out)
	}
	if r.TCP {
		a = append(a, "-p", "tcp")
	}
	if r.HasUID {
		a = append(a, "-m", "owner", "--uid-owner", r.UIDs.String())
	}
	if r.SrcPort != 0 || r.Ports != (config.Ports{}) {
		a = append(a, "-m", "tcp")
	}
	if r.SrcPort != 0 {
		a = append(a, "--sport", strconv.Itoa(int(r.SrcPort)))
	}
	if r.Ports != (config.Ports{}) {
		a = append(a, "--dport", strings.Replace(r.Ports.String(), "-", ":", 1))
	}
	a = append(a, "-j", string(r.Target))
	if r.Target == Redirect {
		a = append(a, "--to-ports", strconv.Itoa(int(r.ToPort)))
	}
	return a
}

// ParseRule reads what Args writes, in any order of conditions. It reports false for everything else: a rule we have
// not made, or one we made that has been changed.
func ParseRule(args []string) (r Rule, ok bool) {
	for i := 0; i+1 < len(args); i += 2 {
		if v := args[i+1]; !r.read(args[i], v) {
			return Rule{}, false
		}
	}
	plain := (r.Target == Return || r.Target == Drop) && r.ToPort == 0
	redirect := r.Target == Redirect && r.ToPort != 0 && r.TCP
	ports := r.Ports == (config.Ports{}) && r.SrcPort == 0 || r.TCP
	return r, len(args)%2 == 0 && ports && (plain || redirect)
}

// read takes one option with its value. A repeated option, which iptables would take as something else, is refused.
func (r *Rule) read(option, v string) (ok bool) {
	switch option {
	case "-s":
		ok = readAddress(&r.Src, v)
	case "-d":
		ok = readAddress(&r.Dst, v)
	case "-o":
		ok = r.Out == "" && v != ""
		r.Out = v
	case "-p":
		ok = v == "tcp" && !r.TCP
		r.TCP = true
	case "-m":
		ok = v == "owner" || v == "tcp" // the match's own option follows, and is what counts
	case "--uid-owner":
		u, err := config.ParseUIDs(v)
		ok = err == nil && len(u) == 1 && !r.HasUID
		if ok {
			r.UIDs, r.HasUID = u[0], true
		}
	case "--sport":
		p, err := config.ParsePort(v)
		ok = err == nil && r.SrcPort == 0
		r.SrcPort = p
	case "--dport":
		p, err := config.ParsePorts(strings.Replace(v, ":", "-", 1))
		ok = err == nil && len(p) == 1 && r.Ports == (config.Ports{})
		if ok {
			r.Ports = p[0]
		}
	case "-j":
		ok = r.Target == "" && slices.Contains([]Target{Return, Redirect, Drop}, Target(v))
		r.Target = Target(v)
	case "--to-ports":
		p, err := config.ParsePort(v)
		ok = err == nil && r.ToPort == 0
		r.ToPort = p
	}
	return ok
}

func readAddress(into *netip.Prefix, v string) bool {
	p, err := netip.ParsePrefix(v)
	if err != nil || into.IsValid() || p.Bits() == 0 || p != p.Masked() || p.Addr().Is4In6() {
		return false
	}
	*into = p
	return true
}
