package ruleset_test

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset/rulesettest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

var families = []ruleset.Family{ruleset.IPv4, ruleset.IPv6}

// Settings in (testdata/*.flags: flags and variables), rules out (the .rules file beside it).
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.flags")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".flags"), func(t *testing.T) {
			c := readSettings(t, file)
			var got strings.Builder
			for _, f := range families {
				got.WriteString("# " + f.String() + "\n" + ruleset.Script(c, f))
			}
			golden := strings.TrimSuffix(file, ".flags") + ".rules"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got:\n%s\nwant (%s, -update writes it):\n%s", got.String(), golden, want)
			}
		})
	}
}

func readSettings(t *testing.T, file string) config.Config {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var args, env []string
	for _, line := range strings.Fields(string(b)) {
		if strings.HasPrefix(line, "--") {
			args = append(args, line)
		} else {
			env = append(env, line)
		}
	}
	c, err := config.Parse(args, env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verdict says in plain language what the settings promise.
func verdict(c config.Config, p rulesettest.Packet) int {
	loopback := p.Src.Addr() == netip.MustParseAddr("127.0.0.1") || p.Src.Addr() == netip.IPv6Loopback()
	off := p.Dst.Addr().Is6() && c.IPv6 == config.IPv6Off ||
		!slices.ContainsFunc(c.RedirectCIDRs, func(r netip.Prefix) bool { return r.Addr().Is6() == p.Dst.Addr().Is6() })
	switch {
	case p.Invalid && p.Protocol == "tcp" && loopback && p.Src.Port() == c.ProxyPort && !off:
		return rulesettest.Dropped // what the proxy answers
	case p.Invalid && redirected(c, p):
		return rulesettest.Dropped // what is for the proxy and would miss it
	case redirected(c, p):
		return int(c.ProxyPort)
	}
	return 0
}

// redirected says whether the packet's connection is the proxy's.
func redirected(c config.Config, p rulesettest.Packet) bool {
	in := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(r netip.Prefix) bool { return r.Contains(p.Dst.Addr()) })
	}
	switch {
	case p.Protocol != "tcp", !in(c.RedirectCIDRs):
		return false // only Service addresses are touched
	case p.Out == "lo":
		return false // nothing that stays inside the pod
	case p.UID == c.ProxyUID:
		return false // never what the proxy sends
	case c.ExcludeDNS && p.Dst.Port() == 53, c.ExcludeAPIServer && p.Dst.Addr() == c.APIServer, in(c.ExcludeCIDRs):
		return false
	case p.Dst.Addr().Is6() && c.IPv6 == config.IPv6Off:
		return false
	}
	for _, u := range c.ExcludeUIDs {
		if u.First <= p.UID && p.UID <= u.Last {
			return false
		}
	}
	for _, r := range c.ExcludePorts {
		if r.First <= p.Dst.Port() && p.Dst.Port() <= r.Last {
			return false
		}
	}
	return true
}

func TestRandomPacketsGoWhereTheSettingsSay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	count := map[int]int{}
	for range 400 {
		c := randomConfig(rng)
		for _, f := range families {
			k := rulesettest.NewKernel()
			if err := k.Load(ruleset.Script(c, f)); err != nil {
				t.Fatal(err)
			}
			for range 250 {
				p := randomPacket(rng, c, f)
				got := k.Walk(p)
				if want := verdict(c, p); got != want {
					t.Fatalf("%+v: the verdict is %d and should be %d under\n%v\n%v", p, got, want, c.Args(), k)
				}
				count[got]++
			}
		}
	}
	if count[0] < 5000 || count[int(config.Default().ProxyPort)] < 5000 || count[rulesettest.Dropped] < 5000 {
		t.Errorf("the packets say little: %v", count)
	}
}

