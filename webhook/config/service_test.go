package config

import (
	"strings"
	"testing"
)

func TestCheckService(t *testing.T) {
	type m = map[string]string
	for _, c := range []struct {
		name        string
		now, before m
		want        string // beginning of the error
	}{
		{"no annotations", nil, nil, ""},
		{"others' annotations are not ours to judge", m{"prometheus.io/scrape": "maybe"}, nil, ""},
		{"a policy", m{PolicyAnnotation: "round-robin"}, nil, ""},
		{"an unknown policy", m{PolicyAnnotation: "fastest"}, nil,
			`annotation sluice.mesh/policy of the Service: "fastest": want one of least-request, round-robin`},
		{"an empty policy", m{PolicyAnnotation: ""}, nil, `annotation sluice.mesh/policy of the Service: "": want`},
		{"an unknown name", m{"sluice.mesh/polcy": "random"}, nil,
			`annotation sluice.mesh/polcy of the Service: unknown annotation; known are sluice.mesh/policy`},
		{"a wrong value that was there before", m{PolicyAnnotation: "fastest"}, m{PolicyAnnotation: "fastest"}, ""},
		{"a wrong value for another wrong one", m{PolicyAnnotation: "faster"}, m{PolicyAnnotation: "fastest"}, "annotation"},
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
