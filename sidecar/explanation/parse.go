package explanation

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Parse reads the value of the field. Names that it does not know are kept in Other; one that is there twice, or a value that cannot be read, is an
// error, and so is a text without a Service.
func Parse(text string) (e Explanation, err error) {
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, "; ") {
		name, raw, is := strings.Cut(part, "=")
		if name != "tried" && seen[name] {
			return e, fmt.Errorf("%s is there twice", name)
		}
		seen[name] = true
		value, err := url.PathUnescape(raw)
		if err != nil {
			return e, fmt.Errorf("%s: %w", name, err)
		}
		if to := e.text(name); to != nil && is {
			if value == "" {
				return e, fmt.Errorf("%s is empty", name)
			}
			*to = value
			continue
		}
		switch {
		case name == "attempts":
			if e.Attempts, err = number(value); err != nil {
				return e, fmt.Errorf("attempts: %w", err)
			}
		case name == "time":
			if e.Time, err = duration(value); err != nil {
				return e, fmt.Errorf("time: %w", err)
			}
		case name == "answered":
			if e.Answered, err = duration(value); err != nil {
				return e, fmt.Errorf("answered: %w", err)
			}
		case name == "tried":
			a, err := parseAttempt(value)
			if err != nil {
				return e, fmt.Errorf("tried: %q: %w", value, err)
			}
			e.Tried = append(e.Tried, a)
		case part == "waited":
			e.Key.Waited = true
		default:
			e.Other = append(e.Other, part)
		}
	}
	if e.Service == "" {
		return e, errors.New("it names no Service")
	}
	return e, nil
}

// text answers where the text of that name is kept; nil is none.
func (e *Explanation) text(name string) *string {
	k := &e.Key
	switch name {
	case "service":
		return &e.Service
	case "policy":
		return &e.Policy
	case "endpoint":
		return &e.Endpoint
	case "pod":
		return &e.Pod
	case "key":
		return &k.Key
	case "hash":
		return &k.Hash
	case "session":
		return &k.Session
	case "map":
		return &k.Map
	case "owner":
		return &k.Owner
	case "to":
		return &k.To
	case "reason":
		return &k.Reason
	}
	return nil
}

func parseAttempt(text string) (a Attempt, err error) {
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return a, errors.New("want ENDPOINT OUTCOME TIME")
	}
	a.Endpoint = parts[0]
	outcome, status, answered := strings.Cut(parts[1], "/")
	if a.Outcome = outcome; answered {
		if a.Status, err = number(status); err != nil {
			return a, err
		}
	}
	a.Took, err = duration(parts[2])
	return a, err
}

func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return int(n), nil
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration", text)
	}
	return d, nil
}
