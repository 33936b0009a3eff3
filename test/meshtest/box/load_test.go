package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// loaded runs "box load" and gives its last line.
func loaded(t *testing.T, args ...string) (summary, int, error) {
	t.Helper()
	var out bytes.Buffer
	err := load(t.Context(), args, &out)
	var s summary
	lines := 0
	for sc := bufio.NewScanner(&out); sc.Scan(); lines++ {
		s = summary{}
		if err := json.Unmarshal(sc.Bytes(), &s); err != nil {
			t.Fatalf("%q: %v", sc.Text(), err)
		}
	}
	return s, lines, err
}

func TestLoadCountsWhatWasAnswered(t *testing.T) {
	url := "http://" + started(t)["http"]
	for name, c := range map[string]struct {
		args                []string
		ok, failed, connect int
	}{
		"kept connections":           {[]string{"--url", url, "--requests", "50", "--concurrency", "5"}, 50, 0, 5},
		"a connection each":          {[]string{"--url", url, "--requests", "20", "--keep-alive=false"}, 20, 0, 20},
		"HTTP/2":                     {[]string{"--url", url, "--requests", "20", "--h2c"}, 20, 0, 1},
		"HTTP/2, many streams":       {[]string{"--url", url, "--requests", "200", "--h2c", "--concurrency", "20", "--one-connection"}, 200, 0, 1},
		"a body":                     {[]string{"--url", url, "--requests", "3", "--method", "PUT", "--body", "12", "--expect", `"bodyBytes":2`}, 3, 0, 1},
		"a long body":                {[]string{"--url", url, "--requests", "3", "--method", "POST", "--body-bytes", "9999", "--expect", `:9999`}, 3, 0, 1},
		"headers":                    {[]string{"--url", url, "--requests", "3", "--header", "Host: h.test", "--header", "A: b", "--expect", `"host":"h.test"`}, 3, 0, 1},
		"errors, on one connection":  {[]string{"--url", url + "/status/500", "--requests", "4"}, 0, 4, 1},
		"an answer without the text": {[]string{"--url", url, "--requests", "2", "--expect", "nowhere"}, 0, 2, 2},
	} {
		s, _, err := loaded(t, c.args...)
		if err != nil || s.OK != c.ok || s.Failed != c.failed || s.Connections != c.connect || s.Pods["pod-1"] != c.ok+c.failed {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestLoadListsWhatWasAcknowledged(t *testing.T) {
	addrs := started(t)
	s, _, err := loaded(t, "--url", "http://"+addrs["http"], "--requests", "3", "--method", "POST", "--body", "x", "--effects")
	if err != nil || len(s.Effects) != 3 || s.Effects[0] == s.Effects[1] {
		t.Errorf("%+v, %v", s, err)
	}
	s, _, err = loaded(t, "--url", "http://"+addrs["http"]+"/status/500", "--requests", "3", "--effects")
	if err != nil || len(s.Effects) != 0 {
		t.Errorf("not acknowledged: %+v, %v", s, err)
	}
}

func TestLoadSaysWhoAnsweredEachKey(t *testing.T) {
	url := "http://" + started(t)["http"]
	for _, flags := range [][]string{{"--concurrency", "2"}, {"--h2c"}} {
		s, _, err := loaded(t, append(flags, "--url", url, "--requests", "40", "--keys", "4", "--key-header", "a")...)
		n := 0
		for _, pods := range s.Owners {
			n += pods["pod-1"]
		}
		if err != nil || len(s.Owners) != 4 || s.Owners["3"]["pod-1"] < 9 || n != 40 {
			t.Errorf("%v: %+v, %v", flags, s, err)
		}
	}
}

func TestLoadIsStrictWhenAsked(t *testing.T) {
	url := "http://" + started(t)["http"] + "/status/500"
	if _, _, err := loaded(t, "--url", url, "--requests", "2", "--strict"); err == nil || err.Error() != "2 of 2 requests failed" {
		t.Errorf("%v", err)
	}
}

func TestLoadKeepsItsRateAndFollows(t *testing.T) {
	url := "http://" + started(t)["http"]
	s, lines, err := loaded(t, "--url", url, "--rate", "100", "--duration", "1100ms", "--follow", "--concurrency", "2")
	if err != nil || s.Requests < 100 || s.Requests > 111 || lines != 2 || !s.Final {
		t.Errorf("%+v in %d lines, %v", s, lines, err)
	}
}

// One call stalls for a second: at 10 a second and one at a time, the ten behind
// it are late too, each by less.
func TestLatencyCountsFromWhenACallWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := loadSettings{rate: 10, requests: 19, concurrency: 1}
		r := newRecord()
		first := true
		s.workAll(t.Context(), []caller{callFunc(func() outcome {
			if first {
				first = false
				time.Sleep(time.Second)
			}
			return outcome{status: 200}
		})}, r)
		sum := r.summary(time.Second)
		if sum.Max != 1000 || sum.P50 != 100 || sum.Requests != 19 {
			t.Errorf("%+v", sum)
		}
	})
}

func TestCallsThatWereDueAndNotMadeAreMissed(t *testing.T) {
	for _, c := range []struct {
		s          loadSettings
		made, want int
	}{
		{loadSettings{rate: 100, duration: time.Second}, 90, 10},
		{loadSettings{rate: 100, duration: time.Second}, 101, 0},
		{loadSettings{rate: 100, duration: time.Second, requests: 50}, 50, 0},
		{loadSettings{duration: time.Second}, 5, 0},
	} {
		if got := c.s.missed(c.made); got != c.want {
			t.Errorf("%+v, %d made: %d missed, want %d", c.s, c.made, got, c.want)
		}
	}
}

type callFunc func() outcome

func (f callFunc) call() outcome { return f() }
func (callFunc) close()          {}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0}, {hundred[:1], 0.5, 1}, {hundred[:1], 1, 1}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100},
		{hundred[:3], 0.5, 2},
	} {
		if got := quantile(c.sorted, c.q); got != c.want {
			t.Errorf("quantile %v of %d values: %d, want %d", c.q, len(c.sorted), got, c.want)
		}
	}
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"--requests 1":                                 "--url is needed",
		"--url http://x":                               "--duration or --requests is needed",
		"--url x --requests 1":                         "want http://HOST:PORT/PATH",
		"--url https://x --requests 1 --h2c":           "https:// without --h2c",
		"--url http://x --requests 1 --one-connection": "--one-connection is for --h2c",
		"--url http://x --requests 1 --rate=-1":        "--rate=-1: want 0 or more",
		"--url http://x --requests 1 --concurrency 0":  "--concurrency=0: want 1 or more",
		"--url http://x --requests 1 --header a":       "want NAME:VALUE",
		"--url http://x --requests 1 more":             "1 arguments",
		"--url http://x --requests 1 --method A/B":     "invalid method",
	} {
		if _, _, err := loaded(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", args, err, want)
		}
	}
	if err := load(t.Context(), []string{"--help"}, nil); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
}
