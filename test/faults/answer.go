package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// effects is what a pod tells of what it has done.
type effects struct {
	Requests int
	Done     map[string]int
}

// effectsFile is where a pod writes down what it does, with a shape that lasts.
func (n *network) effectsFile(p *pod) string { return filepath.Join(n.dir, p.name+".effects") }

// effects asks a pod, or reads what it has written down.
func (n *network) effects(p *pod) (e effects, err error) {
	if n.shape.lasts {
		b, err := os.ReadFile(n.effectsFile(p))
		return parseEffects(string(b)), err
	}
	err = p.control(n.ctx, "/effects", func(r *http.Response) error { return json.NewDecoder(r.Body).Decode(&e) })
	return e, err
}

// parseEffects reads a line for each request, with the name of what it did or nothing.
func parseEffects(lines string) effects {
	e := effects{Done: map[string]int{}}
	for line := range strings.Lines(lines) {
		e.Requests++
		if name := strings.TrimSpace(line); name != "" {
			e.Done[name]++
		}
	}
	return e
}

// setAll makes the pods misbehave before anybody calls.
func (x *trial) setAll(mode string, pods ...*pod) error {
	for _, p := range pods {
		if err := set(mode)(x.network, p); err != nil {
			return err
		}
	}
	return nil
}

// The retry budget's allowances (sidecar/retry): a share of the requests, so many a second and so many at once, for all loops together.
const (
	budgetRatio     = 0.2
	budgetPerSecond = 10
	budgetBurst     = 100
)

// mostUpstream is how many requests may reach the pods when so many are made in time d and all of them fail.
func mostUpstream(requests int, d time.Duration) float64 {
	return (1+budgetRatio)*float64(requests) + budgetPerSecond*d.Seconds() + budgetBurst
}

func answerScenarios() []scenario {
	return []scenario{
		{name: "answer/500-everywhere", title: "all pods answer 500: the client gets it, and no storm of retries",
			shape: shape{pods: 2}, quick: true, run: allFail},
		{name: "answer/cut-head", title: "a pod resets within the head of its answer: GET is sent again", shape: shape{pods: 2}, quick: true,
			run: func(x *trial) error {
				return x.cut("cut-head", func(loaded) { x.none() })
			}},
		{name: "answer/cut-body", title: "a pod resets within the body of its answer: nobody takes it for whole",
			shape: shape{pods: 2}, quick: true, run: func(x *trial) error {
				return x.cut("cut-body", func(l loaded) {
					if l.Failed == 0 {
						x.broke("no client has seen a cut answer")
					}
					for text, n := range l.Errors {
						if !strings.HasPrefix(text, "answer cut off") {
							x.broke("%s: %d", text, n)
						}
					}
				})
			}},
	}
}

// allFail offers a steady load while no pod can answer well.
func allFail(x *trial) error {
	if err := x.setAll("500", x.pods...); err != nil {
		return err
	}
	const rate = 500
	d := x.long(8*time.Second, 4*time.Second)
	began := time.Now()
	r, err := x.load(fmt.Sprintf("--rate=%d", rate), "--duration="+d.String(), "--concurrency=20")
	if err != nil {
		return err
	}
	l, err := r.wait()
	if err != nil {
		return err
	}
	took := time.Since(began) // longer than asked for where the machine is busy
	x.take(l)
	upstream := 0
	for _, p := range x.pods {
		e, err := x.effects(p)
		if err != nil {
			return err
		}
		upstream += e.Requests
	}
	x.Note = fmt.Sprintf("%d requests upstream for %d", upstream, l.Requests)
	if l.Status[500] != l.Requests {
		x.broke("the pods' 500 came %d times for %d requests: %v", l.Status[500], l.Requests, l.Status)
	}
	if most := mostUpstream(l.Requests, took); float64(upstream) > most {
		x.broke("%d requests upstream for %d, at most %.0f are promised", upstream, l.Requests, most)
	}
	return nil
}

// cut makes one pod break its answers off.
func (x *trial) cut(mode string, judge func(loaded)) error {
	if err := x.setAll(mode, x.pods[1]); err != nil {
		return err
	}
	r, err := x.load("--requests=4000", "--concurrency=20", "--expect=pod-")
	if err != nil {
		return err
	}
	l, err := r.wait()
	if err != nil {
		return err
	}
	x.take(l)
	judge(l)
	return nil
}