// randomConfig draws from small sets, so that ranges overlap and packets hit their edges.
func randomConfig(rng *rand.Rand) config.Config {
	c := config.Default()
	pick := func(list []netip.Prefix, n int) (out []netip.Prefix) {
		for range n {
			out = append(out, list[rng.IntN(len(list))])
		}
		return out
	}
	c.RedirectCIDRs = pick(redirects, 1+rng.IntN(3))
	c.ExcludeCIDRs = pick(excludes, rng.IntN(3))
	for range rng.IntN(3) {
		first := uint16(79 + rng.IntN(3))
		c.ExcludePorts = append(c.ExcludePorts, config.Ports{First: first, Last: first + uint16(rng.IntN(3))})
		u := uint32(15299 + rng.IntN(4))
		c.ExcludeUIDs = append(c.ExcludeUIDs, config.UIDs{First: u, Last: u + uint32(rng.IntN(2))})
	}
	c.ExcludeDNS, c.ExcludeAPIServer = rng.IntN(2) == 0, rng.IntN(2) == 0
	c.APIServer = []netip.Addr{{}, addresses[0], addresses[6]}[rng.IntN(3)]
	c.IPv6 = []config.IPv6{config.IPv6Auto, config.IPv6Off}[rng.IntN(2)]
	return c
}

func randomPacket(rng *rand.Rand, c config.Config, f ruleset.Family) rulesettest.Packet {
	dst := addresses[rng.IntN(len(addresses))]
	for !f.Of(dst) {
		dst = addresses[rng.IntN(len(addresses))]
	}
	src := addresses[rng.IntN(len(addresses))]
	for !f.Of(src) {
		src = addresses[rng.IntN(len(addresses))]
	}
	return rulesettest.Packet{
		Src:      netip.AddrPortFrom(src, []uint16{40000, 80, c.ProxyPort, c.ProxyPort + 1}[rng.IntN(4)]),
		Invalid:  rng.IntN(2) == 0,
		Protocol: []string{"tcp", "tcp", "tcp", "tcp", "udp"}[rng.IntN(5)],
		Dst:      netip.AddrPortFrom(dst, []uint16{53, 78, 79, 80, 81, 82, 83, 84, 443, c.ProxyPort}[rng.IntN(10)]),
		UID:      []uint32{0, 15298, 15299, 15300, 15301, 15302, 15303, 15304}[rng.IntN(8)],
		Out:      []string{"eth0", "eth0", "eth0", "lo"}[rng.IntN(4)],
	}
}

var (
	redirects = parse(netip.MustParsePrefix, "10.96.0.0/16", "10.96.0.0/30", "10.97.0.0/24", "fd96::/108", "fd97::/16",
		"0.0.0.0/0", "::/0")
	excludes  = parse(netip.MustParsePrefix, "10.96.0.1/32", "10.96.0.0/24", "fd96::1/128", "fd96::/120", "0.0.0.0/0")
	addresses = parse(netip.MustParseAddr, "10.96.0.1", "10.96.0.3", "10.96.0.4", "10.96.255.255", "10.97.0.0",
		"10.97.1.0", "fd96::1", "fd96::100", "fd97::1", "2001:db8::1", "8.8.8.8", "127.0.0.1", "::1")
)

func parse[T any](one func(string) T, texts ...string) (out []T) {
	for _, s := range texts {
		out = append(out, one(s))
	}
	return out
}

func TestWhatTheProxysOwnUserSendsGoesWhereItWasGoing(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		c := randomConfig(rng)
		for _, f := range families {
			k := rulesettest.NewKernel()
			if err := k.Load(ruleset.Script(c, f)); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				p := randomPacket(rng, c, f)
				p.UID, p.Src = c.ProxyUID, netip.AddrPort{}
				if port := k.Walk(p); port != 0 {
					t.Fatalf("%+v of the proxy has the verdict %d under\n%v", p, port, k)
				}
			}
		}
	}
}

func TestTheOrderOfListsChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		c := randomConfig(rng)
		d := c
		d.RedirectCIDRs = shuffled(rng, c.RedirectCIDRs)
		d.ExcludeCIDRs = shuffled(rng, c.ExcludeCIDRs)
		d.ExcludePorts = shuffled(rng, c.ExcludePorts)
		d.ExcludeUIDs = shuffled(rng, c.ExcludeUIDs)
		for _, f := range families {
			for _, ch := range ruleset.Chains {
				if a, b := ch.Build(c, f), ch.Build(d, f); !slices.Equal(a, b) {
					t.Fatalf("%v\n%v\ndiffer for\n%v\n%v", a, b, c.Args(), d.Args())
				}
			}
		}
	}
}

func shuffled[T any](rng *rand.Rand, list []T) []T {
	list = append(slices.Clone(list), list...) // repeating changes nothing either
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func TestEveryBuiltRuleIsReadBackAsItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		for _, f := range families {
			for _, ch := range ruleset.Chains {
				for _, r := range ch.Build(randomConfig(rng), f) {
					if got, ok := ruleset.ParseRule(r.Args()); !ok || got != r {
						t.Fatalf("%q is read as %+v, %v; it was %+v", r.Args(), got, ok, r)
					}
				}
			}
		}
	}
}

