package main

import (
	"maps"
	"strings"
	"testing"
)

const wrkReport = `Running 2s test @ http://10.96.0.10:80/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.07ms    2.11ms  40.31ms   92.86%
    Req/Sec    26.87k     4.05k   33.26k    70.00%
  53528 requests in 2.01s, 12.40MB read
`

func TestReportsOfClientsAreRead(t *testing.T) {
	abReport := "Concurrency Level:      32\nComplete requests:      2000\nFailed requests:        0\nTotal transferred:      1\n"
	for name, tt := range map[string]struct {
		parse  func(string) (float64, error)
		report string
		want   float64
		err    string
	}{
		"wrk's number of requests":        {parse: parseWrk, report: wrkReport, want: 53528},
		"wrk with errors on sockets":      {parse: parseWrk, report: wrkReport + "  Socket errors: connect 0, read 3, write 0, timeout 0\n", err: "read 3"},
		"wrk with other answers":          {parse: parseWrk, report: wrkReport + "  Non-2xx or 3xx responses: 7\n", err: "7"},
		"wrk that says something else":    {parse: parseWrk, report: "unable to connect", err: "no number"},
		"ab's number of requests":         {parse: parseAb, report: abReport, want: 2000},
		"ab with failures":                {parse: parseAb, report: strings.Replace(abReport, "Failed requests:        0", "Failed requests:        4", 1), err: "Failed requests: 4"},
		"ab with other answers":           {parse: parseAb, report: abReport + "Non-2xx responses:      2000\n", err: "2000"},
		"ab that was cut before its end":  {parse: parseAb, report: "Benchmarking 10.96.0.10 (be patient)...", err: "no number"},
		"perf's counts, of which the sum": {parse: sumOfPerf, report: "# started on a day\n\n1234;;raw_syscalls:sys_enter;5;100.00;;\n600;;syscalls:sys_enter_read;5;100.00;;\n", want: 1234},
		"perf that was not permitted":     {parse: sumOfPerf, report: "<not counted>;;raw_syscalls:sys_enter;0;0.00;;\n", err: "did not count raw_syscalls:sys_enter"},
		"perf without the sum":            {parse: sumOfPerf, report: "600;;syscalls:sys_enter_read;5;100.00;;\n", err: "no count"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.parse(tt.report)
			if tt.err == "" && (err != nil || got != tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tt.err)
			}
		})
	}
}

func sumOfPerf(text string) (float64, error) {
	counts, err := parsePerf(text)
	return counts["all"], err
}

func TestPerfCountsAreNamedAfterTheirCalls(t *testing.T) {
	got, err := parsePerf("10;;raw_syscalls:sys_enter;5;100.00;;\n4;;syscalls:sys_enter_read;5;100.00;;\n")
	if want := map[string]float64{"all": 10, "read": 4}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}
