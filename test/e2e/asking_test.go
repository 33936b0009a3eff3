//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// asking is a teller that asks a Service for accounts until it is told to stop.
type asking struct {
	teller
	service string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	out     *bufio.Reader
	errs    strings.Builder
	last    string // line
	ended   sync.WaitGroup
}

// keepAsking has tellers ask both Services for accounts, and comes back when all have begun.
func keepAsking(t *testing.T, tellers ...teller) (all []*asking) {
	t.Helper()
	for _, c := range tellers {
		for _, service := range ledgerServices {
			all = append(all, c.keepAsking(t, service))
		}
	}
	for _, a := range all {
		if a.readLine() != nil {
			t.Fatalf("%s does not ask %s: %s", a.pod, a.service, a.errs.String())
		}
		a.ended.Go(func() {
			for a.readLine() == nil {
			}
		})
	}
	return all
}

func (c teller) keepAsking(t *testing.T, service string) *asking {
	t.Helper()
	// The load ends with SIGTERM, when a line comes or kubectl goes.
	const script = `"$@" & load=$!; read line; kill $load; wait $load`
	args := append(kubectl(), "-n", c.ns, "exec", "-i", c.pod, "-c", "app", "--", "sh", "-c", script, "sh")
	args = append(args, c.load(service, "--follow", "--duration=5m", "--rate=40", "--concurrency=40")...)
	a := &asking{teller: c, service: service, cmd: exec.CommandContext(t.Context(), args[0], args[1:]...)}
	a.cmd.Stderr = &a.errs
	stdin, errIn := a.cmd.StdinPipe()
	stdout, errOut := a.cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, a.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	a.stdin, a.out = stdin, bufio.NewReader(stdout)
	t.Cleanup(func() { // the test's context has ended, and kubectl with it
		a.ended.Wait()
		a.cmd.Wait()
	})
	return a
}

func (a *asking) readLine() error {
	line, err := a.out.ReadString('\n')
	if err == nil {
		a.last = line
	}
	return err
}

// stop ends all that asks, and answers what each was told.
func stop(t *testing.T, what string, all []*asking) []told {
	t.Helper()
	for _, a := range all {
		if _, err := io.WriteString(a.stdin, "end\n"); err != nil {
			t.Fatalf("%s, %s from %s: %v: %s", what, a.service, a.pod, err, a.errs.String())
		}
	}
	said := make([]told, len(all))
	for i, a := range all {
		a.ended.Wait()
		err := a.cmd.Wait()
		if err == nil {
			said[i], err = parseTold(a.last)
		}
		if err != nil {
			t.Fatalf("%s, %s from %s: %v: %s", what, a.service, a.pod, err, a.errs.String())
		}
		said[i].mustBeWhole(t, fmt.Sprintf("%s, %s from %s", what, a.service, a.pod), accounts)
		t.Logf("%s, %s from %s: %d requests, %d failed", what, a.service, a.pod, said[i].Requests, said[i].Failed)
	}
	return said
}
