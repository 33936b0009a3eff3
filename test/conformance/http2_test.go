package main

import (
	"maps"
	"slices"
	"testing"
)

func TestParseH2spec(t *testing.T) {
	rs, err := parseH2spec([]byte(`<?xml version="1.0"?><testsuites>
  <testsuite name="a" package="http2/6.5.3" tests="2">
    <testcase package="http2/6.5.3" classname="Sends this" time="0.5"></testcase>
    <testcase package="http2/6.5.3" classname="Sends that" time="2.0"><error>GOAWAY
Connection closed
DATA Frame</error></testcase>
  </testsuite></testsuites>`))
	want := results{"http2/6.5.3/1": {ok: true, took: 5e8}, "http2/6.5.3/2": {detail: "Sends that: wants GOAWAY or Connection closed; got DATA Frame", took: 2e9}}
	if err != nil || !maps.Equal(rs, want) {
		t.Errorf("got %+v, %v", rs, err)
	}
	for _, text := range []string{"", "<testsuites></testsuites>", "no xml"} {
		if rs, err := parseH2spec([]byte(text)); err == nil {
			t.Errorf("%q gave %v and no error", text, rs)
		}
	}
}

func TestParseConnect(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       results
	}{
		{"one passes, one fails", "Sending request for \"Basic/a\"...\nReceived response for \"Basic/a\"...\nSending request for \"Basic/b\"...\n" +
			"FAILED: Basic/b:\n\tgot 1\n\twant 2\n\nTotal cases: 2\n1 passed, 1 failed\n", results{"Basic/a": {ok: true}, "Basic/b": {detail: "got 1 want 2"}}},
		{"not all were run", "Sending request for \"Basic/a\"...\nTotal cases: 2\n0 passed, 0 failed, 2 could not be run\n",
			results{"Basic/a": {ok: true}, theRun: {detail: "0 passed, 0 failed, 2 could not be run"}}},
		{"nothing", "", results{}},
	} {
		if got := parseConnect(c.text); !maps.Equal(got, c.want) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}

func TestEven(t *testing.T) {
	a, b, c := severalPods[0], severalPods[1], severalPods[2]
	for _, x := range []struct {
		name        string
		pods        map[string]int
		connections int
		ok          bool
	}{
		{"even", map[string]int{a: 100, b: 101, c: 99}, 1, true},
		{"one is asked more often", map[string]int{a: 100, b: 115, c: 100}, 1, false},
		{"one is not asked", map[string]int{a: 100, b: 100}, 1, false},
		{"two connections", map[string]int{a: 100, b: 100, c: 100}, 2, false},
	} {
		if err := even(x.pods, x.connections); (err == nil) != x.ok {
			t.Errorf("%s: %v", x.name, err)
		}
	}
}

func TestProgramsHaveNamesOfTheirOwn(t *testing.T) {
	var names []string
	for _, pkg := range []string{interopClient, interopServer, grpcBox, ghzPackage, connectPrograms + "referenceserver", connectPrograms + "referenceclient"} {
		names = append(names, programName(pkg))
	}
	slices.Sort(names)
	if got := len(slices.Compact(slices.Clone(names))); got != len(names) {
		t.Errorf("got %q", names)
	}
}
