package config

import (
	"errors"
	"strings"
	"testing"
)

func TestChoice(t *testing.T) {
	for _, c := range []struct {
		name               string
		label, annotation  string // "-" is absent
		want, wantErrorHas string
	}{
		{"nothing is said", "-", "-", "", ""},
		{"the label opts out", "disabled", "-", "disabled", ""},
		{"the annotation opts out", "-", "disabled", "disabled", ""},
		{"one of the two is enough to opt out", "enabled", "disabled", "disabled", ""},
		{"the other of the two is enough to opt out", "disabled", "enabled", "disabled", ""},
		{"both opt in", "enabled", "enabled", "enabled", ""},
		{"false is not a value", "false", "-", "", `label sluice.mesh/inject of the pod: "false": want one of enabled, disabled`},
		{"nor is the empty text", "-", "", "", `annotation sluice.mesh/inject of the pod: ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Choice(inject(c.label), inject(c.annotation))
			if got != c.want || (err == nil) != (c.wantErrorHas == "") ||
				err != nil && !strings.Contains(err.Error(), c.wantErrorHas) {
				t.Errorf("got %q, %v; want %q, %q", got, err, c.want, c.wantErrorHas)
			}
		})
	}
}

func inject(value string) map[string]string {
	if value == "-" {
		return nil
	}
	return map[string]string{InjectKey: value}
}

// TestPrecedence has one row a setting: what the webhook, the namespace and the pod say, and what counts.
func TestPrecedence(t *testing.T) {
	values := map[string][4]string{ // a default that flags can set, then three values that differ
		"exclude-ports":         {"", "25", "80,443", "8000-8010"},
		"exclude-cidrs":         {"", "10.0.0.0/8", "10.1.0.0/16,fd00::/64", "10.1.2.3/32"},
		"exclude-uids":          {"", "0", "1-2,5", "4294967294"},
		"exclude-dns":           {"true", "false", "true", "false"},
		"exclude-api-server":    {"true", "false", "true", "false"},
		"redirect-cidrs":        {"", "10.0.0.0/8", "fd00::/112", "10.96.0.0/16"},
		"iptables-mode":         {"auto", "nft", "legacy", "nft"},
		"ipv6":                  {"auto", "auto", "off", "auto"},
		"native-sidecar":        {"auto", "on", "off", "on"},
		"log-level":             {"info", "debug", "error", "warn"},
		"proxy-loops":           {"0", "1", "4", "64"},
		"proxy-max-connections": {"0", "1", "500", "1000000"},
		"proxy-max-requests":    {"0", "1", "500", "1000000"},
		"proxy-max-pending":     {"0", "1", "500", "1000000"},
		"proxy-max-streams":     {"0", "1", "1000", "100000"},
		"pprof":                 {"false", "true", "false", "true"},
		"proxy-image":           {"", "a:1", "r.example:5000/b@sha256:00", "c"},
		"image-pull-policy":     {"IfNotPresent", "Always", "Never", "IfNotPresent"},
		"proxy-cpu-request":     {"50m", "1", "none", "2500m"},
		"proxy-cpu-limit":       {"none", "1", "none", "2500m"},
		"proxy-memory-request":  {"64Mi", "1Mi", "none", "1M"},
		"proxy-memory-limit":    {"256Mi", "1Gi", "none", "1G"},
		"proxy-port":            {"15301", "1", "2", "65535"},
		"health-port":           {"15302", "1", "2", "65535"},
		"admin-port":            {"15303", "1", "2", "65535"},
	}
	for _, k := range settings {
		v, ok := values[k.name]
		if !ok {
			t.Errorf("no row for %s", k.name)
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			options, err := ParseOptions(nil, func(string) (string, bool) { return "", false }, &strings.Builder{})
			if err != nil || k.get(&options.Inject) != v[0] {
				t.Fatalf("default %q, %v; want %q", k.get(&options.Inject), err, v[0])
			}
			flags := []string{"--inject-" + k.name + "=" + v[1]}
			if k.name == "proxy-cpu-limit" {
				flags = append(flags, "--inject-proxy-cpu-request=1m")
			}
			if options, err = ParseOptions(flags, func(string) (string, bool) { return "", false }, &strings.Builder{}); err != nil {
				t.Fatal(err)
			}
			for _, step := range []struct {
				who            string
				namespace, pod bool
				want           string
			}{
				{"the webhook's configuration", false, false, v[1]},
				{"the namespace over the webhook", true, false, v[2]},
				{"the pod over the webhook", false, true, v[3]},
				{"the pod over the namespace", true, true, v[3]},
			} {
				// Requests are below every limit here, so that each is looked at alone.
				ns := Namespace{Name: "shop", Annotations: map[string]string{}}
				pod := map[string]string{}
				if strings.HasSuffix(k.name, "-request") {
					ns.Annotations[Prefix+strings.Replace(k.name, "request", "limit", 1)] = "none"
				}
				if step.namespace {
					ns.Annotations[Prefix+k.name] = v[2]
				}
				if step.pod {
					pod[Prefix+k.name] = v[3]
				}
				s, err := ForPod(options.Inject, ns, pod)
				if err != nil || k.get(&s) != step.want {
					t.Errorf("%s: %q, %v; want %q", step.who, k.get(&s), err, step.want)
				}
				if s.Explicit(k.name) != (step.namespace || step.pod) {
					t.Errorf("%s: explicit is %v", step.who, s.Explicit(k.name))
				}
			}
		})
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	_, err := ForPod(Defaults(), Namespace{Name: "shop", Annotations: map[string]string{
		"sluice.mesh/log-level": "loud", "other/name": "x", "sluice.mesh/inject": "enabled"}},
		map[string]string{"sluice.mesh/exclude-uids": "-1", "sluice.mesh/": "", "sluice.mesh/policy": "random"})
	const want = `annotation sluice.mesh/inject of namespace "shop": on a namespace this is a label: kubectl label namespace NAME sluice.mesh/inject=enabled
annotation sluice.mesh/log-level of namespace "shop": "loud": want one of debug, info, warn, error
annotation sluice.mesh/ of the pod: unknown annotation; known are `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	var refused *AnnotationError
	if !errors.As(err, &refused) || refused.Object != `namespace "shop"` {
		t.Errorf("not an AnnotationError: %+v", refused)
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	for name, values := range map[string]string{ // blank-separated; an empty value is tried for each
		"exclude-ports": "0 65536 080 +1 1-0 a 1,,2 1;2 1:2", "exclude-cidrs": "10.0.0.1/8 10.0.0.0/33 ::ffff:1.2.3.4/128 x",
		"exclude-uids": "-1 4294967295 root 1-", "exclude-dns": "yes 1 True", "redirect-cidrs": "127.0.0.0/8 all",
		"iptables-mode": "NFT ipset", "ipv6": "true", "native-sidecar": "true", "log-level": "INFO trace 3",
		"pprof": "enabled", "proxy-max-connections": "-1 1000001 many", "proxy-max-requests": "-1 1000001 1.5", "proxy-max-pending": "-1 1e3", "proxy-image": "$(VAR) -x a\tb", "image-pull-policy": "always", "proxy-cpu-request": "0 -1 1cpu",
		"proxy-cpu-limit": "0 1m", "proxy-memory-request": "1GB 512Mi", "proxy-memory-limit": "0 x 1Mi",
		"proxy-port": "0 65536 http 15302", "health-port": "0 15301", "admin-port": "15301 15302",
	} {
		for _, value := range strings.Split(values, " ") {
			if _, err := ForPod(Defaults(), Namespace{Name: "shop"}, map[string]string{Prefix + name: value}); err == nil {
				t.Errorf("%s%s=%q is not refused", Prefix, name, value)
			}
		}
	}
}

// FuzzForPod: what is accepted can be written and read again, and means the same.
func FuzzForPod(f *testing.F) {
	for i := range settings {
		f.Add(i, "10.96.0.0/16")
		f.Add(i, "25,8000-8010")
		f.Add(i, "auto")
	}
	f.Fuzz(func(t *testing.T, which int, value string) {
		k := settings[uint(which)%uint(len(settings))]
		s, err := ForPod(Defaults(), Namespace{}, map[string]string{Prefix + k.name: value})
		if err != nil {
			return
		}
		again, err := ForPod(Defaults(), Namespace{}, map[string]string{Prefix + k.name: k.get(&s)})
		if err != nil || k.get(&again) != k.get(&s) {
			t.Errorf("%s=%q is read as %q, which is read as %q, %v", k.name, value, k.get(&s), k.get(&again), err)
		}
	})
}
