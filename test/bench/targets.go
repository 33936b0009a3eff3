package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// target is something that must hold for Sluice.
type target struct {
	Case   string
	Metric string
	Text   string
	Ratio  bool    // to HAProxy in the same round
	Apart  bool    // from HAProxy in the same round; Gate is how far above it at most
	Gate   float64 // at most
	Aim    float64 // better still; 0 for none
	Unit   string
}

// allTargets: the first version's gates. Aims come from the prototypes.
func allTargets() []target {
	return append([]target{
		{Case: "full", Metric: "cpu_us", Text: "CPU per request at full speed", Ratio: true, Gate: 1, Aim: 0.85},
		{Case: "rate", Metric: "cpu_us", Text: "CPU per request at 1,000/s", Ratio: true, Gate: 1, Aim: 0.85},
		{Case: "syscalls", Metric: "all", Text: "system calls per request, 50 connections", Gate: 4.8, Aim: 4.5},
		{Case: "syscalls1", Metric: "all", Text: "system calls per request, one connection", Gate: 8},
		{Case: "full", Metric: "switches", Text: "context switches per request at full speed", Gate: 0.7},
		// What is left above zero is the runtime's and discovery's own, on a clock and not for requests.
		{Case: "syscalls", Metric: "allocs", Text: "allocations per request in steady state", Gate: 0.005},
		{Case: "memory", Metric: "idle_mib", Text: "RSS idle, discovery from files", Gate: 20, Aim: 14, Unit: "MiB"},
		{Case: "memory", Metric: "conn_kib", Text: "RSS per idle connection", Gate: 6, Aim: 4, Unit: "KiB"},
		{Case: "memory", Metric: "listen_ms", Text: "start to listening", Gate: 40, Unit: "ms"},
		{Case: "bodies", Metric: "cpu_gib", Text: "CPU per GiB of large bodies", Ratio: true, Gate: 0.6, Aim: 0.5},
		{Case: "opaque", Metric: "cpu_gib", Text: "CPU per GiB of opaque TCP", Ratio: true, Gate: 0.6, Aim: 0.5},
		{Case: "latency", Metric: "added_p50", Text: "added p50 at 5,000/s", Apart: true, Unit: "µs"},
		{Case: "latency", Metric: "added_p99", Text: "added p99 at 5,000/s", Apart: true, Unit: "µs"},
	}, slices.Concat(crowdTargets(), http2Targets(), keyedTargets(), microTargets())...)
}

// verdict is whether a target holds.
type verdict string

const (
	better  verdict = "holds, aim reached"
	holds   verdict = "holds"
	short   verdict = "FALLS SHORT"
	unsure  verdict = "not concluded"
	missing verdict = "not measured"
)

// check answers whether the target holds, and the figure that says so.
func (t target) check(outcomes []outcome) (verdict, float64, string) {
	for _, o := range outcomes {
		if o.Case != t.Case {
			continue
		}
		f, ok := o.Figures[sluice][t.Metric]
		x := f.Median
		if t.Ratio {
			x, ok = f.Ratio, ok && f.Ratio != 0
		}
		if ok = ok && (f.Apart != nil || !t.Apart); ok && t.Apart {
			x = f.Apart.Median
		}
		switch {
		case !ok:
			return missing, 0, ""
		case o.Noise != "":
			return unsure, x, o.Noise
		case t.Apart && !f.Apart.sure():
			return unsure, x, sentence("%s: Sluice was above HAProxy in %d of %d rounds, and neither side has two thirds of them", t.Text, f.Apart.Above, f.Apart.Rounds)
		case t.Aim > 0 && x <= t.Aim:
			return better, x, ""
		case x <= t.Gate:
			return holds, x, ""
		}
		return short, x, ""
	}
	return missing, 0, ""
}

// limit says the target's number as a person writes it.
func (t target) limit(x float64) string {
	if t.Ratio {
		return fmt.Sprintf("%.2f× HAProxy", x)
	}
	if t.Apart && x == 0 {
		return "HAProxy's"
	}
	if t.Apart {
		return "HAProxy's " + difference(x) + " " + t.Unit
	}
	number := fmt.Sprintf("%.3g", x)
	if x >= 1000 {
		number = fmt.Sprintf("%.0f", x)
	}
	return strings.TrimSpace(number + " " + t.Unit)
}

// difference writes a number with its sign, and as many digits as mean something.
func difference(x float64) string {
	if math.Abs(x) >= 1000 {
		return fmt.Sprintf("%+.0f", x)
	}
	return fmt.Sprintf("%+.3g", x)
}

func sentence(format string, args ...any) string { return fmt.Sprintf(format, args...) }
