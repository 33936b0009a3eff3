package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	module = "github.com/sluice-mesh/sluice"
	// toxiproxy is pinned, and no module of ours depends on it.
	toxiproxy = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"
	grpcBox   = "grpcbox" // the gRPC application, of a module of its own: test/grpc
)

// build makes the programs, static as in the image, in a directory that the proxy's user can read.
func build(ctx context.Context) (dir string, err error) {
	if dir, err = os.MkdirTemp("/tmp", "sluice-faults-bin-"); err != nil {
		return "", err
	}
	err = goRun(ctx, "", "build", "-trimpath", "-o", dir, module+"/cmd/sidecar", module+"/cmd/initcontainer", module+"/test/meshtest/box")
	return dir, errors.Join(err, os.Chmod(dir, 0o755))
}

// need makes what a shape needs besides, once.
func (p *programs) need(ctx context.Context, s shape) error {
	if s.grpc {
		if _, err := os.Stat(p.path(grpcBox)); err == nil {
			return nil
		}
		root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		if err != nil {
			return fmt.Errorf("go list -m %s: %w", module, err)
		}
		return goRun(ctx, filepath.Join(strings.TrimSpace(string(root)), "test", "grpc"), "build", "-trimpath", "-o", p.path(grpcBox), "./box")
	}
	if s.toxic && p.toxiproxy == "" {
		return p.fetchToxiproxy(ctx)
	}
	return nil
}

// fetchToxiproxy builds it into ${SLUICE_CACHE:-~/.cache/sluice}/faults, unless it is there.
func (p *programs) fetchToxiproxy(ctx context.Context) error {
	cache := os.Getenv("SLUICE_CACHE")
	if cache == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		cache = filepath.Join(home, "sluice")
	}
	_, version, _ := strings.Cut(toxiproxy, "@")
	dir, err := filepath.Abs(filepath.Join(cache, "faults", "toxiproxy-"+version))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "server")
	if _, err := os.Stat(path); err != nil {
		if err := goRun(ctx, os.TempDir(), "install", toxiproxy, "GOBIN="+dir); err != nil {
			return err
		}
	}
	p.toxiproxy = path
	return nil
}

// goRun runs the go command in a directory; arguments like NAME=value are set in its environment.
func goRun(ctx context.Context, dir string, args ...string) error {
	c := exec.CommandContext(ctx, "go")
	c.Dir, c.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	for _, a := range args {
		if strings.HasPrefix(a, "GOBIN=") {
			c.Env = append(c.Env, a)
		} else {
			c.Args = append(c.Args, a)
		}
	}
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(c.Args, " "), err, text)
	}
	return nil
}
