package main

import (
	"fmt"
	"time"
)

// even is how much more than the pod with the least the one with the most may get.
const even = 1.1

func spreadScenarios() []scenario {
	return []scenario{
		{name: "spread/http1", title: "10,000 requests on one kept HTTP/1.1 connection over 3 pods", shape: shape{pods: 3}, quick: true,
			run: func(x *trial) error { return x.spread(x.load("--requests=10000")) }},
		{name: "spread/http2", title: "10,000 requests on one HTTP/2 connection over 3 pods", shape: shape{pods: 3, h2: true}, quick: true, pending: pendingH2,
			run: func(x *trial) error { return x.spread(x.load("--requests=10000", "--h2c")) }},
		{name: "spread/grpc", title: "10,000 calls on one gRPC channel over 3 pods", shape: shape{pods: 3, grpc: true}, quick: true, pending: pendingH2,
			run: func(x *trial) error { return x.spread(x.callLoad("--requests=10000", "--concurrency=1")) }},
		{name: "spread/goaway", title: "gRPC at 200/s, and the pods close every connection after a second (GOAWAY)", quick: true, pending: pendingH2,
			shape: shape{pods: 3, grpc: true, serve: []string{"--max-connection-age=1s", "--max-connection-age-grace=10s"}},
			run: func(x *trial) error {
				r, err := x.callLoad("--rate=200", fmt.Sprint("--duration=", x.long(15*time.Second, 4*time.Second)))
				if err != nil {
					return err
				}
				err = x.waitAll(r)
				x.none()
				return err
			}},
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
