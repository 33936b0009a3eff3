package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/test/figures"
)

func TestFiguresAreWrittenBetweenTheMarks(t *testing.T) {
	rep := &report{Command: "bin/faults", Machine: "2 CPUs.", Seconds: 120, Rows: []row{
		{Case: "stop/ab", Title: "(e) hangs, ab", Peer: kubeProxy, result: result{Requests: 20000, Failed: 1719, Non2xx: 2000,
			P99Before: 3, P99: 5001, Longest: 5002}},
		{Case: "stop/ab", Title: "(e) hangs, ab", Peer: sluice, result: result{Requests: 20000, P99Before: 3, P99: 40, Longest: 1003}},
		{Case: "churn/1000", Title: "many changes", Peer: sluice, result: result{Requests: 500, Failed: 1, Longest: unknown},
			Broken: []string{"1 failed"}},
	}}
	path := filepath.Join(t.TempDir(), "faults.md")
	frame := "before\n" + figures.Begin + "old\n" + figures.End + "behind\n"
	if err := os.WriteFile(path, []byte(frame), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second time changes nothing
		if err := rep.writeMarkdown(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n" + figures.Begin + "`bin/faults`: 2 min. 2 CPUs.\n",
		"| (e) hangs, ab (`stop/ab`) | **3,719** of 20,000 | – | – | 0 of 20,000 |\n",
		"| (e) hangs, ab (`stop/ab`) | 5002; 3 → 5001 | – | – | 1003; 3 → 40 |\n",
		"| many changes (`churn/1000`) | – | – | – | **1** of 500 |\n",
		"Not kept by Sluice in `churn/1000`: BROKEN: 1 failed.\n" + figures.End + "behind\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") || strings.Count(string(text), figures.Begin) != 1 {
		t.Errorf("not once:\n%s", text)
	}
}
