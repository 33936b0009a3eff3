package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// policyScenarios: what a Service's settings make of a pod that turns slow, and what their change does to a sidecar that runs.
func policyScenarios() (all []scenario) {
	ours := []string{sluice}
	for _, c := range []struct {
		policy string
		most   float64 // of a fair share that the slow pod may get, from a second after it turned slow; 0 promises nothing
	}{
		{"least-request", 0.8}, {"peak-ewma", 0.2}, {"round-robin", 0}, {"random", 0},
	} {
		all = append(all, scenario{name: "policy/" + c.policy, title: "a pod's answers take 50 ms from now on, with " + c.policy, peers: ours,
			// Latency differs by itself where others use the machine, and peak-ewma follows it.
			quick: c.policy != "peak-ewma", shape: shape{pods: 3, toxic: true, rules: []string{"policy=" + c.policy}}, run: func(x *trial) error { return x.turnSlow(c.most) }})
	}
	return append(all, scenario{name: "policy/change", title: "a pod's weight becomes 0 and 1 again, while requests come", peers: ours, quick: true,
		shape: shape{pods: 3}, run: (*trial).changeWeights})
}

// shares answers how much of a fair share each pod got within d.
func (x *trial) shares(d time.Duration) (shares []float64, err error) {
	before, err := x.requests()
	if err := errors.Join(err, x.sleep(d)); err != nil {
		return nil, err
	}
	after, err := x.requests()
	if err != nil {
		return nil, err
	}
	sum := 0
	for i := range after {
		sum += after[i] - before[i]
	}
	for i := range after {
		shares = append(shares, float64(after[i]-before[i])*float64(len(after))/float64(max(sum, 1)))
	}
	return shares, nil
}

func (x *trial) turnSlow(most float64) error {
	r, err := x.load("--rate=400", "--concurrency=40", "--duration=9s")
	if err != nil {
		return err
	}
	even, err := x.shares(2 * time.Second)
	if err != nil {
		return err
	}
	err = errors.Join(x.poison(x.pods[2], "latency", "downstream", 1, map[string]any{"latency": 50}), x.sleep(time.Second))
	if err != nil {
		return err
	}
	slow, err := x.shares(3 * time.Second)
	if err := errors.Join(err, x.waitAll(r)); err != nil {
		return err
	}
	x.none()
	x.Note = fmt.Sprintf("of a fair share it got %.2f before and %.2f from a second later", even[2], slow[2])
	// Latency differs by itself where others use the machine: peak-ewma follows it.
	off := 0.2
	if slices.Contains(x.rules, "policy=peak-ewma") {
		off = 0.6
	}
	if slices.Min(even) < 1-off || slices.Max(even) > 1+off {
		x.broke("before, the pods got %.2f of a fair share", even)
	}
	if most > 0 && slow[2] > most {
		x.broke("the slow pod got %.2f of a fair share, at most %.2f are promised", slow[2], most)
	}
	return nil
}

// changeWeights changes a setting of the Service, to a good value, a bad one and back.
func (x *trial) changeWeights() error {
	r, err := x.load("--rate=400", "--concurrency=20", "--duration=7s")
	if err != nil {
		return err
	}
	for _, step := range []struct {
		rules []string
		want  float64 // of a fair share for the last pod
		why   string
	}{
		{[]string{"weights=pod-2=0"}, 0, "its weight is 0"},
		{[]string{"weights=pod-2=zero"}, 0, "a bad value leaves the last good one"},
		{nil, 1, "its weight is 1 again"},
	} {
		x.rules = step.rules
		if err := errors.Join(x.discover(x.pods...), x.sleep(time.Second)); err != nil {
			return err
		}
		got, err := x.shares(time.Second)
		if err != nil {
			return err
		}
		if got[2] < step.want-0.2 || got[2] > step.want+0.2 {
			x.broke("%s, and it got %.2f of a fair share", step.why, got[2])
		}
	}
	err = x.waitAll(r)
	x.none()
	return err
}
