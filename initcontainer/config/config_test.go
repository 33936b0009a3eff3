package config

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

const cidr = "--redirect-cidrs=10.96.0.0/16"

func TestSettingsAreReadFromFlagsAndEnvironment(t *testing.T) {
	v4 := []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	with := func(change func(*Config)) Config {
		c := Default()
		c.RedirectCIDRs = v4
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		args, env []string
		want      Config
	}{
		"the ranges alone give every default": {args: []string{cidr}, want: with(func(*Config) {})},
		"a flag's value may be its own word":  {args: strings.Fields("--redirect-cidrs 10.96.0.0/16"), want: with(func(*Config) {})},
		"the environment stands in for flags": {
			env:  []string{"SLUICE_REDIRECT_CIDRS=10.96.0.0/16", "SLUICE_PROXY_PORT=4000", "SLUICE_EXCLUDE_DNS=false"},
			want: with(func(c *Config) { c.ProxyPort, c.ExcludeDNS = 4000, false })},
		"a flag wins over the environment": {
			args: []string{cidr, "--proxy-port=5000"}, env: []string{"SLUICE_PROXY_PORT=4000"},
			want: with(func(c *Config) { c.ProxyPort = 5000 })},
		"a variable that Kubernetes made of a Service's name does no harm beside a flag": {
			args: []string{cidr, "--proxy-port=5000"}, env: []string{"SLUICE_PROXY_PORT=tcp://10.96.0.7:80"},
			want: with(func(c *Config) { c.ProxyPort = 5000 })},
		"an empty variable counts as absent": {
			args: []string{cidr}, env: []string{"SLUICE_PROXY_PORT="}, want: with(func(*Config) {})},
		"variables of others are not looked at": {
			args: []string{cidr}, env: []string{"SLUICE_SERVICE_HOST=10.96.0.7", "PROXY_PORT=1", "odd"},
			want: with(func(*Config) {})},
		"lists may be written with blanks, and single addresses without a length": {
			args: []string{cidr, "--exclude-ports=25, 8000-8100", "--exclude-uids=0, 1000-1999", "--exclude-cidrs=10.96.0.9, fd00::/64"},
			want: with(func(c *Config) {
				c.ExcludePorts = []Ports{{25, 25}, {8000, 8100}}
				c.ExcludeUIDs = []UIDs{{0, 0}, {1000, 1999}}
				c.ExcludeCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.9/32"), netip.MustParsePrefix("fd00::/64")}
			})},
		"the last of repeated flags counts": {
			args: []string{cidr, "--exclude-ports=1", "--exclude-ports=2"},
			want: with(func(c *Config) { c.ExcludePorts = []Ports{{2, 2}} })},
		"the API server's address comes from kubelet": {
			args: []string{cidr}, env: []string{"KUBERNETES_SERVICE_HOST=10.96.0.1"},
			want: with(func(c *Config) { c.APIServer = netip.MustParseAddr("10.96.0.1") })},
		"an API server that has a name is reached outside the Service ranges": {
			args: []string{cidr}, env: []string{"KUBERNETES_SERVICE_HOST=api.example.com"}, want: with(func(*Config) {})},
		"switches need no value": {
			args: []string{cidr, "--dry-run"}, want: with(func(c *Config) { c.DryRun = true })},
		"remove needs no ranges": {
			args: []string{"--remove"}, want: with(func(c *Config) { c.RedirectCIDRs, c.Remove = nil, true })},
		"modes": {
			args: []string{cidr, "--iptables-mode=legacy", "--ipv6=off"},
			want: with(func(c *Config) { c.IptablesMode, c.IPv6 = ModeLegacy, IPv6Off })},
	} {
		got, err := Parse(c.args, c.env)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", name, got, err, c.want)
		}
	}
}

func TestWrongSettingsAreNamedWithWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		env  []string
		want []string // words of the error
	}{
		"no ranges":                 {"", nil, []string{"--redirect-cidrs", "SLUICE_REDIRECT_CIDRS", "10.96.0.0/16"}},
		"a flag nobody knows":       {cidr + " --proxyport=1", nil, []string{"proxyport", "--help"}},
		"an argument":               {cidr + " remove", nil, []string{`"remove"`, "--help"}},
		"a port of zero":            {cidr + " --proxy-port=0", nil, []string{"--proxy-port", `"0"`, "1 to 65535"}},
		"a port too large":          {cidr + " --proxy-port=65536", nil, []string{"--proxy-port", `"65536"`}},
		"a port in the environment": {cidr, []string{"SLUICE_PROXY_PORT=x"}, []string{"SLUICE_PROXY_PORT", `"x"`, "1 to 65535"}},
		"root as the proxy's user":  {cidr + " --proxy-uid=0", nil, []string{"--proxy-uid", "not root"}},
		"a user id with a sign":     {cidr + " --proxy-uid=+5", nil, []string{"--proxy-uid", `"+5"`}},
		"a port in a list":          {cidr + " --exclude-ports=80,http", nil, []string{"--exclude-ports", `"http"`, "8000-8100"}},
		"a range the wrong way":     {cidr + " --exclude-ports=90-80", nil, []string{"--exclude-ports", `"90-80"`}},
		"a range without an end":    {cidr + " --exclude-ports=90-", nil, []string{"--exclude-ports", `"90-"`}},
		"a list with a hole":        {cidr + " --exclude-ports=80,,81", nil, []string{"--exclude-ports", `""`}},
		"the user id of nobody":     {cidr + " --exclude-uids=4294967295", nil, []string{"--exclude-uids", "0 to 4294967294"}},
		"bits outside the length":   {"--redirect-cidrs=10.96.0.1/16", nil, []string{"--redirect-cidrs", `"10.96.0.1/16"`, `"10.96.0.0/16"`}},
		"IPv4 in IPv6":              {"--redirect-cidrs=::ffff:10.96.0.0/112", nil, []string{"--redirect-cidrs"}},
		"a name as a range":         {cidr + " --exclude-cidrs=db", nil, []string{"--exclude-cidrs", `"db"`}},
		"a zone":                    {cidr + " --exclude-cidrs=fe80::1%eth0", nil, []string{"--exclude-cidrs", "eth0"}},
		"loopback as a range":       {"--redirect-cidrs=127.0.0.0/8", nil, []string{"--redirect-cidrs", "127.0.0.0/8", "loopback"}},
		"a mode nobody knows":       {cidr + " --iptables-mode=nftables", nil, []string{"--iptables-mode", "auto, nft, legacy"}},
		"a switch that is yes":      {cidr + " --dry-run=yes", nil, []string{"--dry-run", `"yes"`, "true, false"}},
		"IPv6 on without a range":   {cidr + " --ipv6=on", nil, []string{"--ipv6=on", "--redirect-cidrs"}},
		"IPv6 off and nothing else": {"--redirect-cidrs=fd00::/108 --ipv6=off", nil, []string{"--ipv6=off", "nothing"}},
		"a list too long":           {cidr + " --exclude-ports=1" + strings.Repeat(",1", MaxListLen), nil, []string{"--exclude-ports", "129", "at most 128"}},
	} {
		_, err := Parse(strings.Fields(c.args), c.env)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error %q does not say %q", name, err, word)
			}
		}
	}
}

func TestArgsAreReadBackAsTheSameSettings(t *testing.T) {
	c, err := Parse(strings.Fields("--redirect-cidrs=10.96.0.0/16,fd00::/108 --proxy-port=1 --proxy-uid=2 --exclude-ports=3,4-5 "+
		"--exclude-cidrs=10.96.0.9 --exclude-uids=6-7,8 --exclude-dns=false --exclude-api-server=false --iptables-mode=nft "+
		"--ipv6=on --dry-run"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []Config{c, {RedirectCIDRs: c.RedirectCIDRs, ProxyPort: 1, ProxyUID: 1, IptablesMode: ModeAuto, IPv6: IPv6Auto}} {
		env := make([]string, 0, len(settings))
		for _, s := range settings {
			env = append(env, EnvName(s.flag)+"=nonsense") // every setting is a flag, so none of these is looked at
		}
		got, err := Parse(c.Args(), env)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%q is read as\n%+v, %v\nwant\n%+v", c.Args(), got, err, c)
		}
	}
}

func TestUsageListsEverySetting(t *testing.T) {
	if _, err := Parse([]string{"--help"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help gave %v", err)
	}
	const golden = "testdata/usage.txt"
	got := Usage()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || got != string(want) {
		t.Errorf("got:\n%s\nwant (%s, -update writes it):\n%s\n%v", got, golden, want, err)
	}
	for line := range strings.Lines(got) {
		if len([]rune(line)) > 121 {
			t.Errorf("too long for a terminal: %s", line)
		}
	}
}

func FuzzValues(f *testing.F) {
	f.Add("80,8000-8100")
	f.Add("10.96.0.0/16,fd00:10:96::/112,10.0.0.1")
	f.Add(" 1 , 2-3 ")
	f.Fuzz(func(t *testing.T, s string) {
		again(t, s, ParsePorts)
		again(t, s, ParseUIDs)
		again(t, s, ParsePrefixes)
	})
}

// again holds that what was accepted is written in a form that is read as the same.
func again[T interface {
	comparable
	String() string
}](t *testing.T, s string, parse func(string) ([]T, error)) {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		return
	}
	w, err := parse(join(v))
	if err != nil || !reflect.DeepEqual(v, w) {
		t.Fatalf("%q is %v, written %q, read again as %v, %v", s, v, join(v), w, err)
	}
}
