package balancer

import (
	"fmt"
	"strconv"
	"strings"
)

// Weights say how much of a Service's traffic its endpoints get, by name: "canary-*=1,web-*=9". ParseWeights makes one; "" gives
// all the same.
type Weights string

// maxWeight bounds a weight: finer shares than a thousandth are nothing that anybody could see.
const maxWeight = 1000

// ParseWeights reads a list of POD-NAME-PATTERN=WEIGHT with commas, spaces or line breaks between them. In a pattern * stands for
// any characters. The first pattern that matches a pod's name counts; a pod that none matches has weight 1. A pod of weight
// 0 gets no traffic unless there is nothing else. The error says what is wrong with which entry and what is allowed.
func ParseWeights(s string) (Weights, error) {
	var list []string
	behind := ""
	for _, entry := range strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r' }) {
		pattern, weight, ok := strings.Cut(entry, "=")
		switch {
		case !ok:
			return "", fmt.Errorf("%q has no weight: want POD-NAME-PATTERN=WEIGHT, e.g. canary-*=1", entry)
		case pattern == "":
			return "", fmt.Errorf("%q has no pattern: want POD-NAME-PATTERN=WEIGHT; * alone matches every pod", entry)
		case !isPattern(pattern):
			return "", fmt.Errorf("%q: pattern %q can match no pod: names have a-z, 0-9, - and . in them, and * stands for any of these",
				entry, pattern)
		case behind != "":
			return "", fmt.Errorf("%q never counts: %q before it matches every pod already, and the first match wins", entry, behind)
		}
		w, err := strconv.ParseUint(weight, 10, 32)
		if err != nil || w > maxWeight || strconv.FormatUint(w, 10) != weight {
			return "", fmt.Errorf("%q: weight %q is not a whole number from 0 to %d", entry, weight, maxWeight)
		}
		if strings.Trim(pattern, "*") == "" {
			behind = entry
		}
		list = append(list, entry)
	}
	if len(list) == 0 {
		return "", fmt.Errorf("%q has no entry: want POD-NAME-PATTERN=WEIGHT, several with commas between them", s)
	}
	return Weights(strings.Join(list, ",")), nil
}

// isPattern takes what names of pods have in them (RFC 1123), and of addresses, which stand in for the names of others.
func isPattern(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case strings.IndexByte("-.*:[]", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Of answers the weight of the endpoint of that name.
func (w Weights) Of(name string) uint32 {
	for list := string(w); list != ""; {
		var entry string
		entry, list, _ = strings.Cut(list, ",")
		if pattern, weight, _ := strings.Cut(entry, "="); match(pattern, name) {
			n, _ := strconv.ParseUint(weight, 10, 32)
			return uint32(n)
		}
	}
	return 1
}

// match says whether a name is like a pattern, in which * stands for any characters. Time is bounded by the product of lengths.
func match(pattern, name string) bool {
	star, again := -1, 0 // behind the last * met, and what of the name the * has not taken
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, again = p, n
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			again++
			p, n = star, again
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
