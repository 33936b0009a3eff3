package rules

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errNotAllowed is the error of parsers that have nothing to add to what the setting allows.
var errNotAllowed = errors.New("not allowed")

// The words of a setting's zero value: off where it is something that happens, none where it is a bound or a list.
const (
	off  = "off"
	none = "none"
)

// without reads the word as the zero value; where that is off, false as well, since that is what people try.
func without[T any](word string, parse func(string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) {
		if s == word || word == off && s == "false" {
			var zero T
			return zero, nil
		}
		return parse(s)
	}
}

// withoutText writes the zero value as the word.
func withoutText[T comparable](word string, text func(T) string) func(T) string {
	return func(v T) string {
		var zero T
		if v == zero {
			return word
		}
		return text(v)
	}
}

// choice reads one of a choice's words.
func choice[T ~uint8](w words[T]) func(string) (T, error) {
	return func(s string) (T, error) {
		i := slices.Index(w, s)
		if i < 0 {
			return 0, errNotAllowed
		}
		return T(i), nil
	}
}

func same(s string) string { return s }

// onOff reads on and off; true and false are understood, since that is what people try.
func onOff(s string) (bool, error) {
	switch s {
	case "on", "true":
		return true, nil
	case off, "false":
		return false, nil
	}
	return false, errNotAllowed
}

func onOffText(on bool) string {
	if on {
		return "on"
	}
	return off
}

// count reads a whole number.
func count(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most || s[0] == '+' || s[0] == '-' {
			return 0, errNotAllowed
		}
		return n, nil
	}
}

// duration reads a duration within bounds.
func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		switch {
		case err == nil && d >= least && d <= most:
			return d, nil
		case err != nil && strings.Trim(s, "0123456789.") == "":
			return 0, errors.New("a duration needs a unit (ms, s, m, h)")
		case err != nil:
			return 0, errNotAllowed
		case d < least:
			return 0, fmt.Errorf("%s is the least", durationText(least))
		}
		return 0, fmt.Errorf("%s is the most", durationText(most))
	}
}

// durationText leaves out what is zero: 1m, not 1m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// span is two durations, the first not above the second, joined by a hyphen.
func span(s string, least, most time.Duration) (from, to time.Duration, err error) {
	a, b, ok := strings.Cut(s, "-")
	if !ok {
		return 0, 0, errNotAllowed
	}
	if from, err = duration(least, most)(strings.TrimSpace(a)); err != nil {
		return 0, 0, err
	}
	if to, err = duration(least, most)(strings.TrimSpace(b)); err != nil {
		return 0, 0, err
	}
	if from > to {
		return 0, 0, errors.New("the first is longer than the second")
	}
	return from, to, nil
}

func spanText(from, to time.Duration) string { return durationText(from) + "-" + durationText(to) }

// number reads a number without exponent.
func number(s string, least, most float64) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789.") != "" || v < least || v > most {
		return 0, errNotAllowed
	}
	return v, nil
}

func numberText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// hundredthOfPercent is how fine shares are: what is read of one and what is written must be the same number.
const hundredthOfPercent = 1e-4

// percent reads "20%" as 0.2, up to 100 %, in steps of a hundredth of a percent.
func percent(s string) (float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	v, err := number(strings.TrimSpace(digits), 0, 100)
	if !ok || err != nil {
		return 0, errNotAllowed
	}
	steps := math.Round(v / 100 / hundredthOfPercent)
	if steps == 0 && v != 0 {
		return 0, errors.New("0.01% is the least")
	}
	return steps / (1 / hundredthOfPercent), nil
}

func percentText(share float64) string {
	return numberText(math.Round(share/hundredthOfPercent)/100) + "%"
}

// wholePercent reads "50%" or "50" as 50.
func wholePercent(s string) (int, error) {
	return count(0, 100)(strings.TrimSuffix(s, "%"))
}

func wholePercentText(p int) string { return strconv.Itoa(p) + "%" }

// share reads a percentage; on is all and off none.
func share(s string) (float64, error) {
	switch s {
	case "on", "true":
		return 1, nil
	case off, "false":
		return 0, nil
	}
	return percent(s)
}

func shareText(v float64) string {
	switch v {
	case 0:
		return off
	case 1:
		return "on"
	}
	return percentText(v)
}

// size reads a number of bytes, with Ki or Mi behind it or without.
func size(most int) func(string) (int, error) {
	return func(s string) (int, error) {
		digits, unit := s, 1
		for suffix, n := range map[string]int{"Ki": 1 << 10, "Mi": 1 << 20} {
			if rest, ok := strings.CutSuffix(s, suffix); ok {
				digits, unit = rest, n
			}
		}
		if digits == "" {
			return 0, errNotAllowed
		}
		n, err := count(0, most/unit)(digits)
		return n * unit, err
	}
}

func sizeText(n int) string {
	switch {
	case n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + "Mi"
	case n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + "Ki"
	}
	return strconv.Itoa(n)
}

// list splits at commas and trims; an empty part is an error.
func list(s string) ([]string, error) {
	parts := strings.Split(s, ",")
	for i, p := range parts {
		if parts[i] = strings.TrimSpace(p); parts[i] == "" {
			return nil, errors.New("there is nothing between two commas, or before or behind one")
		}
	}
	return parts, nil
}

// token says whether s is a token of RFC 9110, section 5.6.2, of at most 64 letters: a method, the name of a header or cookie.
func token(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}
