package nettest

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// A pod is killed with -9 and comes back, and nobody tells discovery: its endpoint is there all the time. Clients that
// nobody here wrote count what failed. ("ab" counts connections and differing lengths as failed, and not statuses.)
func TestNoRequestFailsWhenAPodIsKilled(t *testing.T) {
	const seconds = 3
	ab := func(out string) error {
		return errors.Join(want(out, `Failed requests:\s+0\n`), not(out, `Non-2xx responses`), not(out, `apr_`))
	}
	for _, c := range []struct {
		name, program string
		args          []string
		judge         func(out string) error
	}{
		{"ab with kept connections", "ab",
			[]string{"-k", "-l", "-c", "20", "-t", fmt.Sprint(seconds), "-n", "10000000"}, ab},
		{"ab with a connection for each request", "ab",
			[]string{"-l", "-c", "20", "-t", fmt.Sprint(seconds), "-n", "10000000"}, ab},
		{"wrk", "wrk", []string{"-t1", "-c20", fmt.Sprint("-d", seconds, "s")}, func(out string) error {
			return errors.Join(want(out, `requests in`), not(out, `Socket errors`), not(out, `Non-2xx`))
		}},
		{"hey", "hey", []string{"-c", "20", "-z", fmt.Sprint(seconds, "s")}, func(out string) error {
			return errors.Join(want(out, `\[200\]\s`), not(out, `Error distribution`), not(out, `\[[^2]..\]\s+\d+ responses`))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			installed(t, c.program)
			m := newMesh(t, 3)
			m.addSluice()
			client := m.start(m.client, c.program, append(c.args, shopURL+"/pod")...)
			ended := make(chan error, 1)
			go func() { ended <- client.cmd.Wait() }()
			victim := m.servers[1]
			for _, step := range []func(){
				victim.app.kill,
				func() { victim.app = m.start(victim.Pod, program("box"), "serve", "--pod="+victim.name) },
			} {
				select {
				case err := <-ended:
					t.Fatalf("the client ended early: %v\n%s", err, client.log.String())
				case <-time.After(seconds * time.Second / 3):
					step()
				}
			}
			if err := <-ended; err != nil {
				t.Errorf("%s: %v", c.program, err)
			}
			if err := c.judge(client.log.String()); err != nil {
				t.Errorf("%v\n%s", err, client.log.String())
			}
			retries := m.metric("sluice_retries_total", `service="default/shop:80"`)
			if retries == 0 {
				t.Error("no request was sent again: the pod's death was not seen")
			}
			t.Logf("%.0f requests, %.0f sent again", m.metric("sluice_requests_total"), retries)
		})
	}
}

func want(text, pattern string) error {
	if !regexp.MustCompile(pattern).MatchString(text) {
		return fmt.Errorf("no %s", pattern)
	}
	return nil
}

func not(text, pattern string) error {
	if found := regexp.MustCompile(pattern + `.*`).FindString(text); found != "" {
		return errors.New(found)
	}
	return nil
}

// Opaque connections: a new one goes to a pod that answers.
func TestNewConnectionsAvoidADeadPod(t *testing.T) {
	m := newMesh(t, 2)
	m.addSluice()
	m.servers[0].app.kill()
	for range 50 {
		if got := m.echo("10.96.0.10:7", 100); !strings.Contains(got, "equal: true") {
			t.Fatal(got)
		}
	}
}

// While there is no proxy the pod's calls to Services are refused; a new proxy takes them as the old one did, at once,
// though the old one's connections linger in the kernel.
func TestTheProxyIsKilledAndStartedAgain(t *testing.T) {
	m := newMesh(t, 3)
	m.addSluice()
	kept, err := m.dial("tcp", "10.96.0.10:7")
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	for round := range 3 {
		s := m.load(shopURL+"/pod", "--requests=200", "--keep-alive=false")
		s.none(t)
		s.even(t, 3, 0.2)
		m.sidecar.kill()
		if _, err := kept.Read(make([]byte, 1)); round == 0 && err == nil {
			t.Error("a connection outlived its proxy")
		}
		if _, _, err := m.get(shopURL + "/pod"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("without a proxy a call ends with %v", err)
		}
		m.startSidecar()
	}
}

// SIGTERM ends no request: what runs is finished, and what still comes is served.
func TestSIGTERMEndsNoRequest(t *testing.T) {
	m := newMesh(t, 2)
	m.addSluice()
	answer := make(chan error, 1)
	go func() {
		resp, err := m.http().Get(shopURL + "/delay?d=1s")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		answer <- err
	}()
	err := meshtest.Poll(m.within(patience), "the request to run", func() (bool, error) {
		return m.metric("sluice_upstream_connections", `state="active"`) > 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.sidecar.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.get(shopURL + "/pod"); err != nil {
		t.Errorf("a call while the sidecar drains: %v", err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the request that ran: %v", err)
	}
	if err := m.sidecar.cmd.Wait(); err != nil {
		t.Errorf("the sidecar ends with %v", err)
	}
}
