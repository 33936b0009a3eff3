package rules

import (
	"slices"
	"testing"
)

func TestNearest(t *testing.T) {
	var known []string
	for _, s := range all() {
		known = append(known, s.Annotation())
	}
	for name, want := range map[string][]string{
		"polcy":         {"policy"},
		"Policy":        {"policy"},
		"lb-policy":     {"policy"},
		"shardkey":      {"shard-key"},
		"shard_key":     {"shard-key"},
		"timeouts":      {"timeout"},
		"pertrytimeout": {"per-try-timeout"},
		"retry":         {"retries", "retry-on", "retry-budget"},
		"hedging":       {"hedge"},
		"ejection-tmie": {"ejection-time"},
		"connections":   {"max-connections"},
		"inject":        nil,
		"xyz":           nil,
		"":              nil,
		"-":             nil,
		"a":             nil,
		"e2e-test":      nil,
	} {
		var full []string
		for _, w := range want {
			full = append(full, Prefix+w)
		}
		if got := nearest(Prefix+name, known); !slices.Equal(got, full) {
			t.Errorf("%q: got %q, want %q", name, got, full)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "abcd", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
