package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// changeScenarios: pods come and go as a cluster wants it.
func changeScenarios() (all []scenario) {
	for _, late := range []time.Duration{0, 2 * time.Second, 5 * time.Second} {
		all = append(all, scenario{name: fmt.Sprintf("change/restart-%.0fs", late.Seconds()), shape: shape{pods: 3},
			peers: followers, quick: true,
			title: fmt.Sprintf("rolling restart of 3 pods at 500/s, endpoints are removed %v after SIGTERM", late),
			run:   func(x *trial) error { return x.rollingRestart(late) }})
	}
	return append(all, scenario{name: "change/scale", title: "scaled from 2 pods to 10 and back to 2 at 1,000/s", shape: shape{pods: 2},
		peers: followers, quick: true, run: (*trial).scale})
}

// rollingRestart replaces the pods one by one, without a preStop pause, as a Deployment does: the new one is ready, then the old
// one gets SIGTERM, and some time later nobody calls it an endpoint any more.
func (x *trial) rollingRestart(late time.Duration) error {
	const atKept, atNew, all = 400, 100, 30000 // a second, and in all of a full run
	each := x.long(all/(atKept+atNew)*time.Second/3-late-time.Second, 2*time.Second)
	d := 3 * (each + late + time.Second)
	kept, err := x.load(fmt.Sprint("--rate=", atKept), "--concurrency=30", "--duration="+d.String())
	if err != nil {
		return err
	}
	anew, err := x.load(fmt.Sprint("--rate=", atNew), "--concurrency=10", "--keep-alive=false", "--duration="+d.String())
	if err != nil {
		return err
	}
	ready := append([]*pod{}, x.pods...)
	for range x.shape.pods {
		if err := x.sleep(each); err != nil {
			return err
		}
		p, err := x.addPod()
		if err != nil {
			return err
		}
		if err := errors.Join(x.endpoints(append(ready, p)...), ready[0].server.Process.Signal(syscall.SIGTERM), x.sleep(late)); err != nil {
			return err
		}
		ready = append(ready[1:], p)
		if err := x.endpoints(ready...); err != nil {
			return err
		}
	}
	err = x.waitAll(kept, anew)
	x.none()
	if x.timed && x.Requests < all*99/100 {
		x.broke("%d requests were made of %d", x.Requests, all)
	}
	return err
}

// scale makes 2 pods 10 and 2 again, and looks at who gets how much.
func (x *trial) scale() error {
	const rate, few, many = 1000, 2, 10
	pause := x.long(4*time.Second, 2*time.Second)
	window := x.long(3*time.Second, 2*time.Second)
	d := 2*pause + window + 7*time.Second
	for range many - few {
		if _, err := x.addPod(); err != nil {
			return err
		}
	}
	r, err := x.load(fmt.Sprintf("--rate=%d", rate), "--concurrency=40", "--duration="+d.String())
	if err != nil {
		return err
	}
	between := func(d time.Duration) ([]int, error) {
		before, err := x.requests()
		if err := errors.Join(err, x.sleep(d)); err != nil {
			return nil, err
		}
		after, err := x.requests()
		for i := range after {
			after[i] -= before[i]
		}
		return after, err
	}
	if err := errors.Join(x.sleep(pause), x.endpoints(x.pods...), x.sleep(2*time.Second)); err != nil {
		return err
	}
	got, err := between(window)
	if err != nil {
		return err
	}
	least, most, fair := got[0], got[0], rate*window.Seconds()/many
	for _, n := range got {
		least, most = min(least, n), max(most, n)
	}
	x.Note = fmt.Sprintf("of 10 pods the least got %.2f and the most %.2f of a fair share", float64(least)/fair, float64(most)/fair)
	if float64(least) < fair*0.75 || float64(most) > fair*1.25 {
		x.broke("2 s after the scaling a pod's share is between %.2f and %.2f of a fair one", float64(least)/fair, float64(most)/fair)
	}
	if err := errors.Join(x.endpoints(x.pods[:few]...), x.sleep(time.Second)); err != nil {
		return err
	}
	if got, err = between(time.Second); err != nil {
		return err
	}
	for i, n := range got[few:] {
		if n > 0 {
			x.broke("%s got %d requests later than 1 s after its removal", x.pods[few+i].name, n)
		}
	}
	for _, p := range x.pods[few:] {
		if err := p.server.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	err = x.waitAll(r)
	x.none()
	return err
}

// requests answers how many each pod has got.
func (n *network) requests() (all []int, err error) {
	for _, p := range n.pods {
		e, err := n.effects(p)
		if err != nil {
			return nil, err
		}
		all = append(all, e.Requests)
	}
	return all, nil
}