func TestRulesThatAreNotOursAreNotRead(t *testing.T) {
	for name, rule := range map[string]string{
		"nothing":                           "",
		"no target":                         "-p tcp",
		"another target":                    "-j ACCEPT",
		"a jump to a chain":                 "-p tcp -j SLUICE_OUTPUT_B",
		"two targets":                       "-j RETURN -j RETURN",
		"an option without its value":       "-j RETURN -p",
		"a negated condition":               "! -o lo -j RETURN",
		"another protocol":                  "-p udp -j RETURN",
		"a source address without a length": "-s 10.0.0.1 -j RETURN",
		"the same source twice":             "-s 10.0.0.1/32 -s 10.0.0.1/32 -j RETURN",
		"a source port without a protocol":  "--sport 53 -j DROP",
		"a range of source ports":           "-p tcp -m tcp --sport 53:54 -j DROP",
		"two source ports":                  "-p tcp -m tcp --sport 53 --sport 54 -j DROP",
		"a drop with a port":                "-p tcp -j DROP --to-ports 1",
		"a group owner":                     "-m owner --gid-owner 15301 -j RETURN",
		"two users":                         "-m owner --uid-owner 1 --uid-owner 2 -j RETURN",
		"a list of users":                   "-m owner --uid-owner 1,2 -j RETURN",
		"a port without a protocol":         "--dport 53 -j RETURN",
		"ports the wrong way round":         "-p tcp -m tcp --dport 60:53 -j RETURN",
		"a port of zero":                    "-p tcp -m tcp --dport 0 -j RETURN",
		"a redirect without a port":         "-p tcp -j REDIRECT",
		"a redirect of every protocol":      "-j REDIRECT --to-ports 1",
		"a redirect to a range":             "-p tcp -j REDIRECT --to-ports 1-2",
		"a return with a port":              "-p tcp -j RETURN --to-ports 1",
		"a random redirect":                 "-p tcp -j REDIRECT --to-ports 1 --random",
		"a mask that is not a length":       "-d 10.0.0.0/255.0.255.0 -j RETURN",
		"an address without a length":       "-d 10.0.0.1 -j RETURN",
		"address bits outside the length":   "-d 10.0.0.1/8 -j RETURN",
		"a length of zero (not so listed)":  "-d 0.0.0.0/0 -j RETURN",
		"an IPv4 address written as IPv6":   "-d ::ffff:10.0.0.1/128 -j RETURN",
		"counters":                          "-j RETURN -c 0 0",
		"a comment":                         "-m comment --comment x -j RETURN",
		"the same condition twice":          "-o lo -o lo -j RETURN",
		"the same destination twice":        "-d 10.0.0.0/8 -d 10.0.0.0/8 -j RETURN",
		"the same protocol twice":           "-p tcp -p tcp -j RETURN",
		"an interface without a name":       "-o -j RETURN",
		"a number that is spelled too long": "-m owner --uid-owner 015301 -j RETURN",
	} {
		if r, ok := ruleset.ParseRule(strings.Fields(rule)); ok {
			t.Errorf("%s: %q was read as %+v", name, rule, r)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("-o lo -j RETURN")
	f.Add("-s 127.0.0.1/32 -p tcp -m tcp --sport 15301 -j DROP")
	f.Add("-m owner --uid-owner 15301 -j RETURN")
	f.Add("-m owner --uid-owner 100-200 -j RETURN")
	f.Add("-p tcp -m tcp --dport 8000:8100 -j RETURN")
	f.Add("-d 10.96.0.0/16 -p tcp -j REDIRECT --to-ports 15301")
	f.Add("-d fd00:10:96::/112 -p tcp -j REDIRECT --to-ports 15301")
	f.Fuzz(func(t *testing.T, line string) {
		r, ok := ruleset.ParseRule(strings.Fields(line))
		if !ok {
			return
		}
		again, ok := ruleset.ParseRule(r.Args())
		if !ok || again != r {
			t.Fatalf("%q is %+v, written %q, read again as %+v, %v", line, r, r.Args(), again, ok)
		}
	})
}
