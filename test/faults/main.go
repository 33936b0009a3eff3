// Command faults lets pods turn bad under load and counts what their clients see of it: with kube-proxy's rules alone, with
// Sluice's sidecar, and with HAProxy and nginx in the sidecar's place, tuned as a careful person would. "make faults" runs it.
//
// Every measurement has a network of its own: a client's pod with the init container's redirect, two pods behind a ClusterIP, a
// node with kube-proxy's rules. The client runs once in peace and once more, and in the middle of that one pod turns bad.
//
// It prints a table, writes all figures to faults.json in the directory of -out, and ends with 0 when all that is promised of
// Sluice was kept, 1 when something was not, 2 when it could not measure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// options are the flags.
type options struct {
	quick bool
	only  string
	peers []*peer
	out   string
	from  string
	text  string
	timed bool
}

func main() {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	var o options
	var peers string
	flag.BoolVar(&o.quick, "quick", false, "fewer requests, Sluice only, and no promises about time")
	flag.StringVar(&o.only, "only", everyCase, "only cases whose name matches the `pattern`, such as '500/*' or '*/ab', also those that -quick leaves out")
	flag.StringVar(&peers, "peers", "", "only these, with commas: "+strings.Join(names(), ","))
	flag.StringVar(&o.out, "out", "fault-results", "directory for faults.json")
	flag.StringVar(&o.text, "markdown", "", "write the figures as tables into this `file` too: between its marks, where it is there already")
	flag.StringVar(&o.from, "from", "", "measure nothing, and take the figures of this `faults.json` for -markdown")
	flag.Parse()
	o.timed = !o.quick
	if peers == "" && o.quick {
		peers = sluice
	}
	for _, p := range allPeers() {
		if peers == "" || slices.Contains(strings.Split(peers, ","), p.name) {
			o.peers = append(o.peers, p)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	broken, err := run(ctx, o, os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	case broken > 0:
		os.Exit(1)
	}
}

// named tells that cases are asked for by name: a quick run makes these even when it would leave them out.
func (o options) named() bool { return o.only != everyCase }

const everyCase = "*/*"

func names() (n []string) {
	for _, p := range allPeers() {
		n = append(n, p.name)
	}
	return n
}

// run makes all measurements and answers how many promises were broken.
func run(ctx context.Context, o options, out io.Writer) (broken int, err error) {
	if o.from != "" {
		rep, err := readReport(o.from)
		if err != nil {
			return 0, err
		}
		return 0, rep.writeMarkdown(o.text)
	}
	if err := errors.Join(meshtest.Permitted(), meshtest.UserMapped(proxyUser)); err != nil {
		return 0, err
	}
	had := programs{}
	if had.dir, err = build(ctx); err != nil {
		return 0, err
	}
	defer os.RemoveAll(had.dir)
	began := time.Now()
	rep := &report{Date: began.UTC().Format(time.DateOnly), Command: commandLine(), Machine: machine(), Quick: o.quick}
	a := amount{requests: 20000, duration: 5 * time.Second, patience: 5 * time.Second}
	if o.quick {
		a = amount{requests: 5000, duration: 2 * time.Second, patience: 5 * time.Second}
	}
	for _, f := range allFaults() {
		for _, c := range allClients() {
			name := caseName(c, f)
			if match, err := path.Match(o.only, name); err != nil {
				return 0, err
			} else if !match || o.quick && !o.named() && !quick(c, f) {
				continue
			}
			for _, p := range o.peers {
				r := row{Case: name, Title: f.title + ", " + c.name, Peer: p.name}
				r.result, err = faulted(ctx, had, p, c, f, a)
				if ctx.Err() != nil {
					return 0, context.Cause(ctx)
				}
				rep.add(r, err, promised(c, f), o.timed)
			}
			rep.print(out, name)
		}
	}
	if err := scenarios(ctx, had, o, rep, out); err != nil {
		return 0, err
	}
	rep.Seconds = time.Since(began).Seconds()
	rep.summary(out)
	err = rep.write(o.out)
	if o.text != "" {
		err = errors.Join(err, rep.writeMarkdown(o.text))
	}
	return rep.broken(), err
}

// quick tells which cases a quick run makes: wrk takes whole seconds.
func quick(c client, f fault) bool {
	return c.program != "wrk" || slices.Contains([]string{"refuse", "500"}, f.name)
}

// resultsDir makes the directory for results, which git passes over.
func resultsDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644)
}
