package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	requestsOfOne = 3000
	// even is how far a pod's share may be from an equal one, as a fraction of that.
	even = 0.05
)

// oneConnection: one client sends all its requests on one connection. Without Sluice they reach one pod; with it they are
// spread evenly.
func oneConnection(_ context.Context, p *painter, without, with *half) error {
	p.scene("1", fmt.Sprintf("One client, one kept connection, %s requests to http://%s", thousands(requestsOfOne), clusterIP))
	var results [2]counts
	var loads [2]*load
	var err error
	for i, h := range []*half{without, with} {
		if loads[i], err = h.startLoad("--concurrency=1", fmt.Sprintf("--requests=%d", requestsOfOne)); err != nil {
			return err
		}
	}
	for i, l := range loads {
		if results[i], err = l.wait(); err != nil {
			return err
		}
	}
	p.shares(results[0], results[1])
	return evenShares(results[1])
}

// evenShares holds the promise of the first scene.
func evenShares(c counts) error {
	if c.Failed > 0 {
		return fmt.Errorf("with Sluice %d of %d requests failed: %s", c.Failed, c.Requests, c.mostFrequent())
	}
	share := float64(c.Requests) / float64(len(podNames))
	for _, name := range podNames {
		if n := float64(c.Pods[name]); n < share*(1-even) || n > share*(1+even) {
			return fmt.Errorf("with Sluice %s got %.0f of %d requests; an even share is %.0f, and %.0f %% off is allowed",
				name, n, c.Requests, share, even*100)
		}
	}
	return nil
}

// event is what happens to both halves at a time of the second scene. The times are between the full seconds, when the
// rows are printed.
type event struct {
	at   time.Duration
	text string
	do   func(h *half) error
}

// The second scene's times: an API server learns of a dead container about a second late.
const loadTime = 8 * time.Second

func events(victim int) []event {
	return []event{
		{2300 * time.Millisecond, "kill -9 " + podNames[victim], func(h *half) error { return h.killServer(h.pods[victim]) }},
		{3300 * time.Millisecond, "the cluster has noticed: " + podNames[victim] + " is no endpoint any more",
			func(h *half) error { return h.endpoints(except(h.pods, victim)...) }},
		{4300 * time.Millisecond, podNames[victim] + " is started again and ready", func(h *half) error {
			if err := h.startServer(h.pods[victim]); err != nil {
				return err
			}
			return h.endpoints(h.pods...)
		}},
	}
}

func except(pods []*pod, victim int) (rest []*pod) {
	for i, p := range pods {
		if i != victim {
			rest = append(rest, p)
		}
	}
	return rest
}

// aPodDies: under load from kept and from new connections a server is killed and comes back. With Sluice no request fails.
func aPodDies(ctx context.Context, p *painter, plain, with *half) error {
	const victim = 1
	p.scene("2", "400 requests/s: 30 clients keep their connections, 10 connect anew each time")
	var loads []*load // two of the first half, then two of the second
	for _, h := range []*half{plain, with} {
		for _, args := range [][]string{
			{"--concurrency=30", "--rate=300"},
			{"--concurrency=10", "--rate=100", "--keep-alive=false"},
		} {
			l, err := h.startLoad(append(args, "--follow", fmt.Sprint("--duration=", loadTime))...)
			if err != nil {
				return err
			}
			loads = append(loads, l)
		}
	}
	rows := make(chan row)
	go func() {
		defer close(rows)
		for r, ok := nextRow(loads); ok; r, ok = nextRow(loads) {
			select {
			case rows <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	p.tableHead()
	last, err := p.follow(ctx, rows, events(victim), []*half{plain, with})
	if err != nil {
		return err
	}
	var finals []counts
	for _, l := range loads {
		c, err := l.wait()
		if err != nil {
			return err
		}
		finals = append(finals, c)
	}
	a, b := finals[0].plus(finals[1]), finals[2].plus(finals[3])
	p.totals(a, b)
	if b.Failed > 0 || b.Requests == 0 {
		return fmt.Errorf("with Sluice %d of %d requests failed: %s", b.Failed, b.Requests, b.mostFrequent())
	}
	back := last.with.Pods[podNames[victim]]
	if back < last.with.Requests/len(podNames)/2 {
		return fmt.Errorf("with Sluice %s got %d of %d requests in the last second, after it came back", podNames[victim], back,
			last.with.Requests)
	}
	return nil
}

// row is one second of both halves.
type row struct{ without, with counts }

// nextRow waits for the next second of all clients, and reports false when one of them has ended.
func nextRow(loads []*load) (row, bool) {
	var c [4]counts
	for i, l := range loads {
		var ok bool
		if c[i], ok = <-l.seconds; !ok {
			return row{}, false
		}
	}
	return row{c[0].plus(c[1]), c[2].plus(c[3])}, true
}

// follow prints the rows as they come and makes the events happen in time. It answers the last row.
func (p *painter) follow(ctx context.Context, rows <-chan row, events []event, halves []*half) (last row, err error) {
	began := time.Now()
	for n := 1; ; {
		var due <-chan time.Time
		if len(events) > 0 {
			due = time.After(time.Until(began.Add(events[0].at)))
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case r, ok := <-rows:
			if !ok {
				return last, nil
			}
			last = r
			p.second(n, r)
			n++
		case <-due:
			p.event(events[0].text)
			for _, h := range halves {
				err = errors.Join(err, events[0].do(h))
			}
			if err != nil {
				return last, err
			}
			events = events[1:]
		}
	}
}
