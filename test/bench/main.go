// Command bench compares Sluice's proxy with other proxies and with none, on one Linux machine, as root. "make bench" runs it.
//
// Every proxy stands where Sluice's sidecar stands in a pod: a network namespace with the init container's redirect, a client
// that calls a ClusterIP, and the same three servers behind it. In every round of a case each of them is measured once, in
// an order that rotates, and Sluice's figure is divided by HAProxy's of the same round; so a machine that becomes slower
// during the run changes the figures, and hardly the ratios. CPU time is what the kernel's scheduler counted for the
// proxy's threads, not how much a client got through: client, proxy and servers share the machine.
//
// It ends with 0 when all targets hold, 1 when it could not measure, or not all of what a target is about, 2 when it was asked wrongly, 3 when the machine was too
// noisy to conclude, 4 when a target is missed. What was measured is written to the directory of -out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// options are the flags.
type options struct {
	rounds  int
	quick   bool
	threads int
	out     string
	text    string // the document that gets the tables; "" is none
	from    string // results.json of an earlier run; "" measures
	command string
	cases   []string
	peers   []string
	profile bool
	against string
	limits  limits
}

// Exit codes besides 0.
const (
	failed     = 1
	wrongUsage = 2
	noisy      = 3
	missed     = 4
)

func main() {
	// Children get a signal when the thread that started them ends: this one does not.
	runtime.LockOSThread()
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	o, err := parse(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(wrongUsage)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = failed
	}
	os.Exit(code)
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 0, "how often each peer is measured in each case, and up to twice as often where the machine is not quiet (default 5, with -quick 2)")
	f.BoolVar(&o.quick, "quick", false, "short measurements, to see whether everything works")
	f.IntVar(&o.threads, "threads", 1, "threads of every proxy: 1 or 2")
	f.StringVar(&o.out, "out", "bench-results", "directory for what was measured")
	f.StringVar(&o.text, "markdown", "", "write the tables into this `file` too: between its marks, where it is there already")
	f.StringVar(&o.from, "from", "", "measure nothing, and take the tables of this `results.json` for -markdown")
	f.BoolVar(&o.profile, "profile", false, "write CPU profiles of the sidecar into that directory as well")
	f.StringVar(&o.against, "against", "", "another `build` of the sidecar, to be measured beside this one")
	f.Float64Var(&o.limits.Moved, "moved", 0.2, "how far HAProxy's own figure may move between rounds before nothing is concluded")
	f.Float64Var(&o.limits.Others, "others", 0.5, "share of the machine that others may use before nothing is concluded; half of it for latency")
	cases := f.String("cases", "", "only these, with commas: "+strings.Join(caseNames(), ","))
	peers := f.String("peers", "", "only these, with commas: "+strings.Join(peerNames(), ","))
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.from != "" && o.text == "" {
		return o, fmt.Errorf("-from=%s: for -markdown only", o.from)
	}
	o.command = strings.Join(append([]string{"bench"}, args...), " ")
	if o.threads != 1 && o.threads != 2 {
		return o, fmt.Errorf("-threads=%d: want 1 or 2", o.threads)
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 2
		}
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("-rounds=%d: want at least 1", o.rounds)
	}
	o.limits.Rounds = o.rounds
	if o.cases, err = list("cases", *cases, caseNames()); err != nil {
		return o, err
	}
	if o.peers, err = list("peers", *peers, peerNames()); err != nil {
		return o, err
	}
	if len(o.peers) > 0 && (!slices.Contains(o.peers, haproxy) || !slices.Contains(o.peers, direct)) {
		return o, fmt.Errorf("-peers=%s: %s and %s are what others are compared with", *peers, haproxy, direct)
	}
	return o, nil
}

// chosen tells whether a case is to be done.
func (o options) chosen(c testcase) bool {
	return len(o.cases) == 0 || slices.Contains(o.cases, c.name)
}

// judges tells whether a target's case is to be done, and by Sluice.
func (o options) judges(t target) bool {
	return (len(o.cases) == 0 || slices.Contains(o.cases, t.Case)) && (len(o.peers) == 0 || slices.Contains(o.peers, sluice))
}

// modes are those of the chosen cases.
func (o options) modes() (m []mode) {
	for _, c := range allCases() {
		if o.chosen(c) && !slices.Contains(m, c.mode) {
			m = append(m, c.mode)
		}
	}
	return m
}

// notAsked says which peers and cases are left out because others were asked for.
func (o options) notAsked() (all []string) {
	for _, l := range []struct {
		what         string
		asked, known []string
	}{{"peers", o.peers, slices.DeleteFunc(peerNames(), func(name string) bool { return name == earlier })}, {"cases", o.cases, caseNames()}} {
		left := slices.DeleteFunc(l.known, func(name string) bool { return len(l.asked) == 0 || slices.Contains(l.asked, name) })
		if len(left) > 0 {
			all = append(all, sentence("%s that were not asked for: %s", l.what, strings.Join(left, ", ")))
		}
	}
	return all
}

// list splits a flag's value and checks its parts.
func list(name, value string, allowed []string) ([]string, error) {
	if value == "" {
		return nil, nil
	}
	parts := strings.Split(value, ",")
	for _, p := range parts {
		if !slices.Contains(allowed, p) {
			return nil, fmt.Errorf("-%s: %q is none of %s", name, p, strings.Join(allowed, ","))
		}
	}
	return parts, nil
}

func caseNames() (n []string) {
	for _, c := range allCases() {
		n = append(n, c.name)
	}
	return n
}

func peerNames() (n []string) {
	for _, p := range allPeers() {
		n = append(n, p.name)
	}
	return n
}

func run(ctx context.Context, o options, out io.Writer) (code int, err error) {
	if o.from != "" {
		rep, err := readReport(o.from)
		if err != nil {
			return 0, err
		}
		return 0, rep.writeMarkdown(o.text)
	}
	if os.Geteuid() != 0 {
		return 0, errors.New("network namespaces and the counts of other users' processes need root: sudo make bench")
	}
	if err := meshtest.Permitted(); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(o.out, ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("/tmp", "sluice-bench-") // the proxies' user reads it too; TMPDIR may be root's own
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	rep := newReport(describe(), o)
	had, err := prepare(ctx, o, dir, out)
	if err != nil {
		return 0, err
	}
	rep.Versions, rep.LeftOut = had.versions, had.leftOut
	rep.LeftOut = append(rep.LeftOut, o.notAsked()...)
	r, err := openRig(ctx, dir, had.envoy, o.threads, had.peers, o.modes())
	defer r.close()
	if err != nil {
		return 0, err
	}
	b := &bench{rig: r, peers: had.peers, sizes: fullSizes, options: o, out: out}
	if o.quick {
		b.sizes = quickSizes
	}
	began := time.Now()
	for _, c := range allCases() {
		if !o.chosen(c) {
			continue
		}
		if why := had.cannot[c.name]; why != "" {
			rep.LeftOut = append(rep.LeftOut, fmt.Sprintf("%s: %s", c.name, why))
			continue
		}
		err := b.do(c)
		rep.Samples = b.samples
		if err != nil {
			return 0, errors.Join(err, rep.write(o.out)) // what was measured until then may have taken long
		}
		rep.Outcomes = append(rep.Outcomes, judge(c, b.samples, o.limits))
		rep.printCase(out, c)
	}
	rep.Seconds = time.Since(began).Seconds()
	if code, err = rep.finish(out, filepath.Clean(o.out)); err == nil && o.text != "" {
		err = rep.writeMarkdown(o.text)
	}
	return code, err
}
