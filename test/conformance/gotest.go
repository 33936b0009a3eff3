package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	goTestLimit    = 10 * time.Second // one hang costs one case
	goTestParallel = 3
)

// goTests makes a suite of a Go package's own tests: every top-level test is a case and a process of its own; one that is skipped is none. module is "" for the
// standard library, else MODULE@VERSION, whose package pkg is tested.
func goTests(name, module, pkg string, differences ...difference) *suite {
	s := &suite{name: name, source: "Go " + pkg, quick: true, differences: differences}
	if module != "" {
		s.source = module
	}
	source := func(dir string) (string, error) {
		if module != "" {
			return filepath.Join(dir, "src"), nil
		}
		root, err := output(exec.Command("go", "env", "GOROOT"))
		return filepath.Join(strings.TrimSpace(root), "src", pkg), err
	}
	s.prepare = func(ctx context.Context, dir string) error {
		bin, err := filepath.Abs(filepath.Join(dir, "test"))
		if err != nil {
			return err
		}
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", bin, pkg)
		if module != "" {
			src := filepath.Join(dir, "src")
			if err := fetchModule(ctx, module, src); err != nil {
				return err
			}
			build.Dir, build.Env = src, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		}
		_, err = output(build)
		return err
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		src, err := source(dir)
		if err != nil {
			return verdict{}, err
		}
		v, ran := runGoTest(ctx, r, filepath.Join(dir, "test"), src, name)
		if !ran {
			return v, fmt.Errorf("%s did not run", name)
		}
		return v, nil
	}
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		list := exec.CommandContext(ctx, filepath.Join(dir, "test"), "-test.list", ".")
		text, err := output(list)
		if err != nil {
			return nil, err
		}
		src, err := source(dir)
		if err != nil {
			return nil, err
		}
		var (
			mu  sync.Mutex
			all = results{}
			wg  sync.WaitGroup
			sem = make(chan struct{}, goTestParallel)
		)
		for _, name := range strings.Fields(text) {
			if !strings.HasPrefix(name, "Test") && !strings.HasPrefix(name, "Example") {
				continue
			}
			sem <- struct{}{}
			wg.Go(func() {
				defer func() { <-sem }()
				v, ran := runGoTest(ctx, r, filepath.Join(dir, "test"), src, name)
				mu.Lock()
				defer mu.Unlock()
				if ran {
					all[name] = v
				}
			})
		}
		wg.Wait()
		return all, ctx.Err()
	}
	return s
}

// runGoTest runs one test; ran is false when it was skipped.
func runGoTest(ctx context.Context, r *rig, bin, dir, name string) (v verdict, ran bool) {
	ctx, cancel := context.WithTimeout(ctx, goTestLimit+5*time.Second)
	defer cancel()
	cmd := r.Command(ctx, bin, "-test.short", "-test.v", "-test.timeout", goTestLimit.String(), "-test.run", "^"+name+"$")
	cmd.Dir = dir
	began := time.Now()
	out, err := cmd.CombinedOutput()
	v = verdict{ok: err == nil, took: time.Since(began)}
	if !v.ok {
		v.detail = fmt.Sprintf("%v\n%s", err, out)
	}
	return v, !v.ok || goTestRan(string(out), name)
}

// goTestRan reads what a test that ended well printed under -test.v.
func goTestRan(out, name string) bool {
	return strings.Contains(out, "--- PASS: "+name+" (")
}

// fetchModule copies a module to dst, out of the module cache, where it may not be written to.
func fetchModule(ctx context.Context, module, dst string) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir, cmd.Env = os.TempDir(), append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	text, err := output(cmd)
	if err != nil {
		return err
	}
	var m struct{ Dir string }
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	if err := os.RemoveAll(dst); err != nil {
		return err
	}
	return os.CopyFS(dst, os.DirFS(m.Dir))
}

// output runs a command and answers what it printed; an error has its last words.
func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(exit.Stderr))
	}
	return string(out), err
}
