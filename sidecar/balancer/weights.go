package balancer

import (
	"fmt"
	"strconv"
	"strings"
)

// Weights say how much of a Service's traffic its endpoints get, by name: "canary-*=1,web-*=9". ParseWeights makes one; "" gives
// all what the set has for them, and all the same where it has nothing.
type Weights string

// maxWeight bounds a weight: finer shares than a thousandth are nothing that anybody could see.
const maxWeight = 1000

// eachPod is the entry that asks for the weights that pods have themselves.
const eachPod = "pods"

// ParseWeights reads a list of POD-NAME-PATTERN=WEIGHT with commas, spaces or line breaks between them, of which the last one may be
// the word pods. In a pattern * stands for any characters. The first pattern that matches a pod's name counts; a pod that none
// matches has the weight that the set of endpoints has for it, else 1. A pod of weight 0 gets no traffic unless there is nothing
// else. The error says what is wrong with which entry and what is allowed.
func ParseWeights(s string) (Weights, error) {
	var list []string
	behind := ""
	for _, entry := range strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r' }) {
		pattern, weight, ok := strings.Cut(entry, "=")
		switch {
		case entry == eachPod && behind == "":
			behind = entry
			list = append(list, entry)
			continue
		case !ok && entry != eachPod:
			return "", fmt.Errorf("%q has no weight: want POD-NAME-PATTERN=WEIGHT, e.g. canary-*=1, or the word pods for the weights "+
				"that pods have themselves", entry)
		case pattern == "":
			return "", fmt.Errorf("%q has no pattern: want POD-NAME-PATTERN=WEIGHT; * alone matches every pod", entry)
		case !isPattern(pattern):
			return "", fmt.Errorf("%q: pattern %q can match no pod: names have a-z, 0-9, - and . in them, and * stands for any of these",
				entry, pattern)
		case behind != "":
			return "", fmt.Errorf("%q never counts: %q before it matches every pod already, and the first match wins", entry, behind)
		}
		if _, err := ParseWeight(weight); err != nil {
			return "", fmt.Errorf("%q: weight %w", entry, err)
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

// ParseWeight reads one weight. The error has the value and what is allowed.
func ParseWeight(s string) (uint32, error) {
	w, err := strconv.ParseUint(s, 10, 32)
	if err != nil || w > maxWeight || strconv.FormatUint(w, 10) != s {
		return 0, fmt.Errorf("%q is not a whole number from 0 to %d", s, maxWeight)
	}
	return uint32(w), nil
}

// EachPod says whether they ask for the weights that pods have themselves, which are then to be in the set of endpoints.
func (w Weights) EachPod() bool { return w == eachPod || strings.HasSuffix(string(w), ","+eachPod) }

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

// of answers the weight that the first pattern which matches a name gives; said is false where none does.
func (w Weights) of(name string) (weight uint32, said bool) {
	for list := string(w); list != ""; {
		var entry string
		entry, list, _ = strings.Cut(list, ",")
		if pattern, weight, ok := strings.Cut(entry, "="); ok && match(pattern, name) {
			n, _ := strconv.ParseUint(weight, 10, 32)
			return uint32(n), true
		}
	}
	return 0, false
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
