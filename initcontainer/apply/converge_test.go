package apply

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset/rulesettest"
)

// world is a network namespace with a fake kernel behind each iptables program. A program that is missing from tables
// is not installed.
type world struct {
	tables map[string]*rulesettest.Kernel
	host   Host
	log    bytes.Buffer
}

func newWorld() *world {
	w := &world{tables: map[string]*rulesettest.Kernel{}, host: Host{CapEff: ^uint64(0), HasIPv6: true}}
	for _, f := range families {
		for _, m := range []config.Mode{config.ModeNFT, config.ModeLegacy} {
			w.tables[program(f, m)] = rulesettest.NewKernel()
		}
	}
	w.legacyInUse(true)
	return w
}

func (w *world) legacyInUse(yes bool) {
	w.host.Legacy = map[ruleset.Family][]string{}
	for _, f := range families {
		if yes {
			w.host.Legacy[f] = []string{"nat", "filter"}
		}
	}
}

func (w *world) system() System {
	return System{Host: w.host, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Open: func(f ruleset.Family, m config.Mode) (Tables, error) {
			k, ok := w.tables[program(f, m)]
			if !ok {
				return nil, &exec.Error{Name: program(f, m), Err: exec.ErrNotFound}
			}
			return k, nil
		}}
}

func (w *world) String() string {
	var b strings.Builder
	for _, f := range families {
		for _, m := range []config.Mode{config.ModeNFT, config.ModeLegacy} {
			fmt.Fprintf(&b, "# %s\n%v", program(f, m), w.tables[program(f, m)])
		}
	}
	return b.String()
}

// only is the world in which nothing but the settings' rules is in force, in one mode.
func only(t *testing.T, m config.Mode, c config.Config) string {
	t.Helper()
	w := newWorld()
	for _, f := range families {
		if err := w.tables[program(f, m)].Load(ruleset.Script(c, f)); err != nil {
			t.Fatal(err)
		}
	}
	return w.String()
}

func settings(t *testing.T, flags string) config.Config {
	t.Helper()
	c, err := config.Parse(strings.Fields(flags), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const dual = "--redirect-cidrs=10.96.0.0/16,fd96::/108 "

func TestTheFirstRunMakesTheRulesAndTheSecondChangesNothing(t *testing.T) {
	for _, mode := range []string{"auto", "nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			w, c := newWorld(), settings(t, dual+"--iptables-mode="+mode)
			if err := w.system().Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			made := config.Mode(strings.Replace(mode, "auto", "nft", 1))
			if got, want := w.String(), only(t, made, c); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			for _, k := range w.tables {
				k.Before = func(command string) error { t.Errorf("the second run does %s", command); return nil }
			}
			w.log.Reset()
			if err := w.system().Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(w.log.String(), "msg=unchanged"); n != 2 {
				t.Errorf("the log says unchanged %d times, want once for each family:\n%s", n, &w.log)
			}
		})
	}
}

// redirects are the redirecting rules alone, as an older version made them.
func redirects(cidr string) string {
	return ruleset.Redirects.Script(ruleset.Redirects.Build(mustConfig(cidr), ruleset.IPv4))
}

// startsOfBoth are those of the nat table alone, and with their like in the filter table.
func startsOfBoth() map[string]string {
	all := maps.Clone(starts)
	for name, script := range starts {
		all[name+", and so in the filter table"] = beside(script)
	}
	return all
}

// beside is the same start with its like in the other table.
func beside(start string) string {
	return start + "*filter\n" + strings.NewReplacer("*nat\n", "", "SLUICE_OUTPUT", "SLUICE_INVALID",
		"-p tcp -j SLUICE_OUTPUT", "-p tcp -m conntrack --ctstate INVALID -j SLUICE_INVALID",
		"-j REDIRECT --to-ports 15301", "-j DROP", "-j REDIRECT --to-ports 1", "-j DROP",
		"-j REDIRECT --to-ports 2", "-j RETURN").Replace(start)
}

