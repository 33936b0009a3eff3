package nettest

import (
	"errors"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// explain runs sluicectl explain in the client's pod, as a user, and answers its exit status and all that it wrote.
func (m *mesh) explain(user uint32, args ...string) (status int, out string) {
	m.t.Helper()
	cmd := m.client.Command(m.within(2*patience), program("sluicectl"), append([]string{"explain"}, args...)...).As(user, user)
	b, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode(), string(b)
	} else if err != nil {
		m.t.Fatal(err)
	}
	return 0, string(b)
}

// Who calls from an injected pod, as sluicectl explain does from a container that is added to it, is told how the answer came about; and who
// is not, why.
func TestExplainFromInsideThePod(t *testing.T) {
	const application = 1000
	m := newMesh(t, 3)
	annotate := func(annotations map[string]string) {
		t.Helper()
		s := manifest.Service{Name: "shop", ClusterIPs: []netip.Addr{shop4, shop6}, Ports: shopPorts, Annotations: annotations}
		for _, r := range m.servers {
			for _, a := range r.Addrs {
				s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: r.name, Addr: a})
			}
		}
		if err := s.Write(m.dir); err != nil {
			t.Fatal(err)
		}
	}
	annotate(map[string]string{"sluice.mesh/explain": "header", "sluice.mesh/shard-key": "header:account", "sluice.mesh/shard-fallback": "strict"})
	expect := func(user uint32, wantStatus int, want string, args ...string) string {
		t.Helper()
		status, out := m.explain(user, args...)
		if status != wantStatus || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%q: status %d, want %d\n%s\nwant\n%s", args, status, wantStatus, out, want)
		}
		return out
	}
	expect(application, 1, "No sidecar says why: .* is the pod injected?", shopURL)

	m.addSluice()
	const key = "(?s)^status +200 OK\nprotocol +PROTO\nservice +default/shop:80\npolicy +least-request\nendpoint +10.77.0.1[1-3]:8080, (pod-[abc])\ntime +[0-9.]+.?s\n" +
		"key +header:account\nhash +[0-9a-f]{16}\nplace +slot \\d+ of 65536\nowner +(pod-[abc])\nso +sent to the owner\nattempts +1\n\n +ENDPOINT +END +TIME\n" +
		"  1  10.77.0.1[1-3]:8080  answered 200  [0-9.]+.?s\n$"
	out := expect(application, 0, strings.Replace(key, "PROTO", "HTTP/1.1", 1), "-H", "account: 7", shopURL+"/pod")
	expect(application, 0, strings.Replace(key, "PROTO", "HTTP/2.0", 1), "--http2", "-H", "account: 7", shopURL+"/pod")
	expect(application, 0, `"key": "none",\n *"reason": "absent of header:account"`, "--output=json", shopURL+"/pod")

	expect(proxyUser, 1, "runs as user 15301, which is the proxy's", shopURL+"/pod")
	expect(application, 1, "knows no Service of that name and port.*default/shop:80", "http://10.77.0.11:8080/pod")
	expect(application, 2, "GET http://10.77.0.11:1: no answer of 10.77.0.11:1: .*refused", "http://10.77.0.11:1")

	// The owner ends, and nobody else is to answer.
	owner := regexp.MustCompile(`owner +(pod-[abc])`).FindStringSubmatch(out)
	if owner == nil {
		t.Fatal("no owner")
	}
	for _, s := range m.servers {
		if s.name == owner[1] {
			s.app.kill()
		}
	}
	for _, flag := range []string{"--http2=false", "--http2"} {
		expect(application, 0, "(?s)^status +503 Service Unavailable\n.*endpoint +none: the sidecar itself answered\nit says +sluice: pod "+owner[1]+
			".*so +sent to nobody: owner cannot be reached, sluice.mesh/shard-fallback: strict\n.*connect-failed", flag, "-H", "account: 7", shopURL+"/pod")
	}

	annotate(nil)
	if err := meshtest.Poll(m.within(patience), "the sidecar to explain nothing any more", func() (bool, error) {
		status, out := m.explain(application, shopURL+"/pod")
		return status == 1 && strings.Contains(out, "the Service may not allow it: kubectl annotate service NAME sluice.mesh/explain=header"), nil
	}); err != nil {
		t.Error(err)
	}
}
