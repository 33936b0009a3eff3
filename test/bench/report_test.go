package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// example is a run in which one target is missed and one case was too noisy.
func example() *report {
	r := newReport(machine{CPU: "an example", CPUs: 2, RAM: "4 GiB", Kernel: "Linux 6.1.0", Go: "go1.26"}, options{rounds: 2, threads: 1})
	r.Date = "2026-01-01"
	var s []sample
	add := func(name, peer string, round int, v values) {
		s = append(s, sample{Case: name, Peer: peer, Round: round, Values: v})
	}
	for round, slower := range []float64{1, 1.5} {
		for peer, us := range map[string]float64{sluice: 18, haproxy: 16, "nginx": 17, "reverseproxy": 90} {
			add("full", peer, round+1, values{"cpu_us": us + float64(round), "switches": 0.5, "rps": 20000})
			add("rate", peer, round+1, values{"cpu_us": us * slower, "switches": 1.5})
		}
	}
	for _, c := range allCases() {
		if c.name == "full" || c.name == "rate" {
			r.Outcomes = append(r.Outcomes, judge(c, s, limits{Moved: 0.2, Others: 0.3}))
		}
	}
	r.Samples = s
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; see it with: go test ./test/bench -update && git diff\n%s", path, got)
	}
}

func TestThePlot(t *testing.T) {
	svg := plot(example())
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	golden(t, "example.svg", svg)
}

func TestTheReport(t *testing.T) {
	r := example()
	var b bytes.Buffer
	for _, c := range allCases() {
		if r.outcome(c.name) != nil {
			r.printCase(&b, c)
		}
	}
	dir := t.TempDir()
	code, err := r.finish(&b, dir)
	if err != nil {
		t.Fatal(err)
	}
	if code != noisy {
		t.Errorf("exit code %d, want %d: what is too noisy comes first", code, noisy)
	}
	for _, name := range []string{"results.json", "results.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	golden(t, "example.txt", []byte(strings.ReplaceAll(b.String(), dir, "DIR")))
}

func TestWhatWasNotMeasuredIsNoSuccess(t *testing.T) {
	run := func(o options, change func(samples []sample)) (code int, text string) {
		r := newReport(machine{}, o)
		for round := range 2 {
			for _, peer := range []string{haproxy, sluice} {
				r.Samples = append(r.Samples, sample{Case: "full", Peer: peer, Round: round + 1, Values: values{"cpu_us": 10, "switches": 0.5, "rps": 20000}})
			}
		}
		change(r.Samples)
		r.Outcomes = []outcome{judge(allCases()[0], r.Samples, limits{Moved: 0.2, Others: 0.3})}
		var b bytes.Buffer
		code, err := r.finish(&b, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return code, b.String()
	}
	lose := func(peer string, rounds int) func(samples []sample) {
		return func(samples []sample) {
			for i := range samples {
				if s := &samples[i]; s.Peer == peer && s.Round <= rounds {
					s.Values, s.Error = nil, "3 of 100 requests failed"
				}
			}
		}
	}
	full := options{cases: []string{"full"}}
	for _, c := range []struct {
		name string
		o    options
		lose func([]sample)
		code int
		says string
	}{
		{"everything that was asked for", full, lose("", 0), 0, ""},
		{"Sluice fails in all rounds", full, lose(sluice, 2), failed, "\n  CPU per request at full speed\n"},
		{"Sluice fails in one round", full, lose(sluice, 1), failed, "full: Sluice failed in 1 of 2 rounds, at last: 3 of 100 requests failed"},
		{"a case that was asked for is not done", options{cases: []string{"full", "memory"}}, lose("", 0), failed, "\n  RSS per idle connection\n"},
		{"everything was asked for", options{}, lose("", 0), failed, "\n  RSS per idle connection\n"},
		{"only some peers, and a case is not done", options{peers: []string{direct, haproxy, sluice}}, lose("", 0), failed, "\n  RSS per idle connection\n"},
		{"nobody asked for Sluice", options{peers: []string{direct, haproxy}}, func(s []sample) { s[1].Peer, s[3].Peer = direct, direct }, 0, ""},
	} {
		if code, text := run(c.o, c.lose); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s: code %d, want %d, and %q:\n%s", c.name, code, c.code, c.says, text)
		}
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for name, args := range map[string][]string{
		"a case that does not exist":      {"-cases=ful"},
		"a peer that does not exist":      {"-peers=apache,haproxy,direct"},
		"without what others compare to":  {"-peers=sluice"},
		"three threads":                   {"-threads=3"},
		"no rounds":                       {"-rounds=-1"},
		"a word that belongs to no flag":  {"full"},
		"a flag that does not exist":      {"-fast"},
		"results for no document":         {"-from=results.json"},
		"a case between empty ones":       {"-cases=full,,rate"},
		"how noisy a machine, as a word ": {"-moved=much"},
	} {
		if o, err := parse(args); err == nil {
			t.Errorf("%s: %v gave %+v and no error", name, args, o)
		}
	}
	if o, err := parse([]string{"-quick", "-cases=full,rate", "-peers=direct,haproxy,sluice"}); err != nil || o.rounds != 2 || len(o.cases) != 2 {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestTheTablesAreWrittenIntoADocument(t *testing.T) {
	r := example()
	r.Command = "bench -rounds 2"
	if _, err := r.finish(io.Discard, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "performance.md")
	if err := r.writeMarkdown(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "example.md", text)
	// An earlier run's tables are those of the run.
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "performance.md")
	if code, err := run(t.Context(), options{from: filepath.Join(dir, "results.json"), text: again}, io.Discard); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	if got, err := os.ReadFile(again); err != nil || !bytes.Equal(got, text) {
		t.Errorf("from the results: %v\n%s", err, got)
	}
}
