package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// parseBudget reads "20%,10/s,burst=100" in any order; parts that are missing keep their defaults.
func parseBudget(s string) (Budget, error) {
	parts, err := list(s)
	if err != nil {
		return Budget{}, err
	}
	b := Default().Retry.Budget
	var seen [3]bool
	for _, p := range parts {
		which := 0
		if rate, ok := strings.CutSuffix(p, "/s"); ok {
			which = 1
			b.PerSecond, err = number(strings.TrimSpace(rate), 0, 100_000)
		} else if burst, ok := strings.CutPrefix(p, "burst="); ok {
			which = 2
			b.Burst, err = number(strings.TrimSpace(burst), 1, 100_000)
		} else {
			b.Ratio, err = percent(p)
		}
		if err != nil {
			return Budget{}, partError(parts, p, err)
		}
		if seen[which] {
			return Budget{}, fmt.Errorf("%s says again what was said", quoted(p))
		}
		seen[which] = true
	}
	return b, nil
}

// partError names the part of a list that is wrong.
func partError(parts []string, part string, err error) error {
	if len(parts) == 1 || !errors.Is(err, errNotAllowed) {
		return err
	}
	return fmt.Errorf("%s is not allowed", quoted(part))
}

func budgetText(b Budget) string {
	return percentText(b.Ratio) + "," + numberText(b.PerSecond) + "/s,burst=" + numberText(b.Burst)
}

func parseBackoff(s string) (b Backoff, err error) {
	b.Base, b.Most, err = span(s, time.Millisecond, time.Minute)
	return b, err
}

func backoffText(b Backoff) string {
	return spanText(b.Base, b.Most)
}

// parseHangRace reads on, off, or "floor=1s,factor=10" in any order, of which a missing part keeps its default.
func parseHangRace(s string) (HangRace, error) {
	switch s {
	case off, "false":
		return HangRace{}, nil
	case "on", "true":
		return Default().HangRace, nil
	}
	parts, err := list(s)
	if err != nil {
		return HangRace{}, err
	}
	h := Default().HangRace
	for _, p := range parts {
		err = errNotAllowed
		if v, ok := strings.CutPrefix(p, "floor="); ok {
			h.Floor, err = duration(time.Millisecond, time.Hour)(strings.TrimSpace(v))
		} else if v, ok := strings.CutPrefix(p, "factor="); ok {
			h.Factor, err = number(strings.TrimSpace(v), 1, 1000)
		}
		if err != nil {
			return HangRace{}, partError(parts, p, err)
		}
	}
	return h, nil
}

func hangRaceText(h HangRace) string {
	switch {
	case !h.On:
		return off
	case h == Default().HangRace:
		return "on"
	}
	return "floor=" + durationText(h.Floor) + ",factor=" + numberText(h.Factor)
}

// ejectionTime is the row of two fields.
func ejectionTime() value {
	return value{
		parse: func(r *Rules, s string) error {
			first, most, err := span(s, 10*time.Millisecond, 24*time.Hour)
			if err == nil {
				r.Ejection.First, r.Ejection.Most = first, most
			}
			return err
		},
		text: func(r *Rules) string { return spanText(r.Ejection.First, r.Ejection.Most) },
		keep: func(to, from *Rules) { to.Ejection.First, to.Ejection.Most = from.Ejection.First, from.Ejection.Most },
	}
}

// AttemptHeader is the header of sluice.mesh/attempt-header: on.
const AttemptHeader = "sluice-attempt"

// notForAttempts are headers that mean something to somebody else.
var notForAttempts = []string{"accept", "authorization", "connection", "content-length", "content-type", "cookie", "date", "expect",
	"host", "idempotency-key", "keep-alive", "proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade"}

func parseAttemptHeader(s string) (string, error) {
	switch name := strings.ToLower(s); {
	case s == off, s == "false":
		return "", nil
	case s == "on", s == "true":
		return AttemptHeader, nil
	case !token(name):
		return "", errNotAllowed
	case slices.Contains(notForAttempts, name):
		return "", errors.New("this header has another meaning")
	default: // names are in lower case in HTTP/2 (RFC 9113, section 8.2)
		return name, nil
	}
}

func attemptHeaderText(name string) string {
	switch name {
	case "":
		return off
	case AttemptHeader:
		return "on"
	}
	return name
}
