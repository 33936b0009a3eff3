package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// fault is what happens to a pod while a client is busy. Only the pod's own doing tells the proxy of it, unless it says otherwise.
type fault struct {
	name  string
	title string
	begin func(n *network, victim *pod) error
}

// allFaults are those of the founding test, by its letters.
func allFaults() []fault {
	return []fault{
		{"refuse", "(a) refuses connections, resets those it has", set("refuse")},
		{"500", "(b) answers 500", set("500")},
		{"503", "(c) answers 503", set("503")},
		{"reset", "(d) accepts and resets", set("reset")},
		{"stop", "(e) hangs: SIGSTOP", func(_ *network, p *pod) error { return p.server.Process.Signal(syscall.SIGSTOP) }},
		{"drop", "(e) hangs: its packets are dropped", func(n *network, p *pod) error { return n.drop(p) }},
		{"kill", "(f) kill -9, and stays an endpoint", func(_ *network, p *pod) error { return p.kill() }},
		{"delete", "(f) is deleted: no endpoint any more, SIGTERM", func(n *network, p *pod) error {
			return errors.Join(n.endpoints(n.except(p)...), p.server.Process.Signal(syscall.SIGTERM))
		}},
		{"slow", "(g) answers a second later", set("slow")},
	}
}

// set makes the pod's application misbehave.
func set(mode string) func(*network, *pod) error {
	return func(n *network, p *pod) error { return p.control(n.ctx, "/fault?set="+mode, nil) }
}

// kill is kill -9.
func (p *pod) kill() error {
	if err := p.server.Process.Kill(); err != nil {
		return err
	}
	_ = p.server.Wait() // its error is that it was killed
	p.server = nil
	return nil
}

// drop loses all packets to and from the pod's server, silently, as a node does that has lost its power.
func (n *network) drop(p *pod) error { return n.dropping(p, "-A") }

// undrop ends drop: what is sent anew from now on arrives.
func (n *network) undrop(p *pod) error { return n.dropping(p, "-D") }

func (n *network) dropping(p *pod, change string) error {
	for _, rule := range []string{"INPUT -p tcp --dport", "OUTPUT -p tcp --sport"} {
		out, err := p.Command(n.ctx, "sh", "-c", fmt.Sprintf("iptables -w %s %s %d -j DROP", change, rule, httpPort)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables: %w: %s", err, out)
		}
	}
	return nil
}

// except answers the other pods.
func (n *network) except(victim *pod) (rest []*pod) {
	for _, p := range n.pods {
		if p != victim {
			rest = append(rest, p)
		}
	}
	return rest
}

// control asks the pod's control port, from inside the pod, and hands the answer to read.
func (p *pod) control(ctx context.Context, path string, read func(*http.Response) error) error {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return p.Dial(ctx, network, fmt.Sprintf("127.0.0.1:%d", controlPort))
	}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pod"+path, nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s answers %s", p.name, path, resp.Status)
	}
	if read == nil {
		return nil
	}
	return read(resp)
}