// starts are nat tables that a run may find, in one family.
var starts = map[string]string{
	"nothing":                 "",
	"what is wanted":          redirects("10.96.0.0/16"),
	"what is wanted, twice":   ":SLUICE_OUTPUT_A\n-A SLUICE_OUTPUT_A -o lo -j RETURN\n-A OUTPUT -p tcp -j SLUICE_OUTPUT_A\n-A OUTPUT -p tcp -j SLUICE_OUTPUT_A\n",
	"other settings":          redirects("10.96.0.0/12"),
	"other settings in B":     strings.ReplaceAll(redirects("10.96.0.0/12"), "_A", "_B"),
	"a half-built chain":      ":SLUICE_OUTPUT_A\n-A SLUICE_OUTPUT_A -o lo -j RETURN\n",
	"an empty chain in force": ":SLUICE_OUTPUT_A\n-A OUTPUT -p tcp -j SLUICE_OUTPUT_A\n",
	"a half-built chain beside one in force": ":SLUICE_OUTPUT_A\n-A SLUICE_OUTPUT_A -p tcp -j REDIRECT --to-ports 1\n" +
		"-A OUTPUT -p tcp -j SLUICE_OUTPUT_A\n:SLUICE_OUTPUT_B\n-A SLUICE_OUTPUT_B -o lo -j RETURN\n",
	"two chains in force, both out of date": ":SLUICE_OUTPUT_A\n:SLUICE_OUTPUT_B\n" +
		"-A SLUICE_OUTPUT_A -p tcp -j REDIRECT --to-ports 1\n-A SLUICE_OUTPUT_B -p tcp -j REDIRECT --to-ports 2\n" +
		"-A OUTPUT -p tcp -j SLUICE_OUTPUT_B\n-A OUTPUT -p tcp -j SLUICE_OUTPUT_A\n",
	"two chains in force, the second as wanted": ":SLUICE_OUTPUT_B\n-A SLUICE_OUTPUT_B -p tcp -j REDIRECT --to-ports 1\n" +
		"-A OUTPUT -p tcp -j SLUICE_OUTPUT_B\n" + redirects("10.96.0.0/16"),
	"a jump that somebody changed": ":SLUICE_OUTPUT_A\n-A SLUICE_OUTPUT_A -p tcp -j REDIRECT --to-ports 1\n" +
		"-A OUTPUT -d 10.96.0.0/24 -p tcp -j SLUICE_OUTPUT_A\n",
	"rules of others around ours": "-A OUTPUT -d 10.96.0.9/32 -p tcp -j RETURN\n" +
		redirects("10.96.0.0/12") + "-A OUTPUT -p udp -j RETURN\n",
}

func mustConfig(cidr string) config.Config {
	c := config.Default()
	c.RedirectCIDRs = []netip.Prefix{netip.MustParsePrefix(cidr)}
	return c
}

func TestEveryStartEndsInTheSameRules(t *testing.T) {
	c := mustConfig("10.96.0.0/16")
	for name, script := range startsOfBoth() {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			k := w.tables["iptables-nft"]
			if err := k.Load(script); err != nil {
				t.Fatal(err)
			}
			foreign := foreignRules(k)
			if err := w.system().Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			for _, ch := range ruleset.Chains {
				have, err := read(k, ch)
				if err != nil {
					t.Fatal(err)
				}
				if len(have.jumps) != 1 || len(have.chains) != 1 || !have.holds(have.jumps[0].to, ch.Build(c, ruleset.IPv4)) {
					t.Errorf("in the end there is\n%v", k)
				}
			}
			if got := foreignRules(k); got != foreign {
				t.Errorf("rules of others were\n%s\nand are\n%s", foreign, got)
			}
			if err := w.system().Remove(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := k.String(); got != foreign {
				t.Errorf("after removing there is\n%s\nwant\n%s", got, foreign)
			}
		})
	}
}

// foreignRules lists what would be there without us.
func foreignRules(k *rulesettest.Kernel) string {
	without := rulesettest.NewKernel()
	for table, chains := range k.Tables {
		for _, r := range chains["OUTPUT"] {
			if !strings.Contains(strings.Join(r, " "), "SLUICE") {
				without.Tables[table]["OUTPUT"] = append(without.Tables[table]["OUTPUT"], r)
			}
		}
	}
	return without.String()
}

var errCrash = errors.New("crash")

// A run dies before its nth change, for every n and every start; the next run, with the same or with other settings,
// must end where a run without a crash ends.
func TestARunThatDiedAtAnyStepIsFinishedByTheNextOne(t *testing.T) {
	same, other := mustConfig("10.96.0.0/16"), mustConfig("10.97.0.0/16")
	crashes := 0
	for name, script := range startsOfBoth() {
		for _, next := range []config.Config{same, other} {
			for n := 0; ; n++ {
				w := newWorld()
				k := w.tables["iptables-nft"]
				if err := k.Load(script); err != nil {
					t.Fatal(err)
				}
				if finished := dieAt(t, w, k, n, same); finished {
					break
				}
				crashes++
				if err := w.system().Apply(t.Context(), next); err != nil {
					t.Fatalf("%s, died before change %d, then: %v", name, n, err)
				}
				for _, ch := range ruleset.Chains {
					have, err := read(k, ch)
					if err != nil {
						t.Fatal(err)
					}
					if left := plan(have, ch.Build(next, ruleset.IPv4)); len(left) > 0 {
						t.Fatalf("%s, died before change %d: still to do %v in\n%v", name, n, left, k)
					}
				}
			}
		}
	}
	if crashes < 100 {
		t.Errorf("only %d crashes were tried", crashes)
	}
}

// dieAt runs the steps as Apply does and stops dead before change n, without the tidying that a mere error would get.
func dieAt(t *testing.T, w *world, k *rulesettest.Kernel, n int, c config.Config) (finished bool) {
	t.Helper()
	changes := 0
	k.Before = func(string) error {
		changes++
		if changes > n {
			return errCrash
		}
		return nil
	}
	defer func() { k.Before = nil }()
	s := w.system()
	for _, ch := range ruleset.Chains {
		sd := s.look(ruleset.IPv4, config.ModeNFT, ch)
		want := ch.Build(c, ruleset.IPv4)
		err := s.run(t.Context(), s.Log, ruleset.IPv4, sd, plan(sd.have, want), want)
		if err != nil && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if err != nil {
			return false
		}
	}
	return true
}

