package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestConfigurations(t *testing.T) {
	for _, tt := range []struct {
		file, golden string
		s            setting
	}{
		{"haproxy.cfg", "haproxy-http.cfg", setting{Mode: requests, Threads: 1}},
		{"haproxy.cfg", "haproxy-h2c.cfg", setting{Mode: streams, Threads: 1}},
		{"nginx.conf", "nginx-h2c.conf", setting{Mode: calls, Threads: 1}},
		{"envoy.yaml", "envoy-h2c.yaml", setting{Mode: streams}},
		{"haproxy.cfg", "haproxy-tcp.cfg", setting{Mode: opaque, Threads: 2}},
		{"nginx.conf", "nginx.conf", setting{Mode: requests, Threads: 2}},
		{"envoy.yaml", "envoy-http.yaml", setting{Mode: requests}},
		{"envoy.yaml", "envoy-tcp.yaml", setting{Mode: opaque}},
		{"backend.conf", "backend.conf", setting{}},
	} {
		t.Run(tt.golden, func(t *testing.T) {
			t.Chdir(t.TempDir()) // the directory is written into some files: a relative one stays the same
			tt.s.Dir, tt.s.Listen, tt.s.Backends = ".", listenAt, at(8080)
			tt.s.H2Backends = at(8082)
			path, err := tt.s.write(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(home)
			golden(t, filepath.Join("config", tt.golden), text)
		})
	}
}

// home is the package's directory.
var home, _ = os.Getwd()
