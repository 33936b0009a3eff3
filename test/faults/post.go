package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// postCase is what becomes of a pod while POST requests come.
type postCase struct {
	name, title string
	serve       []string                     // flags of the pods
	begin       func(x *trial, p *pod) error // before the first request
	amid        func(x *trial, p *pod) error // while requests are with the pod
	after       func(x *trial, p *pod) error // behind the last answer
	none        bool                         // nothing may fail: the request was never sent
	only        string                       // what every failure is; empty: any
}

// postCases are the founding test's faults, and an answer that is cut off.
func postCases() []postCase {
	in := func(mode string) func(*trial, *pod) error {
		return func(x *trial, p *pod) error { return set(mode)(x.network, p) }
	}
	return []postCase{
		{name: "500", title: "answers 500", only: "status 500", begin: in("500")},
		{name: "503", title: "answers 503", only: "status 503", begin: in("503")},
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
		// So it is here: the kernel sends again what was lost, at intervals that have grown to some seconds.
		{name: "drop", title: "loses its packets, and has them again later", amid: func(x *trial, p *pod) error { return x.drop(p) },
			after: func(x *trial, p *pod) error { return errors.Join(x.undrop(p), x.sleep(5*time.Second)) }},
		{name: "kill", title: "is killed and starts anew, and then the other one", amid: func(x *trial, _ *pod) error {
			return x.oneByOne((*pod).kill)
		}},
		{name: "delete", title: "is deleted and another one comes, and then the other one", amid: func(x *trial, _ *pod) error {
			return x.oneByOne(x.delete)
		}},
		// Over HTTP/2 it says GOAWAY before it goes, and not which requests it will have done.
		{name: "delete-hard", title: "is deleted, and ends before it has answered all, and then the other one", serve: []string{"--drain=20ms"},
			amid: func(x *trial, _ *pod) error { return x.oneByOne(x.delete) }},
	}
}

// delete takes a pod from the endpoints, has it end, and waits until it has.
func (x *trial) delete(p *pod) error {
	if err := errors.Join(x.endpoints(x.except(p)...), p.server.Process.Signal(syscall.SIGTERM)); err != nil {
		return err
	}
	_ = p.server.Wait() // its error is that it had not answered all
	p.server = nil
	return nil
}

// oneByOne ends every pod and starts it anew, in turn: the next one when nobody holds its start against the last any more.
func (x *trial) oneByOne(end func(*pod) error) error {
	for _, p := range x.pods {
		if err := errors.Join(x.sleep(x.long(1500*time.Millisecond, 1200*time.Millisecond)), end(p), x.sleep(100*time.Millisecond)); err != nil {
			return err
		}
		if err := errors.Join(x.startServer(p), x.endpoints(x.pods...)); err != nil {
			return err
		}
	}
	return nil
}

// postScenarios: whatever becomes of a POST, no pod and no two pods do it twice, and what was acknowledged was done.
func postScenarios() (all []scenario) {
	for _, c := range postCases() {
		all = append(all,
			scenario{name: "post/" + c.name, title: "POST, and a pod " + c.title, shape: shape{pods: 2, lasts: true, serve: c.serve}, quick: true,
				run: func(x *trial) error { return c.run(x) }},
			scenario{name: "post-http2/" + c.name, title: "POST over HTTP/2, and a pod " + c.title, shape: shape{pods: 2, h2: true, lasts: true, serve: c.serve}, quick: true,
				run: func(x *trial) error { return c.run(x, "--h2c", "--one-connection") }})
	}
	return all
}

// run makes POST requests, 500 a second. What happens amid them finds many at the pods, which take 50 ms for each.
func (c postCase) run(x *trial, more ...string) error {
	victim, d := x.pods[1], x.long(6*time.Second, 1500*time.Millisecond)
	more = append(more, "--method=POST", "--body=x", "--effects", "--concurrency=20")
	if c.amid != nil {
		d = x.long(6*time.Second, 4*time.Second)
		more = append(more, "--concurrency=50", "--url="+serviceURL+"/delay?d=50ms")
	}
	if c.begin != nil {
		if err := c.begin(x, victim); err != nil {
			return err
		}
	}
	r, err := x.load(append(more, "--rate=500", "--timeout=3s", fmt.Sprint("--duration=", d))...)
	if err != nil {
		return err
	}
	if c.amid != nil {
		if err := errors.Join(x.sleep(500*time.Millisecond), c.amid(x, victim)); err != nil {
			return err
		}
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