// From rules to rules: whatever old and new settings agree on holds after every single change.
func TestThereIsNoHoleAndNoDoubleRedirectOnTheWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	checked := 0
	for range 60 {
		from, to := randomSettings(t, rng), randomSettings(t, rng)
		w := newWorld()
		k := w.tables["iptables-nft"]
		if err := w.system().Apply(t.Context(), from); err != nil {
			t.Fatal(err)
		}
		var packets []rulesettest.Packet
		var before []int
		for range 50 {
			p := randomPacket(rng)
			packets, before = append(packets, p), append(before, k.Walk(p))
		}
		after := rulesettest.NewKernel()
		if err := after.Load(ruleset.Script(to, ruleset.IPv4)); err != nil {
			t.Fatal(err)
		}
		k.After = func(command string) {
			for i, p := range packets {
				checked++
				if port := k.Walk(p); port != before[i] && port != after.Walk(p) {
					t.Fatalf("after %s: %+v goes to %d; it went to %d and is to go to %d\n%v",
						command, p, port, before[i], after.Walk(p), k)
				}
			}
		}
		if err := w.system().Apply(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
	if checked < 10000 {
		t.Errorf("only %d looks at packets", checked)
	}
}

func randomSettings(t *testing.T, rng *rand.Rand) config.Config {
	one := func(list ...string) string { return list[rng.IntN(len(list))] }
	return settings(t, "--redirect-cidrs="+one("10.96.0.0/16", "10.96.0.0/24", "10.96.0.0/12,10.128.0.0/9")+
		" --proxy-port="+one("15301", "4000")+" --exclude-ports="+one("", "80", "80-90")+
		" --exclude-uids="+one("", "0", "1000")+" --exclude-cidrs="+one("", "10.96.0.9"))
}

func randomPacket(rng *rand.Rand) rulesettest.Packet {
	dsts := []string{"10.96.0.9:80", "10.96.0.8:80", "10.96.0.8:81", "10.96.7.7:443", "10.97.0.1:80", "10.200.0.1:80", "8.8.8.8:53"}
	src := netip.AddrPortFrom(netip.MustParseAddr([]string{"10.77.0.2", "127.0.0.1"}[rng.IntN(2)]), []uint16{4000, 15301, 40000}[rng.IntN(3)])
	return rulesettest.Packet{Protocol: "tcp", Out: "eth0", Src: src, Invalid: rng.IntN(2) == 0, UID: []uint32{0, 1000, 15301}[rng.IntN(3)],
		Dst: netip.MustParseAddrPort(dsts[rng.IntN(len(dsts))])}
}

func TestAnErrorLeavesWhatWasInForceAndNoHalfBuiltChain(t *testing.T) {
	from, to := settings(t, dual), settings(t, dual+"--exclude-ports=25 --iptables-mode=nft")
	w := newWorld()
	if err := w.system().Apply(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	before := w.String()
	for _, k := range w.tables {
		k.Before = func(command string) error {
			if strings.Contains(command, "REDIRECT") {
				return errors.New("Extension REDIRECT revision 0 not supported, missing kernel module?")
			}
			return nil
		}
	}
	err := w.system().Apply(t.Context(), to)
	if err == nil || !strings.Contains(err.Error(), "module xt_REDIRECT") {
		t.Errorf("the error is %v", err)
	}
	if got := w.String(); got != before {
		t.Errorf("before\n%s\nafter\n%s", before, got)
	}
}

func TestAStoppedRunSaysWhereItStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld()
	w.tables["iptables-nft"].After = func(command string) {
		if strings.HasPrefix(command, "-t nat -N") {
			cancel()
		}
	}
	err := w.system().Apply(ctx, settings(t, dual))
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `stopped before "append`) {
		t.Errorf("the error is %v", err)
	}
	if got, want := w.String(), newWorld().String(); got != want {
		t.Errorf("it leaves\n%s\nwant\n%s", got, want)
	}
}

func TestVerifyNoticesAKernelThatDoesSomethingElse(t *testing.T) {
	w := newWorld()
	k := w.tables["iptables-nft"]
	k.After = func(command string) {
		if strings.HasPrefix(command, "-t nat -A OUTPUT") {
			k.After = nil
			if err := k.Append("nat", "OUTPUT", ruleset.Redirects.Jump(ruleset.Redirects.A)...); err != nil {
				t.Error(err)
			}
		}
	}
	s := w.system()
	s.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	err := s.Apply(t.Context(), settings(t, dual+"--iptables-mode=nft"))
	if err == nil || !strings.Contains(err.Error(), "not those asked for") {
		t.Errorf("the error is %v", err)
	}
}
