package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// program is a command that tries something and prints a line a case: "ok NAME [SECONDS]" or "not ok NAME [SECONDS] WHY". Of what is wrong
// outside its cases it may print a line named as theRun is.
type program struct {
	argv  []string
	env   []string // besides this process's
	dir   string
	limit time.Duration
	// alone is how one case is run again; nil runs all of them, as does the run as a whole.
	alone func(name string) []string
}

// runLines runs the program in a rig and reads its lines. A program that printed none is an error; one that ends badly behind
// lines that all are good, or not in time, fails as theRun.
func (p program) runLines(ctx context.Context, r *rig, argv []string) (results, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	cmd := r.Command(ctx, argv[0], argv[1:]...)
	return p.readLines(ctx, cmd.Cmd, cmd.Run)
}

func (p program) readLines(ctx context.Context, cmd *exec.Cmd, run func() error) (results, error) {
	cmd.Dir, cmd.Env = p.dir, append(cmd.Environ(), p.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := run()
	rs := results{}
	for line := range strings.Lines(out.String()) {
		if name, v, ok := parseLine(line); ok {
			rs[name] = v
		}
	}
	if err != nil && ctx.Err() != nil {
		rs[theRun] = verdict{detail: fmt.Sprintf("not done within %v", p.limit)}
		return rs, nil
	}
	if len(rs) == 0 {
		return nil, fmt.Errorf("%s: no results: %v: %s", strings.Join(cmd.Args, " "), err, lastLine(errs.String()))
	}
	rs.endedBadly(err, lastLine(errs.String()))
	return rs, nil
}

func parseLine(line string) (name string, v verdict, ok bool) {
	line = strings.TrimSpace(line)
	rest, bad := strings.CutPrefix(line, "not ok ")
	if !bad {
		if rest, v.ok = strings.CutPrefix(line, "ok "); !v.ok {
			return "", v, false
		}
	}
	name, v.detail, _ = strings.Cut(rest, " ")
	seconds, why, _ := strings.Cut(v.detail, " ")
	if s, err := strconv.ParseFloat(seconds, 64); err == nil {
		v.took, v.detail = time.Duration(s*float64(time.Second)), why
	}
	return name, v, true
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// linesSuite fills in how a suite of such a program runs; find answers the program once the suite is prepared.
func linesSuite(s *suite, find func(dir string) (program, error)) *suite {
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		p, err := find(dir)
		if err != nil {
			return nil, err
		}
		return p.runLines(ctx, r, p.argv)
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		p, err := find(dir)
		if err != nil {
			return verdict{}, err
		}
		argv := p.argv
		if p.alone != nil && name != theRun {
			argv = p.alone(name)
		}
		rs, err := p.runLines(ctx, r, argv)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}
