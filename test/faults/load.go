package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// loaded is what "box load" of test/meshtest prints at its end; that of test/grpc prints part of it.
type loaded struct {
	Requests, Failed int
	Errors           map[string]int
	Status           map[int]int
	Pods             map[string]int
	P99MS            float64
	MaxMS            float64
	Over100MS        int
	Effects          []string
	Missed           int
	P99MSGRPC        float64 `json:"p99_ms"`
	MaxMSGRPC        float64 `json:"max_ms"`
}

// running is a client that runs.
type running struct {
	cmd       *meshtest.Cmd
	out, said bytes.Buffer
	done      chan error
}

// load starts "box load" in the client's pod, with the Service's address.
func (n *network) load(args ...string) (*running, error) {
	return n.startLoad("box", append([]string{"load", "--url=" + serviceURL + "/pod"}, args...)...)
}

// callLoad is load for gRPC.
func (n *network) callLoad(args ...string) (*running, error) {
	return n.startLoad(grpcBox, append([]string{"load", "--target=" + clusterIP.String()}, args...)...)
}

func (n *network) startLoad(program string, args ...string) (*running, error) {
	r := &running{cmd: n.client.Command(n.ctx, n.programs.path(program), args...), done: make(chan error, 1)}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.said
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { r.done <- r.cmd.Wait() }()
	return r, nil
}

// wait waits for the client's end.
func (r *running) wait() (l loaded, err error) {
	if err := <-r.done; err != nil {
		return l, fmt.Errorf("box load: %w: %s", err, bytes.TrimSpace(r.said.Bytes()))
	}
	lines := strings.Split(strings.TrimSpace(r.out.String()), "\n")
	err = json.Unmarshal([]byte(lines[len(lines)-1]), &l)
	l.P99MS, l.MaxMS = max(l.P99MS, l.P99MSGRPC), max(l.MaxMS, l.MaxMSGRPC)
	return l, err
}

// take adds what a client saw to the trial's result.
func (x *trial) take(l loaded) {
	r := &x.result
	other := 0
	for code, n := range l.Status {
		if code >= 400 {
			other += n
		}
	}
	r.Requests += l.Requests
	r.Failed += l.Failed - other
	r.Non2xx += other
	r.P99, r.Longest = max(r.P99, l.P99MS), max(r.Longest, l.MaxMS)
	r.Slow = max(r.Slow, 0) + l.Over100MS
	if l.Failed > 0 {
		var kinds []string
		for _, k := range slices.Sorted(maps.Keys(l.Errors)) {
			kinds = append(kinds, fmt.Sprintf("%s: %d", short(k), l.Errors[k]))
		}
		x.seen = append(x.seen, kinds...)
	}
	if l.Missed > 0 {
		x.seen = append(x.seen, fmt.Sprintf("%d were due and not made, since all connections waited", l.Missed))
	}
}

// short makes one line of a text, for a table.
func short(text string) string {
	const most = 100 // bytes
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// loads runs clients to their end and takes what they saw.
func (x *trial) loads(lists ...[]string) error {
	var all []*running
	var err error
	for _, args := range lists {
		r, e := x.load(args...)
		if err = errors.Join(err, e); e == nil {
			all = append(all, r)
		}
	}
	return errors.Join(err, x.waitAll(all...))
}

// waitAll waits for clients and takes what they saw.
func (x *trial) waitAll(all ...*running) (err error) {
	for _, r := range all {
		l, e := r.wait()
		err = errors.Join(err, e)
		x.take(l)
	}
	return err
}
