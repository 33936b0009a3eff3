package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestTheWholeScreen(t *testing.T) {
	one := counts{Requests: 3000, Pods: map[string]int{"pod-b": 3000}, Connections: 1}
	spread := counts{Requests: 3000, Pods: map[string]int{"pod-a": 1001, "pod-b": 999, "pod-c": 1000}, Connections: 1}
	failing := counts{Requests: 400, Failed: 55, Pods: map[string]int{"pod-a": 170, "pod-b": 0, "pod-c": 175},
		Errors: map[string]int{"connect: connection refused": 54, "kept connection: no answer: closed": 1}}
	for _, c := range []struct {
		golden string
		p      painter
	}{
		{"screen-plain.golden.txt", painter{full: "#"}},
		{"screen-colour.golden.txt", painter{full: "█", colour: true}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			var out bytes.Buffer
			p := c.p
			p.out = &out
			p.opening(true)
			p.scene("1", "A scene")
			p.shares(one, spread)
			p.scene("2", "Another")
			p.tableHead()
			p.second(1, row{spread, spread})
			p.event("kill -9 pod-b")
			p.second(10, row{failing, spread})
			p.totals(failing, spread)
			p.closing(14 * time.Second)
			path := filepath.Join("testdata", c.golden)
			if *update {
				if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != string(want) {
				t.Errorf("the screen is\n%s\nwant\n%s", out.String(), want)
			}
			if strings.Contains(out.String(), "\x1b") != p.colour {
				t.Error("colours where none belong, or the other way round")
			}
			for line := range strings.Lines(out.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !p.colour {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
}

func TestSharesWithinFivePercentAreEven(t *testing.T) {
	for _, c := range []struct {
		name                 string
		podA, podB, podC, no int
		even                 bool
	}{
		{"exactly even", 1000, 1000, 1000, 0, true},
		{"five percent off", 1050, 950, 1000, 0, true},
		{"more than five percent off", 1051, 949, 1000, 0, false},
		{"a pod without requests", 1500, 0, 1500, 0, false},
		{"a failed request", 1000, 1000, 999, 1, false},
	} {
		all := counts{Requests: 3000, Failed: c.no, Pods: map[string]int{"pod-a": c.podA, "pod-b": c.podB, "pod-c": c.podC}}
		if err := evenShares(all); (err == nil) != c.even {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestARowWaitsForAllClientsAndEndsWithTheFirst(t *testing.T) {
	var loads []*load
	for i := range 4 {
		l := &load{seconds: make(chan counts, 2)}
		l.seconds <- counts{Requests: 1 << i, Pods: map[string]int{"pod-a": 1 << i}}
		close(l.seconds)
		loads = append(loads, l)
	}
	r, ok := nextRow(loads)
	if !ok || r.without.Requests != 1+2 || r.with.Requests != 4+8 || r.with.Pods["pod-a"] != 12 {
		t.Errorf("the first row is %+v, %v", r, ok)
	}
	if r, ok = nextRow(loads); ok {
		t.Errorf("behind the end there is %+v", r)
	}
}

func TestAnInnerEndIsNotReportedTwice(t *testing.T) {
	var status exitStatus
	if err := errors.Join(exitStatus(3)); !errors.As(err, &status) || status != 3 {
		t.Errorf("%v gives %d", err, status)
	}
}
