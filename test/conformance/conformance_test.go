package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseLine(t *testing.T) {
	for _, c := range []struct {
		line, name string
		want       verdict
		ok         bool
	}{
		{"ok get/HTTP_2", "get/HTTP_2", verdict{ok: true}, true},
		{"ok test.a.B.c 1.5 ", "test.a.B.c", verdict{ok: true, took: 1500 * time.Millisecond}, true},
		{"not ok x AssertionError: 1 != 2", "x", verdict{detail: "AssertionError: 1 != 2"}, true},
		{"not ok x 0.25 why not", "x", verdict{detail: "why not", took: 250 * time.Millisecond}, true},
		{"okay, said the server", "", verdict{}, false},
	} {
		name, v, ok := parseLine(c.line)
		if name != c.name || ok != c.ok || ok && v != c.want {
			t.Errorf("%q: got %q, %+v, %v", c.line, name, v, ok)
		}
	}
}

func TestFrame(t *testing.T) {
	const host = "Host: a\r\n"
	for _, c := range []struct {
		name, payload string
		framed        []string
		refused       bool
	}{
		{"two requests", "GET / HTTP/1.1\r\n" + host + "\r\nGET /b HTTP/1.1\r\n" + host + "\r\n",
			[]string{"GET /, 0 bytes of body", "GET /b, 0 bytes of body"}, false},
		{"bodies", "POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nokPOST /b HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			[]string{"POST /, 2 bytes of body", "POST /b, 3 bytes of body"}, false},
		{"a Host is added", "GET / HTTP/1.1\r\n\r\n", []string{"GET /, 0 bytes of body"}, false},
		{"a head that was cut off is ended", "GET / HTTP/1.1", []string{"GET /, 0 bytes of body"}, false},
		{"a body that was cut off frames nothing", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nok", nil, false},
		{"what is wrong frames nothing", "GET / HTTP/1.1\r\n" + host + "\r\nGET / HTTP/1.1\r\nX : y\r\n\r\n", []string{"GET /, 0 bytes of body"}, true},
	} {
		if _, framed, refused := frame([]byte(c.payload)); !slices.Equal(framed, c.framed) || refused != c.refused {
			t.Errorf("%s: got %q, %v", c.name, framed, refused)
		}
	}
}

func TestDifferencesNeedAReason(t *testing.T) {
	s := &suite{name: "s", source: "somewhere", differences: []difference{{"known*", "", "because"}, {"pooled", asAService, "shared"}}}
	rep := &report{suite: s, results: map[string]results{
		directly:   {"a": {ok: true}, "bad": {}, "known/1": {ok: true}, "pooled": {ok: true}},
		throughUs:  {"a": {ok: true}, "bad": {}, "known/1": {detail: "x"}, "pooled": {detail: "why"}},
		asAService: {"a": {ok: true}, "bad": {}, "known/1": {ok: true}, "pooled": {detail: "x"}},
	}}
	var out strings.Builder
	if n := table(&out, []*report{rep}); n != 1 {
		t.Errorf("%d differences without a reason, want 1: pooled through Sluice", n)
	}
	for _, want := range []string{"  because\n    s, Sluice: known/1\n", "  shared\n    s, as a Service: pooled\n",
		"  NO REASON: why\n    s, Sluice: pooled\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

// timedReport makes the rounds of a timed suite of one case, with its times in milliseconds.
func timedReport(times map[string][]int) *report {
	rep := &report{suite: &suite{timed: true}, results: map[string]results{}, rounds: map[string][]results{}}
	for column, all := range times {
		for _, ms := range all {
			rs := results{"case": {ok: true, took: time.Duration(ms) * time.Millisecond}}
			rep.rounds[column] = append(rep.rounds[column], rs)
			rep.add(column, rs)
		}
	}
	return rep
}

func TestTimeIsJudgedByMedians(t *testing.T) {
	fifty := []int{50, 50, 50, 50, 50}
	for _, c := range []struct {
		name                   string
		direct, copied, sluice []int
		slow                   bool
	}{
		{"longer in most rounds", fifty, fifty, []int{50, 62, 63, 64, 65}, true},
		{"longer in some rounds", fifty, fifty, []int{500, 500, 50, 51, 52}, false},
		{"a millisecond longer", []int{1, 1, 1, 1, 1}, []int{1, 1, 1, 1, 1}, []int{2, 2, 2, 2, 2}, true},
		{"any proxy takes as long here", fifty, []int{50, 90, 90, 90, 90}, []int{90, 90, 90, 90, 90}, false},
		{"one round says nothing", []int{50}, []int{50}, []int{500}, false},
	} {
		rep := timedReport(map[string][]int{directly: c.direct, copied: c.copied, throughUs: c.sluice})
		if got := rep.slow(throughUs); got != c.slow {
			t.Errorf("%s: slow %v, ratio %.2f", c.name, got, rep.timing(throughUs).ratio)
		}
		if found := len(rep.differences()) > 0; found != c.slow {
			t.Errorf("%s: a difference: %v", c.name, found)
		}
	}
}

func TestWhatFailsByChanceIsNoDifference(t *testing.T) {
	rigs := []*rig{{name: directly}, {name: throughUs}}
	for _, c := range []struct {
		name    string
		direct  []bool // of the attempts behind the first
		sluice  []bool
		differs bool
		told    string
	}{
		{"it passes when it is alone", nil, []bool{false, true}, false, "passed in run 3; at first: why"},
		{"it fails directly as well", []bool{true, false}, []bool{false, false, false}, false, "failed 4 times, and directly in run 3; at first: why"},
		{"it fails through us only", []bool{true, true, true}, []bool{false, false, false}, true, ""},
	} {
		left := map[string][]bool{directly: c.direct, throughUs: c.sluice}
		s := &suite{name: "the suite", again: func(_ context.Context, _ string, r *rig, _ string) (verdict, error) {
			ok := left[r.name][0]
			left[r.name] = left[r.name][1:]
			return verdict{ok: ok}, nil
		}}
		rep := &report{suite: s, results: map[string]results{directly: {"a": {ok: true}}, throughUs: {"a": {detail: "why\nin full"}}}}
		rep.repeat(t.Context(), "", rigs)
		if got := len(rep.differences()) > 0; got != c.differs || len(left[directly])+len(left[throughUs]) > 0 {
			t.Errorf("%s: a difference %v, attempts left %v", c.name, got, left)
		}
		var text strings.Builder
		table(&text, []*report{rep})
		if got := text.String(); c.told == "" && strings.Contains(got, "run again\n  ") || c.told != "" && !strings.Contains(got, "the suite, Sluice: a\n    "+c.told+"\n") {
			t.Errorf("%s: the table does not tell %q:\n%s", c.name, c.told, got)
		}
	}
}

func TestEveryReasonIsForOneOfOurColumns(t *testing.T) {
	for _, s := range slices.Concat(suites, http2Suites) {
		for _, d := range s.differences {
			if d.reason == "" || d.column != "" && d.column != throughUs && d.column != asAService {
				t.Errorf("%s: %+v", s.name, d)
			}
		}
	}
}

func TestWhatDoesNotRunIsADifference(t *testing.T) {
	good, bad := verdict{ok: true}, verdict{detail: "why"}
	for _, c := range []struct {
		name    string
		suite   suite
		results map[string]results
		want    []string
	}{
		{"a case that runs directly only", suite{}, map[string]results{directly: {"a": good, "b": good}, throughUs: {"a": good}, asAService: {"a": good, "b": good}},
			[]string{"Sluice: b: did not run"}},
		{"a case that fails directly and does not run", suite{}, map[string]results{directly: {"a": good, "b": bad}, throughUs: {"a": good}}, nil},
		{"a case that runs through us only, and fails", suite{}, map[string]results{directly: {"a": good}, throughUs: {"a": good, "b": bad}},
			[]string{"Sluice: b: why"}},
		{"it is known to differ", suite{differences: []difference{{"b", "", "because"}}},
			map[string]results{directly: {"a": good, "b": good}, throughUs: {"a": good}}, nil},
		{"a run that ends badly", suite{}, map[string]results{directly: {"a": good}, asAService: {"a": good, theRun: bad}}, []string{"as a Service: the-run: why"}},
		{"a run that ends badly directly as well", suite{}, map[string]results{directly: {"a": good, theRun: bad}, asAService: {"a": good, theRun: bad}}, nil},
		{"a run that ends badly directly only", suite{}, map[string]results{directly: {"a": good, theRun: bad}, asAService: {"a": good}}, nil},
		{"a suite without a direct column", suite{}, map[string]results{copied: {"a": good, "b": bad}, asAService: {"a": good}},
			[]string{"as a Service: b: did not run"}},
		{"fewer cases than there are", suite{least: 3}, map[string]results{directly: {"a": good, "b": good}, throughUs: {"a": good, "b": good}},
			[]string{"Sluice: cases: 2 cases ran, at least 3 were expected", "directly: cases: 2 cases ran, at least 3 were expected"}},
		{"no case at all", suite{}, map[string]results{directly: {}, throughUs: {}},
			[]string{"Sluice: cases: 0 cases ran, at least 1 were expected", "directly: cases: 0 cases ran, at least 1 were expected"}},
	} {
		var got []string
		for _, d := range (&report{suite: &c.suite, results: c.results}).differences() {
			if !d.explained {
				got = append(got, d.column+": "+d.name+": "+d.detail)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhatDidNotRunIsRunAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		again verdict
		err   error
		want  int
	}{
		{"it passes when it is alone", verdict{ok: true}, nil, 0},
		{"it fails", verdict{}, nil, 1},
		{"it does not run alone either", verdict{}, errors.New("did not run"), 1},
	} {
		s := &suite{again: func(_ context.Context, _ string, r *rig, _ string) (verdict, error) {
			if r.name == directly {
				return verdict{ok: true}, nil
			}
			return c.again, c.err
		}}
		rep := &report{suite: s, results: map[string]results{directly: {"a": {ok: true}, "b": {ok: true}}, throughUs: {"a": {ok: true}}}}
		rep.repeat(t.Context(), "", []*rig{{name: directly}, {name: throughUs}})
		if got := rep.differences(); len(got) != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestGoTestRan(t *testing.T) {
	for out, want := range map[string]bool{
		"=== RUN   TestA\n--- PASS: TestA (0.01s)\nPASS\n":                                                     true,
		"=== RUN   TestA\n    a_test.go:7: not here\n--- SKIP: TestA (0.00s)\nPASS\n":                          false,
		"=== RUN   TestA\n=== RUN   TestA/h2\n--- PASS: TestA (0.01s)\n    --- SKIP: TestA/h2 (0.00s)\nPASS\n": true,
		"testing: warning: no tests to run\nPASS\n":                                                            false,
	} {
		if got := goTestRan(out, "TestA"); got != want {
			t.Errorf("%q: %v", out, got)
		}
	}
}

func TestWhatAByteCopyDoesBetterIsNamed(t *testing.T) {
	ok, fails := verdict{ok: true}, verdict{}
	var b strings.Builder
	beyondTheCopy(&b, []*report{
		{suite: &suite{name: "one"}, results: map[string]results{directly: {"a": ok, "b": ok, "c": ok}, copied: {"a": ok, "b": fails, "c": ok}, throughUs: {"a": fails, "b": fails, "c": ok}}},
		{suite: &suite{name: "of another column"}, results: map[string]results{directly: {"a": ok}, copied: {"a": ok}, asAService: {"a": fails}}},
	})
	if want := "one: more than the byte copy, Sluice differs in a\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
