package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// toolTime is what a client may take beyond its own duration. A proxy that hangs is an error, not a hang.
const toolTime = 60 * time.Second

// run starts a client in the way's pod and answers what it wrote to standard output.
func (w *way) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(w.rig.ctx, toolTime)
	defer cancel()
	out, err := w.pod.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// wrkArgs ask for keep-alive requests at full speed. wrk counts whole seconds.
func wrkArgs(w *way, connections int, d time.Duration) []string {
	return []string{"-t", "1", "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%.0fs", d.Seconds()), "--timeout", "5s",
		"http://" + w.vip().String() + "/"}
}

// wrk answers how many requests were answered.
func wrk(w *way, connections int, d time.Duration) (float64, error) {
	out, err := w.run("wrk", wrkArgs(w, connections, d)...)
	if err != nil {
		return 0, err
	}
	return parseWrk(out)
}

var wrkRequests = regexp.MustCompile(`(?m)^\s*(\d+) requests in `)

// parseWrk reads wrk's report. Any failure is an error: the figures of a proxy that fails are not comparable.
func parseWrk(out string) (float64, error) {
	for _, bad := range []string{"Socket errors", "Non-2xx"} {
		if i := strings.Index(out, bad); i >= 0 {
			line, _, _ := strings.Cut(out[i:], "\n")
			return 0, fmt.Errorf("wrk: %s", line)
		}
	}
	m := wrkRequests.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk: no number of requests in %q", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

func abArgs(w *way, connections, n int) []string {
	return []string{"-q", "-l", "-s", "10", "-c", strconv.Itoa(connections), "-n", strconv.Itoa(n), "http://" + w.vip().String() + "/"}
}

// ab makes n requests, each on a connection of its own.
func ab(w *way, connections, n int) (float64, error) {
	out, err := w.run("ab", abArgs(w, connections, n)...)
	if err != nil {
		return 0, err
	}
	return parseAb(out)
}

var abLine = regexp.MustCompile(`(?m)^(Complete requests|Failed requests|Write errors|Non-2xx responses):\s+(\d+)`)

func parseAb(out string) (done float64, err error) {
	for _, m := range abLine.FindAllStringSubmatch(out, -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		switch {
		case err != nil:
			return 0, fmt.Errorf("ab: %w", err)
		case m[1] == "Complete requests":
			done = n
		case n > 0:
			return 0, fmt.Errorf("ab: %s: %.0f", m[1], n)
		}
	}
	if done == 0 {
		return 0, fmt.Errorf("ab: no number of requests in %q", out)
	}
	return done, nil
}

// load runs the loader in the way's pod. It calls begin when the measured part begins and end when the result has come.
func (w *way) load(result any, begin, end func() error, args ...string) error {
	return w.loading(result, nil, begin, end, args...)
}

// loading is load with a standard input that the loader waits for.
func (w *way) loading(result any, stdin io.Reader, begin, end func() error, args ...string) error {
	ctx, cancel := context.WithTimeout(w.rig.ctx, toolTime)
	defer cancel()
	c := w.pod.Command(ctx, filepath.Join(w.rig.dir, "loader"), args...)
	c.Stdin = stdin
	return follow(c, result, begin, end)
}

// follow starts a loader and reads what it prints.
func follow(c *meshtest.Cmd, result any, begin, end func() error) error {
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	ended := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "begin" {
			err = errors.Join(err, begin())
			continue
		}
		ended = true
		err = errors.Join(err, end(), json.Unmarshal(lines.Bytes(), result))
	}
	if werr := c.Wait(); werr != nil {
		return errors.Join(err, fmt.Errorf("%w: %s", werr, bytes.TrimSpace(complaint.Bytes())))
	}
	if !ended {
		err = errors.Join(err, errors.New("the loader ended without a result"))
	}
	return err
}
