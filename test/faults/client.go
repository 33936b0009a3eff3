package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// result is what a client saw.
type result struct {
	Requests  int     `json:"requests"` // that it was to make, or made
	Failed    int     `json:"failed"`   // no answer, a broken one, or never sent because the client gave up
	Non2xx    int     `json:"non2xx"`
	P99Before float64 `json:"p99BeforeMs"` // of a run before the fault
	P99       float64 `json:"p99Ms"`       // with the fault
	Longest   float64 `json:"longestMs"`
	Slow      int     `json:"over100ms"`
	Note      string  `json:"note,omitempty"`
}

// client is a load that nobody here wrote, at full speed.
type client struct {
	name    string
	program string
	h2      bool
	timed   bool // it runs for a time, not for a number of requests
	// run makes n requests or goes on for d, whatever the program counts in. The directory is for its files.
	run func(ctx context.Context, n *network, amount amount) (result, error)
}

// amount is how much a client does.
type amount struct {
	requests int
	duration time.Duration
	patience time.Duration // after which an answer has not come
}

// part is a share of the amount.
func (a amount) part(of int) amount {
	return amount{a.requests / of, max(a.duration/time.Duration(of), time.Second), a.patience}
}

// connections of every HTTP/1 client.
const connections = 50

func allClients() []client {
	ab := func(flags ...string) func(context.Context, *network, amount) (result, error) {
		return func(ctx context.Context, n *network, a amount) (result, error) {
			file := filepath.Join(n.dir, "ab.tsv")
			// -l: lengths differ, as pods' names may. -r: goes on when a connection is reset, so that all failures are counted.
			args := append(flags, "-q", "-l", "-r", "-s", seconds(a.patience), "-c", strconv.Itoa(connections),
				"-n", strconv.Itoa(a.requests), "-g", file, serviceURL+"/pod")
			out := n.runClient(ctx, "ab", args...)
			return parseAb(out, read(file), a.requests)
		}
	}
	return []client{
		{name: "ab", program: "ab", run: ab()},
		{name: "ab -k", program: "ab", run: ab("-k")},
		// wrk does not count requests that are never answered; report.lua does.
		{name: "wrk", program: "wrk", timed: true, run: func(ctx context.Context, n *network, a amount) (result, error) {
			script, err := n.file("report.lua", wrkReport)
			if err != nil {
				return result{}, err
			}
			out := n.runClient(ctx, "wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", seconds(a.duration)+"s",
				"--timeout", "2s", "-s", script, serviceURL+"/pod", "--", seconds(a.duration))
			return parseWrk(out)
		}},
		// An answer without a body is one frame. Of a longer one Go's server sends the head first, beside those of all other streams: who
		// stops in between has lost what nobody can save, since the head is with the client.
		{name: "h2load", program: "h2load", h2: true, run: func(ctx context.Context, n *network, a amount) (result, error) {
			file := filepath.Join(n.dir, "h2load.tsv")
			out := n.runClient(ctx, "h2load", "-n", strconv.Itoa(a.requests), "-c", "5", "-m", "20",
				"-N", seconds(a.patience), "--log-file="+file, serviceURL+"/status/204")
			return parseH2load(out, read(file))
		}},
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f", max(d.Seconds(), 1)) }

// clientTime is the longest that a client may take; then it is interrupted.
const clientTime = 30 * time.Second

// runClient runs a program in the client's pod and answers all it wrote. How it ended is told by that.
func (n *network) runClient(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	c := n.client.Command(ctx, name, args...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // ab tells what it has done until then
	c.WaitDelay = 5 * time.Second
	out, err := c.CombinedOutput()
	if err != nil {
		return string(out) + "\n" + err.Error()
	}
	return string(out)
}
