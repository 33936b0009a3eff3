package main

import (
	"fmt"
	"testing"
)

func TestH2loadIsRead(t *testing.T) {
	const good = `
requests: 160137 total, 160137 started, 160137 done, 160137 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 160147 2xx, 0 3xx, 0 4xx, 0 5xx
`
	if n, err := parseH2load(good); err != nil || n != 160137 {
		t.Errorf("%v, %v", n, err)
	}
	for name, bad := range map[string]string{
		"nothing":         "",
		"a failure":       "requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed, 0 errored, 0 timeout\nstatus codes: 8 2xx, 0 3xx, 0 4xx, 0 5xx\n",
		"an error":        "requests: 9 total, 9 started, 9 done, 8 succeeded, 0 failed, 1 errored, 0 timeout\nstatus codes: 8 2xx, 0 3xx, 0 4xx, 0 5xx\n",
		"another status":  "requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: 8 2xx, 0 3xx, 0 4xx, 1 5xx\n",
		"nobody answered": "requests: 0 total, 0 started, 0 done, 0 succeeded, 0 failed, 0 errored, 0 timeout\nstatus codes: 0 2xx, 0 3xx, 0 4xx, 0 5xx\n",
	} {
		if n, err := parseH2load(bad); err == nil {
			t.Errorf("%s: %v", name, n)
		}
	}
}

func TestH2loadsLogIsRead(t *testing.T) {
	log := ""
	for us := range 200 {
		log += fmt.Sprintf("1770000000000000\t200\t%d\n", 200-us)
	}
	if v, err := parseH2loadLog(log); err != nil || v["p50"] != 100 || v["p99"] != 198 {
		t.Errorf("%v, %v", v, err)
	}
	for name, bad := range map[string]string{"nothing": "", "a short line": "1770000000000000\t200\n", "a word": "1770000000000000\t200\tsoon\n"} {
		if v, err := parseH2loadLog(bad); err == nil {
			t.Errorf("%s: %v", name, v)
		}
	}
}
