package nettest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// box runs a client of the test application in the client's pod and reads what it prints. One that failed has said so there.
func (m *mesh) box(v any, args ...string) {
	m.t.Helper()
	out, err := m.client.Command(m.within(patience), program("box"), args...).Output()
	if len(out) == 0 {
		m.t.Fatalf("box %s: %v", strings.Join(args, " "), err)
	}
	decode(m.t, string(out), v)
}

// summary is what "box load" prints.
type summary struct {
	Requests, Failed, Connections int
	Errors, Pods                  map[string]int
	MaxMS                         float64
}

// load runs "box load" in the client's pod to its end.
func (m *mesh) load(url string, args ...string) summary {
	m.t.Helper()
	return m.startLoad(url, args...)()
}

// startLoad starts "box load" in the client's pod; the function that is returned waits for its end.
func (m *mesh) startLoad(url string, args ...string) (wait func() summary) {
	m.t.Helper()
	args = append([]string{"load", "--url=" + url}, args...)
	c := m.client.Command(m.within(3*patience), program("box"), args...)
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	return func() summary {
		m.t.Helper()
		var s summary
		if err := c.Wait(); err != nil {
			m.t.Fatalf("box load: %v: %s%s", err, out.String(), complaint.String())
		}
		decode(m.t, out.String(), &s)
		return s
	}
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

// none holds that no request failed, and that there were some.
func (s summary) none(t *testing.T) {
	t.Helper()
	if s.Failed > 0 || s.Requests == 0 {
		t.Errorf("%d of %d requests failed: %v", s.Failed, s.Requests, s.Errors)
	}
}

// even holds that each of n servers got its share of the requests, up to a fraction of that.
func (s summary) even(t *testing.T, n int, off float64) {
	t.Helper()
	share := float64(s.Requests) / float64(n)
	for pod, got := range s.Pods {
		if g := float64(got); g < share*(1-off) || g > share*(1+off) {
			t.Errorf("%s got %d of %d requests; even is %.0f, and %.0f %% off is allowed", pod, got, s.Requests, share,
				off*100)
		}
	}
	if len(s.Pods) != n {
		t.Errorf("%d pods answered, want %d: %v", len(s.Pods), n, s.Pods)
	}
}

// http makes requests from inside the client's pod.
func (m *mesh) http() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: m.client.Dial, DisableKeepAlives: true}}
}

// get makes one request from inside the client's pod, on a connection of its own, and returns who answered and the body.
func (m *mesh) get(url string) (pod, body string, err error) {
	resp, err := m.http().Get(url)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", url, resp.Status, b)
	}
	return resp.Header.Get("X-Pod"), string(b), err
}

// metric adds up the samples of a metric family whose labels contain all the given texts.
func (m *mesh) metric(family string, labels ...string) (sum float64) {
	m.t.Helper()
	_, text, err := m.get(fmt.Sprintf("http://127.0.0.1:%d/metrics", healthPort))
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		sample, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndexByte(line, '}'); i >= 0 { // label values may hold blanks
			sample, value = line[:i], strings.TrimSpace(line[i+1:])
		}
		name, _, _ := strings.Cut(sample, "{")
		match := name == family
		for _, l := range labels {
			match = match && strings.Contains(sample, l)
		}
		if match {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				m.t.Fatalf("%q: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}
