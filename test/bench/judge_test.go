package main

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// cpuCase is a case whose noise shows in cpu_us.
var cpuCase = testcase{name: "full", noise: "cpu_us", metrics: []metric{cpuPerRequest}}

// rounds makes samples of HAProxy and Sluice, one round for each pair.
func rounds(name string, pairs ...[2]float64) (s []sample) {
	for i, p := range pairs {
		s = append(s, sample{Case: name, Peer: haproxy, Round: i + 1, Values: values{"cpu_us": p[0]}},
			sample{Case: name, Peer: sluice, Round: i + 1, Values: values{"cpu_us": p[1]}})
	}
	return s
}

func TestRoundsCount(t *testing.T) {
	busy := rounds("full", [2]float64{10, 8}, [2]float64{10, 8}, [2]float64{10, 8})
	for i := range 4 {
		busy[i].Others = 0.5
	}
	once := rounds("full", [2]float64{10, 8}, [2]float64{10, 8}, [2]float64{10, 8})
	once[2].Others, once[3].Others = 0.4, 0.5
	without := rounds("full", [2]float64{0, 8}, [2]float64{0, 8})
	for i := range without {
		if without[i].Peer == haproxy {
			without[i].Values = nil
		}
	}
	for name, tt := range map[string]struct {
		samples []sample
		kept    []int
		noise   string
	}{
		"all, when HAProxy's figure stays":     {samples: rounds("full", [2]float64{10, 8}, [2]float64{12, 8}, [2]float64{11, 8}), kept: []int{1, 2, 3}},
		"but for the one in which it moved":    {samples: rounds("full", [2]float64{10, 8}, [2]float64{15, 8}, [2]float64{11, 8}), kept: []int{1, 3}},
		"not, when it moved in too many":       {samples: rounds("full", [2]float64{10, 8}, [2]float64{15, 8}, [2]float64{20, 8}), noise: "from 10 to 20"},
		"not, when it moved in one of two":     {samples: rounds("full", [2]float64{10, 8}, [2]float64{15, 8}), noise: "from 10 to 15"},
		"not, when others used the machine":    {samples: busy, noise: "in 2 of 3 rounds"},
		"but for one in which others did":      {samples: once, kept: []int{1, 3}},
		"not, when HAProxy was not measured":   {samples: without, noise: "not measured"},
		"only those of the case":               {samples: append(rounds("rate", [2]float64{90, 8}), rounds("full", [2]float64{10, 8})...), kept: []int{1}},
		"the quiet ones after a storm as well": {samples: rounds("full", [2]float64{50, 8}, [2]float64{10, 8}, [2]float64{10, 8}), kept: []int{2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			o := judge(cpuCase, tt.samples, limits{Moved: 0.2, Others: 0.3})
			if !slices.Equal(o.Kept, tt.kept) || (o.Noise == "") != (tt.noise == "") || !strings.Contains(o.Noise, tt.noise) {
				t.Errorf("kept %v, noise %q; want %v, %q", o.Kept, o.Noise, tt.kept, tt.noise)
			}
		})
	}
}

func TestLatencyWantsAQuieterMachine(t *testing.T) {
	c := cpuCase
	c.latency = true
	s := rounds("full", [2]float64{10, 8}, [2]float64{10, 8})
	for i := range s {
		s[i].Others = 0.2
	}
	if o := judge(c, s, limits{Moved: 0.2, Others: 0.3}); !strings.Contains(o.Noise, "more than 15 %") {
		t.Errorf("kept %v, noise %q", o.Kept, o.Noise)
	}
}

func TestARoundInWhichTheMachineWasSlowDoesNotCount(t *testing.T) {
	c := testcase{name: "crowd", latency: true, machine: values{"past_p99": 10}}
	var s []sample
	for i, past := range []float64{4, 11, 9} {
		s = append(s, sample{Case: "crowd", Peer: sluice, Round: i + 1, Values: values{"past_p99": past, "calm_p99": 30}})
	}
	if o := judge(c, s, limits{Others: 0.3}); !slices.Equal(o.Kept, []int{1, 3}) || o.Noise != "" {
		t.Errorf("kept %v, noise %q", o.Kept, o.Noise)
	}
	s[0].Values["past_p99"] = 20
	if o := judge(c, s, limits{Others: 0.3}); !strings.Contains(o.Noise, "slow without the proxy, in 2 of 3 rounds") {
		t.Errorf("kept %v, noise %q", o.Kept, o.Noise)
	}
}

