package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxListLen is how many values one list may have. Each is a rule of its own in two chains, made by program
// runs of some milliseconds while the pod waits to start.
const MaxListLen = 128

// MaxUID is the largest user id the kernel's owner match takes; the one above it means "no user".
const MaxUID = 1<<32 - 2

// Ports is a range of ports, both ends included. One port has both ends the same.
type Ports struct{ First, Last uint16 }

func (p Ports) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// UIDs is a range of user ids, both ends included. One user has both ends the same.
type UIDs struct{ First, Last uint32 }

func (u UIDs) String() string {
	if u.First == u.Last {
		return strconv.FormatUint(uint64(u.First), 10)
	}
	return fmt.Sprintf("%d-%d", u.First, u.Last)
}

// ParsePorts reads "25,8000-8100". Empty text is an empty list. Errors name the wrong element and what is allowed;
// the caller adds the flag or annotation it came from. So do the other parsers here.
func ParsePorts(s string) ([]Ports, error) {
	return list(s, func(e string) (Ports, error) {
		first, last, ok := span(e, 1, 1<<16-1)
		if !ok {
			return Ports{}, fmt.Errorf("%q: want a port from 1 to 65535, or a range such as 8000-8100", e)
		}
		return Ports{uint16(first), uint16(last)}, nil
	})
}

// ParseUIDs reads "0,1000-1999".
func ParseUIDs(s string) ([]UIDs, error) {
	return list(s, func(e string) (UIDs, error) {
		first, last, ok := span(e, 0, MaxUID)
		if !ok {
			return UIDs{}, fmt.Errorf("%q: want a user id from 0 to %d, or a range such as 1000-1999", e, uint32(MaxUID))
		}
		return UIDs{uint32(first), uint32(last)}, nil
	})
}

// ParsePrefixes reads "10.96.0.0/16,fd00:10:96::/112". An address without a length is that one address.
func ParsePrefixes(s string) ([]netip.Prefix, error) {
	return list(s, func(e string) (netip.Prefix, error) {
		if a, err := netip.ParseAddr(e); err == nil && a.Zone() == "" && !a.Is4In6() {
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		p, err := netip.ParsePrefix(e)
		switch {
		case err != nil || p.Addr().Is4In6():
			return p, fmt.Errorf("%q: want an IPv4 or IPv6 address, or a range such as 10.96.0.0/16", e)
		case p != p.Masked():
			return p, fmt.Errorf("%q: has bits outside its length; did you mean %q?", e, p.Masked())
		}
		return p, nil
	})
}

// ParseMode reads an iptables mode.
func ParseMode(s string) (Mode, error) { return oneOf(s, ModeAuto, ModeNFT, ModeLegacy) }

// ParseIPv6 reads what to do about IPv6.
func ParseIPv6(s string) (IPv6, error) { return oneOf(s, IPv6Auto, IPv6Off, IPv6On) }

// ParsePort reads the proxy's port.
func ParsePort(s string) (uint16, error) {
	n, ok := number(s, 1, 1<<16-1)
	if !ok {
		return 0, fmt.Errorf("%q: want a port from 1 to 65535", s)
	}
	return uint16(n), nil
}

// ParseProxyUID reads the proxy's user id, which cannot be root: everything that user sends is left alone.
func ParseProxyUID(s string) (uint32, error) {
	n, ok := number(s, 1, MaxUID)
	if !ok {
		return 0, fmt.Errorf("%q: want a user id from 1 to %d (not root: this user's packets are never redirected)",
			s, uint32(MaxUID))
	}
	return uint32(n), nil
}

// ParseBool reads true or false, and no other spelling.
func ParseBool(s string) (bool, error) {
	v, err := oneOf(s, "true", "false")
	return v == "true", err
}

func oneOf[T ~string](s string, allowed ...T) (T, error) {
	var names []string
	for _, a := range allowed {
		if string(a) == s {
			return a, nil
		}
		names = append(names, string(a))
	}
	return "", fmt.Errorf("%q: want one of %s", s, strings.Join(names, ", "))
}

// list splits at commas; blanks around an element are dropped, as YAML authors like to write them.
func list[T any](s string, one func(string) (T, error)) ([]T, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	elements := strings.Split(s, ",")
	if len(elements) > MaxListLen {
		return nil, fmt.Errorf("%d values: at most %d are allowed", len(elements), MaxListLen)
	}
	var out []T
	for _, e := range elements {
		v, err := one(strings.TrimSpace(e))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// span reads "N" or "N-M" with low <= N <= M <= high.
func span(s string, low, high uint64) (first, last uint64, ok bool) {
	a, b, isRange := strings.Cut(s, "-")
	if first, ok = number(a, low, high); !ok || !isRange {
		return first, first, ok
	}
	last, ok = number(b, first, high)
	return first, last, ok
}

// number reads decimal digits only: no sign, no blanks, no leading zero, so that each value has one spelling.
func number(s string, low, high uint64) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n >= low && n <= high && strconv.FormatUint(n, 10) == s
}

func join[T fmt.Stringer](values []T) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v.String())
	}
	return b.String()
}
