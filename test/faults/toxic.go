package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	behindToxics = 18080 // where a pod's server listens when a toxiproxy has its port
	toxicAPI     = 8474
)

// startToxiproxy puts a toxiproxy before the pod's server, where the shape asks for it.
func (n *network) startToxiproxy(p *pod) error {
	if !n.shape.toxic {
		return nil
	}
	p.toxic = p.Command(n.ctx, n.programs.toxiproxy, "-host=127.0.0.1", fmt.Sprintf("-port=%d", toxicAPI), "-seed=1")
	if err := p.toxic.Start(); err != nil {
		p.toxic = nil
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, startTime)
	defer cancel()
	if err := p.WaitPort(ctx, toxicAPI); err != nil {
		return err
	}
	return p.toxiproxy(n.ctx, "/proxies", map[string]any{"name": "server", "listen": fmt.Sprintf("0.0.0.0:%d", httpPort),
		"upstream": fmt.Sprintf("127.0.0.1:%d", behindToxics), "enabled": true})
}

// poison adds a toxic to the answers ("downstream") or the requests ("upstream") of a share of the pod's connections.
func (x *trial) poison(p *pod, kind, stream string, share float64, attributes map[string]any) error {
	return p.toxiproxy(x.ctx, "/proxies/server/toxics", map[string]any{"name": kind + stream, "type": kind, "stream": stream, "toxicity": share,
		"attributes": attributes})
}

func (p *pod) toxiproxy(ctx context.Context, path string, what any) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return p.Dial(ctx, network, fmt.Sprintf("127.0.0.1:%d", toxicAPI))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://pod"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		said, _ := io.ReadAll(resp.Body) // what there is of it
		return fmt.Errorf("toxiproxy: %s: %s", resp.Status, said)
	}
	return nil
}

func toxicScenarios() []scenario {
	toxic := shape{pods: 3, toxic: true}
	return []scenario{
		{name: "toxic/latency", title: "a pod's answers come 100 ms ± 50 ms late", shape: toxic, quick: true, run: func(x *trial) error {
			return x.steady(x.poison(x.pods[2], "latency", "downstream", 1, map[string]any{"latency": 100, "jitter": 50}))
		}},
		{name: "toxic/reset", title: "a third of a pod's connections is reset after 50 ms", shape: toxic, quick: true, run: func(x *trial) error {
			return x.steady(x.poison(x.pods[2], "reset_peer", "downstream", 0.33, map[string]any{"timeout": 50}))
		}},
		{name: "toxic/slices", title: "all pods' answers and requests come in pieces of 20 bytes", shape: toxic, quick: true, run: func(x *trial) error {
			var err error
			for _, p := range x.pods {
				for _, stream := range []string{"upstream", "downstream"} {
					err = errors.Join(err, x.poison(p, "slicer", stream, 1, map[string]any{"average_size": 20, "size_variation": 10, "delay": 10}))
				}
			}
			return x.steady(err)
		}},
		{name: "toxic/loss", title: "one in 50 packets to and from a pod is lost", shape: shape{pods: 3}, quick: true, run: func(x *trial) error {
			return x.steady(x.inPod(x.pods[2], "iptables -w -A INPUT -p tcp -i eth0 -m statistic --mode random --probability 0.02 -j DROP",
				"iptables -w -A OUTPUT -p tcp -o eth0 -m statistic --mode random --probability 0.02 -j DROP"))
		}},
		{name: "toxic/throttle", title: "a pod's link carries 1 Mbit/s", shape: shape{pods: 3}, quick: true, run: func(x *trial) error {
			err := x.inPod(x.pods[2], "tc qdisc add dev eth0 root tbf rate 1mbit burst 16kb latency 400ms")
			return x.steady(err, "--url="+serviceURL+"/bytes?n=20000", "--expect=0123456789abcdef")
		}},
		{name: "toxic/half-open", title: "a node is dead for 5 s, and its pod starts anew at the same address", shape: shape{pods: 3}, quick: true,
			run: halfOpen},
		{name: "toxic/half-open-tcp", title: "a node dies, and opaque TCP connections to it are idle or made", shape: shape{pods: 3, opaque: true}, quick: true,
			peers: followers, run: halfOpenTCP},
	}
}

// inPod runs commands in a pod.
func (x *trial) inPod(p *pod, commands ...string) error {
	for _, c := range commands {
		f := strings.Fields(c)
		if out, err := p.Command(x.ctx, f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c, err, out)
		}
	}
	return nil
}

// steady calls at 300/s from kept connections and at 100/s from new ones, and wants every answer.
func (x *trial) steady(err error, more ...string) error {
	if err != nil {
		return err
	}
	all := append([]string{"--expect=pod-", fmt.Sprint("--duration=", x.long(10*time.Second, 4*time.Second))}, more...)
	err = x.loads(append([]string{"--rate=300", "--concurrency=30"}, all...),
		append([]string{"--rate=100", "--concurrency=20", "--keep-alive=false"}, all...))
	x.none()
	return err
}

// halfOpen loses a node without a word while connections to it are open and idle, and starts its pod anew.
func halfOpen(x *trial) error {
	const dead = 5 * time.Second
	victim := x.pods[2]
	r, err := x.load("--rate=300", "--concurrency=40", fmt.Sprint("--duration=", 2*time.Second+dead+x.long(20*time.Second, 8*time.Second)))
	if err != nil {
		return err
	}
	if err := errors.Join(x.sleep(2*time.Second), x.drop(victim), victim.kill(), x.startServer(victim), x.sleep(dead),
		x.inPod(victim, "iptables -w -F")); err != nil {
		return err
	}
	// A suspect is asked again after a second, then two, four, and so on: five dead seconds cost at most eight more.
	back := time.Now()
	for returned := false; !returned; {
		n, err := x.requests()
		if err != nil {
			return err
		}
		if returned = n[2] > 0; !returned {
			if time.Since(back) > x.long(18*time.Second, 7*time.Second) {
				break
			}
			if err := x.sleep(20 * time.Millisecond); err != nil {
				return err
			}
		}
	}
	took := time.Since(back)
	x.Note = fmt.Sprintf("asked again %.1f s after its return", took.Seconds())
	if took > 10*time.Second {
		x.broke("the pod that came back was not asked again for %.0f s", took.Seconds())
	}
	err = x.waitAll(r)
	x.none()
	const longest = 2000 // milliseconds: two tries of a second each
	if x.timed && x.Longest > longest {
		x.broke("a request took %.0f ms, at most %d are promised", x.Longest, longest)
	}
	return err
}
