package nettest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/test/manifest"
)

func TestRedisThroughItsOwnClients(t *testing.T) {
	installed(t, "redis-server", "redis-cli", "redis-benchmark")
	m := newMesh(t, 1)
	s := m.servers[0]
	m.start(s.Pod, "redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
		"--dir", t.TempDir())
	m.waitPorts(s.Pod, 6379)
	redis := netip.MustParseAddr("10.96.0.63")
	m.service("redis", []netip.Addr{redis}, []manifest.Port{{Port: 6379, Target: 6379}}, s)
	m.addSluice()
	cli := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(m.run(m.client, "redis-cli", append([]string{"-h", redis.String()}, args...)...))
	}
	value := strings.Repeat("a value with spaces and é ", 1000)
	if got := cli("set", "key", value); got != "OK" {
		t.Errorf("set answers %q", got)
	}
	if got := cli("get", "key"); got != strings.TrimSpace(value) {
		t.Errorf("get answers %d bytes, want %d", len(got), len(value))
	}
	if got := cli("incr", "counter"); got != "1" {
		t.Errorf("incr answers %q", got)
	}
	out := m.run(m.client, "redis-benchmark", "-h", redis.String(), "-n", "10000", "-c", "20", "-P", "4",
		"-t", "set,get,lpush", "--csv")
	if n := strings.Count(out, "\n"); n < 4 || strings.Contains(strings.ToLower(out), "error") {
		t.Errorf("redis-benchmark says\n%s", out)
	}
	if n := m.metric("sluice_opaque_connections_total", "redis"); n < 20 {
		t.Errorf("the proxy has carried %.0f connections", n)
	}
}
