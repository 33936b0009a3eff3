package main

import (
	"reflect"
	"testing"
	"time"
)

const abReport = `
Complete requests:      20000
Failed requests:        3
   (Connect: 0, Receive: 1, Length: 0, Exceptions: 2)
Non-2xx responses:      7
Keep-Alive requests:    20000
`

const abTimes = "starttime\tseconds\tctime\tdtime\tttime\twait\n" +
	"Sat Nov 21 01:30:48 2026\t1795224648\t1\t0\t1\t0\n" +
	"Sat Nov 21 01:30:48 2026\t1795224648\t0\t101\t101\t1\n" +
	"Sat Nov 21 01:30:49 2026\t1795224649\t0\t1\t100\t1\n"

func TestReportsAreRead(t *testing.T) {
	for _, c := range []struct {
		name string
		got  func() (result, error)
		want result
	}{
		{"ab", func() (result, error) { return parseAb(abReport, abTimes, 20000) },
			result{Requests: 20000, Failed: 3, Non2xx: 7, P99: 101, Longest: 101, Slow: 1}},
		{"ab that is interrupted", func() (result, error) { return parseAb(abReport, abTimes, 30000) },
			result{Requests: 20000, Failed: 3, Non2xx: 7, P99: 101, Longest: 101, Slow: 1, Note: "did 20000 of 30000 requests in the time it had"}},
		{"ab that gives up", func() (result, error) {
			return parseAb("Benchmarking 10.96.0.10 (be patient)...apr_pollset_poll: "+
				"The timeout specified has expired (70007)\nTotal of 4968 requests completed\n", "", 5000)
		}, result{Requests: 5000, Failed: 32, P99: unknown, Longest: unknown, Slow: unknown,
			Note: "gave up after 4968: apr_pollset_poll: The timeout specified has expired (70007)"}},
		{"ab that was killed", func() (result, error) { return parseAb("signal: killed", "", 5000) },
			result{Requests: 5000, Failed: 5000, P99: unknown, Longest: unknown, Slow: unknown, Note: "gave up after 0: "}},
		{"wrk", func() (result, error) {
			return parseWrk("Requests/sec: 1\n" + `{"requests":100,"connect":1,"read":2,"write":3,"timeout":4,"open":6,"status":5,"p99":5.5,"max":9.8}` + "\n")
		}, result{Requests: 116, Failed: 16, Non2xx: 5, P99: 5.5, Longest: 9.8, Slow: unknown}},
		{"h2load", func() (result, error) {
			return parseH2load("requests: 10 total, 10 started, 9 done, 7 succeeded, 2 failed, 1 errored, 0 timeout\n"+
				"status codes: 7 2xx, 0 3xx, 0 4xx, 1 5xx\n", "1795224648264357\t200\t1834\n1795224648264358\t500\t100001\n1795224648264358\t-1\t5\n")
		}, result{Requests: 10, Failed: 2, Non2xx: 1, P99: 100.001, Longest: 100.001, Slow: 1}},
	} {
		got, err := c.got()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestAReportWithoutCountsIsAnError(t *testing.T) {
	if _, err := parseWrk("unable to connect to 10.96.0.10:80"); err == nil {
		t.Error("wrk")
	}
	if _, err := parseH2load("h2load: cannot resolve", ""); err == nil {
		t.Error("h2load")
	}
}

func TestPromisesAreJudged(t *testing.T) {
	p := promise{Longest: 100, Slow: 5}
	for _, c := range []struct {
		name  string
		r     result
		timed bool
		want  int
	}{
		{"kept", result{Requests: 10, Longest: 100, Slow: 5}, true, 0},
		{"nothing was asked", result{}, false, 1},
		{"a failure", result{Requests: 10, Failed: 1}, true, 1},
		{"another status", result{Requests: 10, Non2xx: 1}, false, 1},
		{"too slow", result{Requests: 10, Longest: 101, Slow: 6}, true, 2},
		{"too slow, and times do not count", result{Requests: 10, Longest: 101, Slow: 6}, false, 0},
		{"too slow, on a machine that was busy before", result{Requests: 10, Longest: 101, Slow: 6, P99Before: calm + 1}, true, 0},
		{"the client gave up", result{Requests: 10, Failed: 3, Note: "gave up", Longest: unknown, Slow: unknown}, true, 2},
	} {
		if got := p.judge(c.r, c.timed); len(got) != c.want {
			t.Errorf("%s: %q, want %d", c.name, got, c.want)
		}
	}
}

func TestRetriesAreBounded(t *testing.T) {
	// 2000 calls, a fifth more, ten a second and a burst of 100, whatever the number of loops.
	if got := mostUpstream(2000, 4*time.Second); got != 2540 {
		t.Errorf("%.0f requests may reach the pods, want 2540", got)
	}
}
