package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// counts are what "box load" prints for a second, and with Final at its end for all of it.
type counts struct {
	Final       bool           `json:"final"`
	Requests    int            `json:"requests"`
	Failed      int            `json:"failed"`
	Errors      map[string]int `json:"errors"`
	Pods        map[string]int `json:"pods"`
	Connections int            `json:"connections"`
	MaxMS       float64        `json:"maxMs"`
}

// plus adds two clients' counts.
func (c counts) plus(o counts) counts {
	c.Requests += o.Requests
	c.Failed += o.Failed
	c.Connections += o.Connections
	c.MaxMS = max(c.MaxMS, o.MaxMS)
	c.Pods, c.Errors = sum(c.Pods, o.Pods), sum(c.Errors, o.Errors)
	return c
}

func sum(a, b map[string]int) map[string]int {
	m := make(map[string]int, len(a)+len(b))
	for _, one := range []map[string]int{a, b} {
		for k, n := range one {
			m[k] += n
		}
	}
	return m
}

// mostFrequent answers the error that came most often.
func (c counts) mostFrequent() string {
	if len(c.Errors) == 0 {
		return ""
	}
	return slices.MaxFunc(slices.Sorted(maps.Keys(c.Errors)), func(a, b string) int {
		return cmp.Compare(c.Errors[a], c.Errors[b])
	})
}

// load is a client that runs.
type load struct {
	cmd     *meshtest.Cmd
	seconds chan counts // closed at its end
	final   counts      // valid once seconds is closed
	err     error       // likewise
}

// startLoad starts a client in the client's pod. The demo's end stops it.
func (h *half) startLoad(args ...string) (*load, error) {
	// There is room for all seconds of a run: a client never waits for the reader.
	l := &load{seconds: make(chan counts, int(longest.Seconds())+1)}
	args = append([]string{"load", "--url=http://" + clusterIP.String() + "/pod"}, args...)
	l.cmd = h.client.Command(h.ctx, h.program("box"), args...)
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaint strings.Builder
	l.cmd.Stderr = &complaint
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(l.seconds)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var c counts
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				l.err = fmt.Errorf("box load printed %q: %w", lines.Text(), err)
			}
			if c.Final {
				l.final = c
			} else {
				l.seconds <- c
			}
		}
		if err := l.cmd.Wait(); err != nil {
			l.err = errors.Join(l.err, fmt.Errorf("box load: %w: %s", err, complaint.String()))
		} else if !l.final.Final {
			l.err = errors.Join(l.err, errors.New("box load ended without a summary"))
		}
	}()
	return l, nil
}

// wait waits for the client's end.
func (l *load) wait() (counts, error) {
	for range l.seconds {
	}
	return l.final, l.err
}

// named says which program failed, and what it wrote.
func named(program string, err error) error {
	if err == nil {
		return nil
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(exit.Stderr)))
	}
	return fmt.Errorf("%s: %w", program, err)
}