func TestARoundInWhichEvenNoProxyWasSlowDoesNotCount(t *testing.T) {
	c := testcase{name: "latency", latency: true, added: []string{"p99", "p999"}}
	var s []sample
	for i, p99 := range []float64{200, 390, 450} {
		s = append(s, sample{Case: "latency", Peer: direct, Round: i + 1, Values: values{"p99": p99, "p999": 1000 * p99 * p99}},
			sample{Case: "latency", Peer: sluice, Round: i + 1, Values: values{"p99": 500}})
	}
	if o := judge(c, s, limits{Others: 0.3}); !slices.Equal(o.Kept, []int{1, 2}) || o.Noise != "" {
		t.Errorf("kept %v, noise %q", o.Kept, o.Noise)
	}
}

func TestFurtherRoundsMayMakeUpForThoseThatDoNotCount(t *testing.T) {
	s := rounds("full", [2]float64{10, 8}, [2]float64{15, 8}, [2]float64{20, 8}, [2]float64{10, 8})
	for n, noise := range map[int]bool{6: true, 8: false} { // of the last round on, those that are made count
		o := judge(cpuCase, s[:n], limits{Moved: 0.2, Others: 0.3, Rounds: 3})
		if (o.Noise != "") != noise {
			t.Errorf("of %d samples kept %v, noise %q", n, o.Kept, o.Noise)
		}
	}
	// Half of them must agree in any case.
	s = append(s, rounds("full", [2]float64{30, 8})...)
	s[8].Round, s[9].Round = 5, 5
	if o := judge(cpuCase, s, limits{Moved: 0.2, Others: 0.3, Rounds: 3}); o.Noise == "" {
		t.Errorf("kept %v of 5", o.Kept)
	}
}

func TestAQuietCaseCountsNoRoundOfABusyMachine(t *testing.T) {
	c := testcase{name: "keyed", quiet: true}
	s := []sample{{Case: "keyed", Peer: sluice, Round: 1, Others: 0.2}, {Case: "keyed", Peer: sluice, Round: 2, Others: 0.4},
		{Case: "keyed", Peer: sluice, Round: 3, Others: 0.1}}
	if o := judge(c, s, limits{Moved: 0.2, Others: 0.3}); !slices.Equal(o.Kept, []int{1, 3}) || o.Noise != "" {
		t.Errorf("kept %v, noise %q", o.Kept, o.Noise)
	}
	s[2].Others = 0.5
	if o := judge(c, s, limits{Moved: 0.2, Others: 0.3}); o.Noise == "" {
		t.Errorf("kept %v of a busy machine", o.Kept)
	}
}

func TestRatiosAreOfOneRound(t *testing.T) {
	// The machine became twice as slow; the ratios did not move.
	o := judge(testcase{name: "full", metrics: []metric{cpuPerRequest}},
		rounds("full", [2]float64{10, 8}, [2]float64{20, 16}, [2]float64{40, 36}), limits{Moved: 0.2, Others: 1})
	f := o.Figures[sluice]["cpu_us"]
	if f.Ratio != 0.8 || f.RatioWorst != 0.9 || f.Median != 16 || f.Min != 8 || f.Max != 36 {
		t.Errorf("got %+v", f)
	}
}

func TestAddedLatencyIsTheDifferenceToNoProxyInTheSameRound(t *testing.T) {
	c := testcase{name: "latency", added: []string{"p50"}}
	var s []sample
	for round, base := range []float64{100, 200} {
		for peer, more := range map[string]float64{direct: 0, haproxy: 50, sluice: 25} {
			s = append(s, sample{Case: "latency", Peer: peer, Round: round + 1, Values: values{"p50": base + more}})
		}
	}
	o := judge(c, s, limits{Moved: 0.2, Others: 1})
	if f := o.Figures[sluice]["added_p50"]; f.Median != 25 || f.Ratio != 0 || *f.Apart != (apart{-25, -25, 2, 0}) {
		t.Errorf("Sluice adds %+v", f)
	}
	if _, ok := o.Figures[direct]["added_p50"]; ok {
		t.Error("no proxy adds something to itself")
	}
}

