package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// call is a client's one run: it must end with 0, and print what want matches.
type call struct {
	name string
	line string // for sh; $URL is the HTTP server's
	want string
}

const callLimit = 30 * time.Second

// calls makes a suite of command lines; the programs are Debian's. start starts what they call, in the rig.
func calls(name, source string, start func(ctx context.Context, r *rig) (stop func(), err error), rows ...call) *suite {
	s := &suite{name: name, source: source, least: len(rows)}
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		stop, err := start(ctx, r)
		if err != nil {
			return nil, err
		}
		defer stop()
		rs := results{}
		for _, c := range rows {
			rs[c.name] = c.try(ctx, dir, r)
		}
		return rs, ctx.Err()
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		stop, err := start(ctx, r)
		if err != nil {
			return verdict{}, err
		}
		defer stop()
		// What comes before may have prepared it.
		var v verdict
		for _, c := range rows {
			if v = c.try(ctx, dir, r); c.name == name {
				break
			}
		}
		return v, ctx.Err()
	}
	return s
}

func (c call) try(ctx context.Context, dir string, r *rig) verdict {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	cmd := r.Command(ctx, "sh", "-c", c.line)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "URL="+serverURL)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	v := verdict{ok: err == nil && regexp.MustCompile("(?s)"+c.want).Match(out), took: time.Since(began)}
	if !v.ok {
		v.detail = fmt.Sprintf("%v; %.400q", err, out)
	}
	return v
}

func httpServer(_ context.Context, r *rig) (func(), error) { return startServer(r) }

// background starts a server program in the rig and waits for its port.
func background(ctx context.Context, r *rig, port uint16, as uint32, argv ...string) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := r.Command(ctx, argv[0], argv[1:]...)
	if as != 0 {
		cmd.As(as, as)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	stop = func() {
		cancel()
		cmd.Wait()
	}
	ready, done := context.WithTimeout(ctx, 15*time.Second)
	defer done()
	if err := r.WaitPort(ready, port); err != nil {
		stop()
		return nil, fmt.Errorf("%s: %w", argv[0], err)
	}
	return stop, nil
}

func redis(ctx context.Context, r *rig) (func(), error) {
	return background(ctx, r, 8083, 0, "redis-server", "--port", "8083", "--save", "", "--appendonly", "no", "--dir", os.TempDir())
}

// postgresUser is nobody's number, as the server refuses to run as root.
const postgresUser = 65534

func postgres(ctx context.Context, r *rig) (func(), error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("postgres is missing (Debian package postgresql)")
	}
	bin := filepath.Dir(found[len(found)-1])
	data, err := os.MkdirTemp("", "conformance-postgres-")
	if err != nil {
		return nil, err
	}
	if err = os.Chown(data, postgresUser, postgresUser); err == nil {
		init := r.Command(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "bench", "-A", "trust", "--no-sync").As(postgresUser, postgresUser)
		init.Dir = data
		_, err = output(init.Cmd)
	}
	var stop func()
	if err == nil {
		stop, err = background(ctx, r, 8084, postgresUser, filepath.Join(bin, "postgres"), "-D", data, "-p", "8084", "-k", data, "-F")
	}
	return func() {
		if stop != nil {
			stop()
		}
		os.RemoveAll(data)
	}, err
}

// nodePackages and pythonPackages are pinned, as is what they draw in by the versions they ask for.
var (
	nodePackages   = []string{"ws@8.18.0", "undici@6.21.1"}
	pythonPackages = []string{"requests==2.32.3", "httpx[http2]==0.27.2"}
)

// program suites of other languages: they call the HTTP server.
func languages(name, source, file string, prepare func(ctx context.Context, dir string) error, argv func(dir, file string) []string) *suite {
	s := &suite{name: name, source: source, prepare: prepare}
	linesSuite(s, func(dir string) (program, error) {
		path, err := clientFile(dir, file)
		return program{argv: argv(dir, path), dir: dir, limit: 90 * time.Second}, err
	})
	run, again := s.run, s.again
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		stop, err := startServer(r)
		if err != nil {
			return nil, err
		}
		defer stop()
		return run(ctx, dir, r)
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		stop, err := startServer(r)
		if err != nil {
			return verdict{}, err
		}
		defer stop()
		return again(ctx, dir, r, name)
	}
	return s
}

func fetchNode(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "npm", append([]string{"install", "--no-audit", "--no-fund", "--silent", "--prefix", dir}, nodePackages...)...)
	_, err := output(cmd)
	return err
}

func fetchPython(ctx context.Context, dir string) error {
	venv := filepath.Join(dir, "venv")
	if _, err := os.Stat(filepath.Join(venv, "done")); err == nil {
		return nil
	}
	if _, err := output(exec.CommandContext(ctx, python, "-m", "venv", venv)); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, filepath.Join(venv, "bin", "pip"), append([]string{"install", "-q"}, pythonPackages...)...)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(venv, "done"), nil, 0o644)
}
