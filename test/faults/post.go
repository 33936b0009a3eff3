package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// postScenarios: whatever becomes of a POST, no pod and no two pods do it twice, and what was acknowledged was done.
func postScenarios() (all []scenario) {
	in := func(mode string) func(*trial, *pod) error {
		return func(x *trial, p *pod) error { return set(mode)(x.network, p) }
	}
	for _, c := range []struct {
		name, title string
		begin       func(x *trial, p *pod) error
		after       func(x *trial, p *pod) error
		none        bool   // nothing may fail: the request was never sent
		only        string // what every failure is; empty: any
	}{
		{name: "500", title: "answers 500", only: "status 500", begin: in("500")},
		{name: "refuse", title: "refuses connections", none: true, begin: in("refuse")},
		{name: "reset", title: "resets when the request is there", begin: in("reset")},
		{name: "cut-head", title: "resets within its answer", begin: in("cut-head")},
		{name: "slow", title: "answers a second later", none: true, begin: in("slow")},
		// Woken up, it does what it was sent: nobody else may have done that.
		{name: "stop", title: "is stopped, and wakes up later",
			begin: func(_ *trial, p *pod) error { return p.server.Process.Signal(syscall.SIGSTOP) },
			after: func(x *trial, p *pod) error {
				return errors.Join(p.server.Process.Signal(syscall.SIGCONT), x.sleep(time.Second))
			}},
	} {
		run := func(x *trial, more ...string) error {
			victim := x.pods[1]
			if err := c.begin(x, victim); err != nil {
				return err
			}
			r, err := x.load(append(more, "--method=POST", "--body=x", "--effects", "--concurrency=20", "--rate=500", "--timeout=3s",
				fmt.Sprint("--duration=", x.long(6*time.Second, 1500*time.Millisecond)))...)
			if err != nil {
				return err
			}
			l, err := r.wait()
			if err != nil {
				return err
			}
			x.take(l)
			if c.after != nil {
				if err := c.after(x, victim); err != nil {
					return err
				}
			}
			if c.none {
				x.none()
			}
			for text, n := range l.Errors {
				if c.only != "" && text != c.only {
					x.broke("%s: %d", text, n)
				}
			}
			return errors.Join(x.sentOnce(l), x.effectsOnce(l.Effects))
		}
		all = append(all,
			scenario{name: "post/" + c.name, title: "POST, and a pod " + c.title, shape: shape{pods: 2}, quick: true,
				run: func(x *trial) error { return run(x) }},
			scenario{name: "post-http2/" + c.name, title: "POST over HTTP/2, and a pod " + c.title, shape: shape{pods: 2, h2: true}, quick: true,
				run: func(x *trial) error { return run(x, "--h2c", "--one-connection") }})
	}
	return all
}

// sentOnce compares how many requests the pods have got with how many were made.
func (x *trial) sentOnce(l loaded) error {
	got, err := x.served()
	if got > l.Requests {
		x.broke("the pods got %d requests, and %d were made", got, l.Requests)
	}
	return err
}

// effectsOnce compares what was acknowledged with what was done.
func (x *trial) effectsOnce(acknowledged []string) error {
	done, twice, lost := map[string]int{}, 0, 0
	for _, p := range x.pods {
		e, err := x.effects(p)
		if err != nil {
			return err
		}
		for name, n := range e.Done {
			done[name] += n
		}
	}
	for _, n := range done {
		if n > 1 {
			twice++
		}
	}
	for _, name := range acknowledged {
		if done[name] == 0 {
			lost++
		}
	}
	x.Note = fmt.Sprintf("%d done, %d acknowledged", len(done), len(acknowledged))
	if twice > 0 {
		x.broke("%d done twice", twice)
	}
	if lost > 0 {
		x.broke("%d acknowledged and not done", lost)
	}
	return nil
}