func TestAddedLatencyIsComparedInEveryRound(t *testing.T) {
	c := testcase{name: "latency", added: []string{"p99"}}
	gate := target{Case: "latency", Metric: "added_p99", Text: "added p99", Apart: true, Unit: "µs"}
	for _, tt := range []struct {
		name            string
		haproxy, sluice []float64 // added
		want            verdict
		x               float64
	}{
		// A ratio of the rounds in which HAProxy adds something would be 0.1 here, of one round out of three.
		{"HAProxy adds less than nothing in most rounds", []float64{-20, -30, 1000}, []float64{100, 110, 100}, short, 120},
		{"HAProxy adds nothing, and Sluice less", []float64{0, 0, 10}, []float64{-5, -4, 5}, holds, -5},
		{"below it in two of three", []float64{50, 50, 50}, []float64{40, 45, 70}, holds, -5},
		{"below it in three of five", []float64{50, 50, 50, 50, 50}, []float64{40, 45, 45, 70, 70}, unsure, -5},
		{"above it in three of five", []float64{50, 50, 50, 50, 50}, []float64{40, 45, 60, 70, 70}, unsure, 10},
		{"above it in all", []float64{50, 50}, []float64{51, 53}, short, 2},
		{"as much", []float64{50, 50}, []float64{50, 50}, holds, 0},
	} {
		var s []sample
		for i := range tt.haproxy {
			for peer, more := range map[string]float64{direct: 0, haproxy: tt.haproxy[i], sluice: tt.sluice[i]} {
				s = append(s, sample{Case: "latency", Peer: peer, Round: i + 1, Values: values{"p99": 1000 + more}})
			}
		}
		got, x, why := gate.check([]outcome{judge(c, s, limits{Moved: 0.2, Others: 1})})
		if got != tt.want || x != tt.x || (got == unsure) != (why != "") {
			t.Errorf("%s: %q by %v, want %q by %v; %s", tt.name, got, x, tt.want, tt.x, why)
		}
	}
	if got, _, _ := gate.check([]outcome{judge(c, []sample{{Case: "latency", Peer: sluice, Round: 1, Values: values{"p99": 1}}}, limits{})}); got != missing {
		t.Errorf("without HAProxy: %q", got)
	}
}

func TestTargetsAreChecked(t *testing.T) {
	gate := target{Case: "full", Metric: "cpu_us", Ratio: true, Gate: 1, Aim: 0.85}
	with := func(ratio float64, noise string) []outcome {
		return []outcome{{Case: "full", Noise: noise, Figures: map[string]map[string]figure{sluice: {"cpu_us": {Median: 10, Ratio: ratio}}}}}
	}
	for name, tt := range map[string]struct {
		outcomes []outcome
		want     verdict
	}{
		"better than the aim":         {with(0.8, ""), better},
		"between aim and gate":        {with(0.9, ""), holds},
		"exactly the gate":            {with(1, ""), holds},
		"above the gate":              {with(1.01, ""), short},
		"above it on a noisy machine": {with(1.01, "storm"), unsure},
		"without HAProxy":             {with(0, ""), missing},
		"a case that was not done":    {nil, missing},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _, _ := gate.check(tt.outcomes); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEveryTargetAndEveryPanelNamesAFigureThatIsMeasured(t *testing.T) {
	for _, target := range allTargets() {
		if _, m, ok := find(target.Case, target.Metric); !ok {
			t.Errorf("%q: %s %s is not measured", target.Text, target.Case, target.Metric)
		} else if target.Ratio && !m.ratio {
			t.Errorf("%q: %s %s has no ratio", target.Text, target.Case, target.Metric)
		} else if target.Apart && !m.apart {
			t.Errorf("%q: %s %s is not compared by difference", target.Text, target.Case, target.Metric)
		}
	}
	for _, p := range panels {
		if _, _, ok := find(p.name, p.metric); !ok {
			t.Errorf("the panel %s %s is not measured", p.name, p.metric)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, v := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		if got := median(v); got != want {
			t.Errorf("median of %v is %v, want %v", v, got, want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("no values have a median")
	}
}
