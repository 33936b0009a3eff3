package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// keepAliveBound is when a silent opaque connection to a dead node has ended: the sidecar's probes begin after 10 s and come every 3 s, and
// the kernel gives up after thirty without an answer.
const keepAliveBound = 110 * time.Second

// greeted connects to the Service, whose pods say their names first.
func (x *trial) greeted() (c net.Conn, pod string, err error) {
	ctx, cancel := context.WithTimeout(x.ctx, 5*time.Second)
	defer cancel()
	if c, err = x.client.Dial(ctx, "tcp", clusterIP.String()); err != nil {
		return nil, "", err
	}
	_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // cannot fail on an open connection
	line := make([]byte, 64)
	n, err := c.Read(line)
	if err != nil {
		c.Close()
		return nil, "", err
	}
	return c, strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "220 ")), nil
}

// halfOpenTCP: who waits on a connection to the dead node learns of it, and who connects anew reaches another pod. A connection
// with bytes under way ends as late as it does without us: a bound for these would end those whose server only does not read.
func halfOpenTCP(x *trial) error {
	const conns = 12
	victim := x.pods[2]
	var held []net.Conn // to the victim
	for range conns {
		c, pod, err := x.greeted()
		if err != nil {
			return err
		}
		defer c.Close()
		if pod == victim.name {
			held = append(held, c)
		}
	}
	if err := x.drop(victim); err != nil {
		return err
	}
	x.Requests = conns
	began := time.Now()
	for range conns {
		c, _, err := x.greeted()
		if err != nil {
			x.Failed++
			continue
		}
		c.Close()
	}
	x.Note = fmt.Sprintf("%d new connections took %.1f s", conns, time.Since(began).Seconds())
	if x.Failed > 0 {
		x.broke("%d of %d new connections reached no pod", x.Failed, conns)
	}
	if x.proxy == nil {
		return nil // who waits on the others is up to the application
	}
	var all sync.WaitGroup
	open := make([]int, len(held))
	for i, c := range held {
		all.Go(func() {
			_ = c.SetDeadline(began.Add(keepAliveBound)) // cannot fail on an open connection
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				open[i] = 1
			}
		})
	}
	all.Wait()
	left := 0
	for _, n := range open {
		left += n
	}
	if left > 0 {
		x.broke("%d of %d connections to the dead node are open after %v", left, len(held), keepAliveBound)
	}
	return nil
}
