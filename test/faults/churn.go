package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The endpoints of the churn: addresses of few pods, in slices as the cluster's controller makes them.
const (
	churnPods    = 4
	churnSlices  = 10
	perSlice     = 100
	churnEvery   = time.Second / 50
	healthPort   = 15302
	churnSettle  = 6 * time.Second // idle connections to endpoints are closed after 3 s
	churnSeed    = 1
	churnPresent = 0.8 // of the endpoints, about
	parked       = 64  // coroutines that loops keep for the next connections; how many there are depends on who came together
)

func churnScenarios() []scenario {
	return []scenario{{name: "churn/1000", title: "1,000 endpoints, 50 changes a second, at 1,000/s",
		shape: shape{pods: churnPods}, peers: []string{sluice}, quick: true, run: (*trial).churn}}
}

// footprint is what the sidecar takes.
type footprint struct{ rss, descriptors, goroutines, cpu float64 }

func (x *trial) churn() error {
	if err := x.manyAddresses(); err != nil {
		return err
	}
	present := make([]bool, churnSlices*perSlice)
	for i := range present {
		present[i] = true
	}
	for s := range churnSlices {
		if err := x.writeSlice(s, present); err != nil {
			return err
		}
	}
	quietly, busily := x.long(15*time.Second, 5*time.Second), x.long(60*time.Second, 10*time.Second)
	load := func(d time.Duration) (loaded, error) {
		r, err := x.load("--rate=1000", "--concurrency=40", "--duration="+d.String())
		if err != nil {
			return loaded{}, err
		}
		return r.wait()
	}
	quiet, err := load(quietly)
	if err := errors.Join(err, x.sleep(churnSettle)); err != nil {
		return err
	}
	before, err := x.footprint()
	if err != nil {
		return err
	}
	changes, stop := make(chan error, 1), make(chan struct{})
	go func() { changes <- x.change(present, stop) }()
	busy, err := load(busily)
	close(stop)
	if err := errors.Join(err, <-changes, x.sleep(churnSettle)); err != nil {
		return err
	}
	after, err := x.footprint()
	if err != nil {
		return err
	}
	x.take(busy)
	x.none()
	x.P99Before = quiet.P99MS
	x.Note = fmt.Sprintf("RSS %.1f MiB before, %.1f after; %.0f and %.0f descriptors; %.0f and %.0f goroutines; %.1f s of CPU",
		before.rss/(1<<20), after.rss/(1<<20), before.descriptors, after.descriptors, before.goroutines, after.goroutines, after.cpu-before.cpu)
	if after.descriptors > before.descriptors {
		x.broke("%.0f descriptors are left over", after.descriptors-before.descriptors)
	}
	if after.goroutines > before.goroutines+parked {
		x.broke("%.0f goroutines are left over", after.goroutines-before.goroutines)
	}
	if grown := after.rss - before.rss; grown > before.rss/10+1<<20 {
		x.broke("%.1f MiB are left over", grown/(1<<20))
	}
	// Two milliseconds are what a machine with other work on it adds.
	if x.timed && x.P99 > 2*x.P99Before+2 {
		x.broke("the 99th percentile is %.1f ms, and %.1f in peace", x.P99, x.P99Before)
	}
	return nil
}

// manyAddresses gives each pod a network of addresses of its own.
func (x *trial) manyAddresses() error {
	for i, p := range x.pods {
		const clients = 1 // pods that were added before
		route := fmt.Sprintf("ip route add 10.88.%d.0/24 dev pod%d", i, 1+clients+i)
		if err := x.inPod(p, fmt.Sprintf("ip route add local 10.88.%d.0/24 dev lo", i)); err != nil {
			return err
		}
		f := strings.Fields(route)
		if out, err := x.net.Node.Command(x.ctx, f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", route, err, out)
		}
	}
	return x.discover() // the Service, without endpoints of its own slice
}

// writeSlice writes an EndpointSlice with those of its endpoints that are present.
func (x *trial) writeSlice(s int, present []bool) error {
	port := x.shape.port()
	slice := discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("shop-%d", s), Namespace: metav1.NamespaceDefault,
			Labels: map[string]string{discoveryv1.LabelServiceName: "shop"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &port.Name, Protocol: new(corev1.ProtocolTCP), Port: new(int32(port.Target))}},
		Endpoints:   []discoveryv1.Endpoint{},
	}
	for i := s * perSlice; i < (s+1)*perSlice; i++ {
		if !present[i] {
			continue
		}
		addr := netip.AddrFrom4([4]byte{10, 88, byte(i % churnPods), byte(1 + i/churnPods)})
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr.String()},
			Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("shop-%d", i)}})
	}
	text, err := json.Marshal(slice)
	if err != nil {
		return err
	}
	path := filepath.Join(x.manifests(), slice.Name+".json")
	return errors.Join(os.WriteFile(path+".new", text, 0o644), os.Rename(path+".new", path))
}

// change takes one endpoint out or brings one back, at each tick.
func (x *trial) change(present []bool, stop <-chan struct{}) error {
	random := rand.New(rand.NewPCG(churnSeed, 0))
	tick := time.NewTicker(churnEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			for i := range present { // as it was at the start
				present[i] = true
			}
			var err error
			for s := range churnSlices {
				err = errors.Join(err, x.writeSlice(s, present))
			}
			return err
		case <-x.ctx.Done():
			return x.ctx.Err()
		case <-tick.C:
			i := random.IntN(len(present))
			for present[i] == (random.Float64() >= churnPresent) { // those that are there are more
				i = random.IntN(len(present))
			}
			present[i] = !present[i]
			if err := x.writeSlice(i/perSlice, present); err != nil {
				return err
			}
		}
	}
}

// footprint reads the sidecar's own metrics.
func (x *trial) footprint() (f footprint, err error) {
	t := &http.Transport{DisableKeepAlives: true, DialContext: x.client.Dial}
	req, err := http.NewRequestWithContext(x.ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", healthPort), nil)
	if err != nil {
		return f, err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	values, err := metrics(resp.Body)
	return footprint{values["process_resident_memory_bytes"], values["process_open_fds"], values["go_goroutines"],
		values["process_cpu_seconds_total"]}, err
}

// metrics reads figures without labels from a metrics page.
func metrics(page io.Reader) (map[string]float64, error) {
	text, err := io.ReadAll(page)
	values := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if x, err := strconv.ParseFloat(rest, 64); err == nil {
			values[name] = x
		}
	}
	return values, err
}
