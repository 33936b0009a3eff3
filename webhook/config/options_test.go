package config

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestOptions(t *testing.T) {
	env := func(list ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for _, entry := range list {
				if k, v, _ := strings.Cut(entry, "="); k == name {
					return v, true
				}
			}
			return "", false
		}
	}
	for _, c := range []struct {
		name  string
		args  string
		env   func(string) (string, bool)
		check func(Options) bool
		want  string // part of the error
	}{
		{"a flag", "--log-level=debug", env(), func(o Options) bool { return o.LogLevel == slog.LevelDebug }, ""},
		{"its environment twin", "", env("SLUICE_LOG_LEVEL=warn"), func(o Options) bool { return o.LogLevel == slog.LevelWarn }, ""},
		{"the flag wins, and its twin is not looked at", "--ca-lifetime=2000h", env("SLUICE_CA_LIFETIME=x"),
			func(o Options) bool { return o.CALifetime == 2000*time.Hour }, ""},
		{"a setting of pods", "", env("SLUICE_INJECT_LOG_LEVEL=warn"), func(o Options) bool { return o.Inject.LogLevel == "warn" }, ""},
		{"addresses", "--service-cidrs=10.96.0.0/16,fd00::/112", env(), func(o Options) bool { return len(o.ServiceCIDRs) == 2 }, ""},
		{"a wrong flag", "--inject-log-level=loud", env(), nil, `"loud" for flag -inject-log-level: "loud": want one of debug`},
		{"a wrong variable", "", env("SLUICE_TLS_PORT=tcp://10.0.0.1:443"), nil, "environment SLUICE_TLS_PORT="},
		{"a port there is not", "--tls-port=0", env(), nil, "--tls-port is 0; allowed is 1 to 65535"},
		{"a CA that does not outlive its certificates", "--ca-lifetime=1h", env(), nil, "--ca-lifetime is 1h0m0s; allowed is 1440h0m0s or more"},
		{"a report every second", "--report-interval=1s", env(), nil, "--report-interval is 1s; allowed is 10s or more"},
		{"no report", "--report-interval=0", env(), func(o Options) bool { return o.ReportInterval == 0 }, ""},
		{"ports that are the same", "--inject-proxy-port=15302", env(), nil, "flags --inject-…: proxy-port 15302"},
		{"an argument", "serve", env(), nil, `unexpected argument "serve"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := ParseOptions(strings.Fields(c.args), c.env, &bytes.Buffer{})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v; want one with %q", err, c.want)
				}
			} else if err != nil || !c.check(o) {
				t.Errorf("got %+v, %v", o, err)
			}
		})
	}
}

// TestHelp keeps --help, which is the reference of flags, in a golden file.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if _, err := ParseOptions([]string{"--help"}, os.LookupEnv, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("error %v", err)
	}
	const file = "testdata/help.golden.txt"
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(out.Bytes(), want) {
		t.Errorf("--help differs from %s (%v; go test -update writes it):\n%s", file, err, out.Bytes())
	}
}
