package config

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func parse(args string, pairs ...string) (*Settings, error) {
	return Parse(strings.Fields(args), env(pairs...), &bytes.Buffer{})
}

func TestDefaults(t *testing.T) {
	got, err := parse("")
	if err != nil {
		t.Fatal(err)
	}
	want := &Settings{ProxyPort: 15301, HealthPort: 15302, AdminPort: 15303, Discovery: "kube", LogLevel: slog.LevelInfo, Native: true,
		HeadLimit: 64 << 10, MaxStreams: 1000, MaxPending: 10_000, ConnectTimeout: time.Second, IdleTimeout: 3 * time.Second, ResolveTimeout: time.Second,
		DrainIdle: 5 * time.Second, TargetIdle: 10 * time.Minute}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		name  string
		args  string
		env   []string
		check func(*Settings) bool
	}{
		{"ports", "--proxy-port=1 --health-port=2 --admin-port=65535", nil,
			func(s *Settings) bool { return s.ProxyPort == 1 && s.HealthPort == 2 && s.AdminPort == 65535 }},
		{"files", "--discovery=files --manifests=" + dir, nil,
			func(s *Settings) bool { return s.Discovery == "files" && s.Manifests == dir }},
		{"kubeconfig", "--kubeconfig=/x", nil, func(s *Settings) bool { return s.Kubeconfig == "/x" }},
		{"unknown destinations", "--unknown-destinations=proxy", nil, func(s *Settings) bool { return s.ParseUnknown }},
		{"limits", "--max-connections=500 --max-requests=300 --max-pending=20", nil, func(s *Settings) bool {
			return s.MaxConnections == 500 && s.MaxRequests == 300 && s.MaxPending == 20
		}},
		{"level", "--log-level=DEBUG", nil, func(s *Settings) bool { return s.LogLevel == slog.LevelDebug }},
		{"termination", "--termination=classic", nil, func(s *Settings) bool { return !s.Native }},
		{"pprof without a value", "--pprof", nil, func(s *Settings) bool { return s.Pprof }},
		{"loops", "--loops=64", nil, func(s *Settings) bool { return s.Loops == 64 }},
		{"streams", "--max-streams=7", nil, func(s *Settings) bool { return s.MaxStreams == 7 }},
		{"head limit", "--max-head-bytes=1024", nil, func(s *Settings) bool { return s.HeadLimit == 1024 }},
		{"durations", "--connect-timeout=5ms --upstream-idle-timeout=1m --resolve-timeout=2s --drain-idle=0s --discovery-idle=1h", nil,
			func(s *Settings) bool {
				return s.ConnectTimeout == 5*time.Millisecond && s.IdleTimeout == time.Minute && s.ResolveTimeout == 2*time.Second &&
					s.DrainIdle == 0 && s.TargetIdle == time.Hour
			}},
		{"from the environment", "", []string{"SLUICE_PROXY_PORT", "7", "SLUICE_PPROF", "true", "SLUICE_TERMINATION", "classic"},
			func(s *Settings) bool { return s.ProxyPort == 7 && s.Pprof && !s.Native }},
		{"a flag goes before its environment twin", "--proxy-port=8 --termination=native",
			[]string{"SLUICE_PROXY_PORT", "nonsense", "SLUICE_TERMINATION", "classic"},
			func(s *Settings) bool { return s.ProxyPort == 8 && s.Native }},
		{"variables nobody knows are another version's", "", []string{"SLUICE_SOMETHING_NEW", "1"}, func(*Settings) bool { return true }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(c.args, c.env...)
			if err != nil || !c.check(s) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

// Every error names the flag or the variable, the value, and what is allowed.
func TestErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, value, allowed string }{
		{ProxyPort, "0", "a port from 1 to 65535"},
		{ProxyPort, "65536", "a port from 1 to 65535"},
		{HealthPort, "-1", "a port from 1 to 65535"},
		{AdminPort, "http", "a port from 1 to 65535"},
		{Discovery, "consul", "files, kube"},
		{Unknown, "drop", "passthrough, proxy"},
		{LogLevel, "loud", "debug, info, warn, error"},
		{Termination, "soft", "classic, native"},
		{Pprof, "maybe", "true and false"},
		{Loops, "65", "a whole number from 0 to 64"},
		{Loops, "x", "a whole number from 0 to 64"},
		{MaxStreams, "0", "a whole number from 1 to 100000"},
		{MaxStreams, "100001", "a whole number from 1 to 100000"},
		{HeadLimit, "1023", "a whole number from 1024 to 1048576"},
		{ConnectTimeout, "0s", "a duration of at least 1ms, such as 3s or 500ms"},
		{IdleTimeout, "3", "a duration of at least 10ms, such as 3s or 500ms"},
		{ResolveTimeout, "-1s", "a duration of at least 1ms, such as 3s or 500ms"},
		{DrainIdle, "-1s", "a duration of at least 0s, such as 3s or 500ms"},
		{TargetIdle, "forever", "a duration of at least 1s, such as 3s or 500ms"},
	}
	for _, c := range cases {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			_, err := parse("--" + c.name + "=" + c.value)
			wantAll(t, err, "-"+c.name, `"`+c.value+`"`, "allowed", c.allowed)
			_, err = parse("", Env(c.name), c.value)
			wantAll(t, err, Env(c.name), `"`+c.value+`"`, "allowed", c.allowed)
		})
	}
	others := []struct {
		name, args string
		words      []string
	}{
		{"an argument that is no flag", "serve", []string{`"serve"`, "--help"}},
		{"a flag nobody knows", "--proxyport=1", []string{"-proxyport"}},
		{"files without a directory", "--discovery=files", []string{"--discovery=files", "--manifests=DIR"}},
		{"a directory that does not exist", "--discovery=files --manifests=/does/not/exist", []string{"--manifests=/does/not/exist", "no such file"}},
		{"a file where a directory belongs", "--discovery=files --manifests=" + file, []string{"--manifests=" + file, "not a directory"}},
		{"a directory that nobody reads", "--manifests=/tmp", []string{"--manifests", "--discovery=files"}},
		{"one port twice", "--proxy-port=5 --admin-port=5", []string{"--proxy-port=5", "--admin-port=5", "differ"}},
	}
	for _, c := range others {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(c.args)
			wantAll(t, err, c.words...)
		})
	}
}

func wantAll(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error came, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got %q, want %q in it", err, w)
		}
	}
}

// The help is the reference of all settings: a change of it is a change of what users see.
func TestHelp(t *testing.T) {
	var got bytes.Buffer
	if _, err := Parse([]string{"--help"}, env(), &got); !errors.Is(err, ErrHelp) {
		t.Fatalf("got %v, want ErrHelp", err)
	}
	const golden = "testdata/help.golden"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got:\n%s\nwant %s:\n%s", &got, golden, want)
	}
}
