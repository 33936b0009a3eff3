package config

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckService(t *testing.T) {
	type m = map[string]string
	const policy = "sluice.mesh/policy"
	for _, c := range []struct {
		name        string
		now, before m
		want        string // beginning of the error
	}{
		{"no annotations", nil, nil, ""},
		{"others' annotations are not ours to judge", m{"prometheus.io/scrape": "maybe"}, nil, ""},
		{"a policy", m{policy: "round-robin"}, nil, ""},
		{"an unknown policy", m{policy: "fastest"}, nil,
			`annotation sluice.mesh/policy of the Service: "fastest": want one of destination-hash, least-request, `},
		{"an empty policy", m{policy: ""}, nil, `annotation sluice.mesh/policy of the Service: "": want`},
		{"a slip in a name", m{"sluice.mesh/polcy": "random"}, nil,
			`annotation sluice.mesh/polcy of the Service: unknown annotation; did you mean sluice.mesh/policy?`},
		{"a name that is like none", m{"sluice.mesh/x": "random"}, nil,
			`annotation sluice.mesh/x of the Service: unknown annotation; known are sluice.mesh/policy`},
		{"a pod's setting", m{"sluice.mesh/log-level": "debug"}, nil,
			`annotation sluice.mesh/log-level of the Service: this annotation belongs on pods, or on their namespace`},
		{"injection is not a Service's", m{"sluice.mesh/inject": "enabled"}, nil,
			`annotation sluice.mesh/inject of the Service: this annotation belongs on pods, or on their namespace`},
		{"a wrong value that was there before", m{policy: "fastest"}, m{policy: "fastest"}, ""},
		{"a wrong value for another wrong one", m{policy: "faster"}, m{policy: "fastest"}, "annotation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := CheckService(c.now, c.before); err != nil {
				got = err.Error()
			}
			if (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestEveryProblemOfAServiceIsReportedAtOnce(t *testing.T) {
	err := CheckService(map[string]string{"sluice.mesh/policy": "x", "sluice.mesh/polcy": "y"}, nil)
	refused := (*AnnotationError)(nil)
	if !errors.As(err, &refused) || refused.Name != "sluice.mesh/polcy" || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v", err)
	}
}
