package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed report.lua
var wrkReport string

// file puts a text into the network's directory.
func (n *network) file(name, text string) (path string, err error) {
	path = filepath.Join(n.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// read answers a file's text, and nothing when it is not there: a client that gives up writes none.
func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// unknown is a figure that a client does not tell.
const unknown = -1

// slowAbove is from where a request is counted as slow, in milliseconds.
const slowAbove = 100

// times fills in what follows from each request's time in milliseconds.
func (r *result) times(ms []float64) {
	if len(ms) == 0 {
		return
	}
	slices.Sort(ms)
	r.P99, r.Longest = quantile(ms, 0.99), ms[len(ms)-1]
	for _, x := range ms {
		if x > slowAbove {
			r.Slow++
		}
	}
}

// quantile is the smallest of the sorted values that at least the share q of them does not exceed.
func quantile(sorted []float64, q float64) float64 {
	i := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

var (
	abLine  = regexp.MustCompile(`(?m)^(Complete requests|Failed requests|Non-2xx responses):\s+(\d+)`)
	abEnded = regexp.MustCompile(`(?m)(apr_.*|Test aborted after.*)$`)
	abTotal = regexp.MustCompile(`(?m)^Total of (\d+) requests completed`)
)

// parseAb reads ab's report, which says nothing about failures when it gave up, and its file with a line for each request:
// "starttime, seconds, ctime, dtime, ttime, wait", in milliseconds.
func parseAb(out, file string, asked int) (result, error) {
	r := result{Requests: asked}
	complete := -1
	for _, m := range abLine.FindAllStringSubmatch(out, -1) {
		x, err := strconv.Atoi(m[2])
		if err != nil {
			return r, err
		}
		switch m[1] {
		case "Complete requests":
			complete = x
		case "Failed requests":
			r.Failed = x
		default:
			r.Non2xx = x
		}
	}
	if complete < 0 {
		done := 0
		if m := abTotal.FindStringSubmatch(out); m != nil {
			done, _ = strconv.Atoi(m[1]) // digits
		}
		r.Failed, r.Longest, r.P99, r.Slow = asked-done, unknown, unknown, unknown
		r.Note = fmt.Sprintf("gave up after %d: %s", done, strings.TrimSpace(abEnded.FindString(out)))
		return r, nil
	}
	if complete < asked {
		r.Requests, r.Note = complete, fmt.Sprintf("did %d of %d requests in the time it had", complete, asked)
	}
	var ms []float64
	for line := range strings.Lines(file) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 6 || f[0] == "starttime" {
			continue
		}
		x, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return r, fmt.Errorf("ab: %q: %w", line, err)
		}
		ms = append(ms, x)
	}
	r.times(ms)
	return r, nil
}

// parseWrk reads what report.lua prints. How many requests were slow wrk does not know: where one took long, it adds those that
// would have been sent meanwhile.
func parseWrk(out string) (result, error) {
	var w struct {
		Requests, Connect, Read, Write, Timeout, Open, Status int
		P99, Max                                              float64
	}
	i := strings.LastIndex(out, "{")
	if i < 0 {
		return result{}, fmt.Errorf("wrk: no report in %q", out)
	}
	text, _, _ := strings.Cut(out[i:], "\n")
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return result{}, fmt.Errorf("wrk: %q: %w", text, err)
	}
	failed := w.Connect + w.Read + w.Write + w.Timeout + w.Open
	return result{Requests: w.Requests + failed, Failed: failed, Non2xx: w.Status, P99: w.P99, Longest: w.Max, Slow: unknown}, nil
}

var (
	h2Requests = regexp.MustCompile(`(?m)^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded,`)
	h2Status   = regexp.MustCompile(`(?m)^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx`)
)

// parseH2load reads h2load's report, and its file with a line for each answer: start in microseconds, status, microseconds.
func parseH2load(out, file string) (r result, err error) {
	m, s := h2Requests.FindStringSubmatch(out), h2Status.FindStringSubmatch(out)
	if m == nil || s == nil {
		return r, fmt.Errorf("h2load: no counts in %q", out)
	}
	var n [6]int
	for i, text := range append(m[1:], s[1:]...) {
		if n[i], err = strconv.Atoi(text); err != nil {
			return r, err
		}
	}
	// A status may have come and the rest not: then it is no success.
	total, good, other := n[0], min(n[1], n[2]), n[3]+n[4]+n[5]
	r = result{Requests: total, Non2xx: other, Failed: total - good - other}
	var ms []float64
	for line := range strings.Lines(file) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] == "-1" {
			continue
		}
		x, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			return r, fmt.Errorf("h2load: %q: %w", line, err)
		}
		ms = append(ms, x/1000)
	}
	r.times(ms)
	return r, nil
}
