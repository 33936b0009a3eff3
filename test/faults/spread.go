package main

import (
	"errors"
	"fmt"
	"time"
)

// even is how much more than the pod with the least the one with the most may get.
const even = 1.1

func spreadScenarios() []scenario {
	return []scenario{
		{name: "spread/http1", title: "10,000 requests on one kept HTTP/1.1 connection over 3 pods", shape: shape{pods: 3}, quick: true,
			run: func(x *trial) error { return x.spread(x.load("--requests=10000")) }},
		{name: "spread/http2", title: "10,000 requests on one HTTP/2 connection over 3 pods", shape: shape{pods: 3, h2: true}, quick: true,
			run: func(x *trial) error { return x.spread(x.load("--requests=10000", "--h2c")) }},
		{name: "spread/grpc", title: "10,000 calls on one gRPC channel over 3 pods", shape: shape{pods: 3, grpc: true}, quick: true,
			run: func(x *trial) error { return x.spread(x.callLoad("--requests=10000", "--concurrency=1")) }},
		{name: "spread/goaway", title: "gRPC at 200/s, and the pods close every connection after a second (GOAWAY)", quick: true,
			shape: shape{pods: 3, grpc: true, serve: []string{"--max-connection-age=1s", "--max-connection-age-grace=10s"}},
			run: func(x *trial) error {
				r, err := x.callLoad("--rate=200", fmt.Sprint("--duration=", x.long(10*time.Second, 4*time.Second)))
				if err != nil {
					return err
				}
				err = x.waitAll(r)
				x.none()
				return err
			}},
	}
}

// callScenarios: gRPC's calls are POST. Those that a pod had when it died may have been done, and nobody sends them again, unless the Service
// says that they do no harm when they arrive twice.
func callScenarios() (all []scenario) {
	const atOnce = 20
	for _, f := range allFaults() {
		most := atOnce
		switch f.name {
		case "delete":
			most = 0
		case "kill":
		case "stop", "drop":
			most = 2 * atOnce // those that were there, and as many until a ping says so
		default:
			continue // these are of HTTP's status codes
		}
		of := shape{pods: 3, grpc: true}
		all = append(all, scenario{name: "grpc/" + f.name, title: f.title + ", gRPC at 500/s", quick: most <= atOnce, shape: of, run: callsDuring(f, atOnce, most)})
		of.rules = []string{"idempotent=" + everyCall}
		all = append(all, scenario{name: "grpc-idempotent/" + f.name, title: f.title + ", gRPC at 500/s, idempotent as the Service says", quick: true, shape: of,
			run: callsDuring(f, atOnce, 0)})
	}
	return all
}

// everyCall are the methods of the test application.
const everyCall = "/grpc.testing.TestService/*"

// callsDuring makes calls, so many at once, while a pod turns bad, and promises that no more fail than it says.
func callsDuring(f fault, atOnce, most int) func(*trial) error {
	return func(x *trial) error {
		d := x.long(10*time.Second, 3*time.Second)
		r, err := x.callLoad("--rate=500", fmt.Sprint("--concurrency=", atOnce), "--duration="+d.String(), "--timeout=5s")
		if err != nil {
			return err
		}
		if err := errors.Join(x.sleep(d/4), f.begin(x.network, x.pods[2]), x.waitAll(r)); err != nil {
			return err
		}
		if x.Failed > most {
			x.broke("%d calls failed, at most %d are promised", x.Failed, most)
		}
		return nil
	}
}

// spread judges who answered how often.
func (x *trial) spread(r *running, err error) error {
	if err != nil {
		return err
	}
	l, err := r.wait()
	if err != nil {
		return err
	}
	x.take(l)
	x.none()
	least, most := l.Requests, 0
	for _, p := range x.pods {
		least, most = min(least, l.Pods[p.name]), max(most, l.Pods[p.name])
	}
	x.Note = fmt.Sprintf("between %d and %d for a pod", least, most)
	if float64(most) > even*float64(least) {
		x.broke("a pod got %d, another %d: at most %.1f times as many are promised", most, least, even)
	}
	return nil
}
