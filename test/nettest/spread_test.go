package nettest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// The main job: one client, one connection, 3,000 requests.
func TestAKeptConnectionIsSpreadEvenly(t *testing.T) {
	m := newMesh(t, 3)
	before := m.load(shopURL+"/pod", "--requests=300")
	before.none(t)
	before.even(t, 1, 0) // kube-proxy's choice is for the connection
	m.addSluice()
	for _, url := range []string{shopURL, "http://[fd96::10]"} {
		s := m.load(url+"/pod", "--requests=3000")
		s.none(t)
		s.even(t, 3, 0.05)
		if s.Connections != 1 {
			t.Errorf("%s: the client made %d connections", url, s.Connections)
		}
	}
}

// The same with clients that nobody here wrote, each on one connection.
func TestClientsOfTheWorldAreSpread(t *testing.T) {
	const requests = 300
	m := newMesh(t, 3)
	m.addSluice()
	for _, c := range []struct {
		program string
		args    []string
	}{
		{"curl", []string{"-sS", "--fail", "-w", `\n`, fmt.Sprintf("%s/pod?[1-%d]", shopURL, requests)}},
		{"python3", []string{"-c", `
import http.client
c = http.client.HTTPConnection("10.96.0.10")
for i in range(` + fmt.Sprint(requests) + `):
    c.request("GET", "/pod")
    print(c.getresponse().read().decode())
`}},
		{"node", []string{"-e", `
const http = require("http"), agent = new http.Agent({keepAlive: true, maxSockets: 1});
let left = ` + fmt.Sprint(requests) + `;
(function next() {
  if (left-- == 0) return agent.destroy();
  http.get({host: "10.96.0.10", path: "/pod", agent}, (answer) => {
    answer.on("data", (d) => console.log(d.toString())).on("end", next);
  });
})();
`}},
	} {
		t.Run(c.program, func(t *testing.T) {
			installed(t, c.program)
			before := m.metric("sluice_downstream_connections_total")
			s := summary{Requests: requests, Pods: map[string]int{}}
			for _, pod := range strings.Fields(m.run(m.client, c.program, c.args...)) {
				s.Pods[pod]++
			}
			s.even(t, 3, 0.15) // of 100: one standard deviation of pure chance is 0.08
			if n := m.metric("sluice_downstream_connections_total") - before; n != 1 {
				t.Errorf("the client made %.0f connections", n)
			}
		})
	}
}

// A pod that is an endpoint of the Service it calls reaches itself like any other.
func TestAPodCallsItsOwnService(t *testing.T) {
	m := newMesh(t, 2)
	self := &server{name: "self", Pod: m.client}
	m.start(m.client, program("box"), "serve", "--pod=self")
	m.waitPorts(m.client, 8080, 8443, 9000, 9001)
	m.publish(append(m.servers, self)...)
	m.addSluice()
	for _, url := range []string{shopURL, "http://[fd96::10]"} {
		s := m.load(url+"/pod", "--requests=900")
		s.none(t)
		s.even(t, 3, 0.05)
	}
	var r struct{ Equal bool }
	m.box(&r, "tcp", "10.96.0.10:7")
	if !r.Equal {
		t.Error("the echo through its own Service differs")
	}

	m.publish(self)
	ctx := m.within(patience)
	err := meshtest.Poll(ctx, "the change to be seen", func() (bool, error) {
		pod, _, err := m.get(shopURL + "/pod")
		return pod == "self", err
	})
	if err != nil {
		t.Fatal(err)
	}
	s := m.load(shopURL+"/pod", "--requests=100")
	s.none(t)
	s.even(t, 1, 0)
}
