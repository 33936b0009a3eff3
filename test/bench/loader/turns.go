package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
)

// turns sends requests at full speed to one target or another, for as long as --duration says each time: to which of --targets a line of standard
// input says, by its number from 0. A line of standard output says how many requests were answered, when all were. Between
// turns nothing is on its way, so that whoever asks may look at what they have cost.
func turns(o options) (any, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if len(o.targets) == 0 || o.rate != 0 || o.warmup != 0 {
		return nil, errors.New("--targets, --rate=0 and --warmup=0 are needed")
	}
	var loads []*rateLoad
	for _, o.target = range o.targets {
		l, err := newRateLoad(o)
		if err != nil {
			return nil, err
		}
		defer l.close()
		loads = append(loads, l)
	}
	return takeTurns(loads, os.Stdin, os.Stdout)
}

// turnsTaken is how many turns there were.
type turnsTaken struct {
	Turns int `json:"turns"`
}

func takeTurns(loads []*rateLoad, in io.Reader, out io.Writer) (any, error) {
	var r turnsTaken
	lines := bufio.NewScanner(in)
	for ; lines.Scan(); r.Turns++ {
		i, err := strconv.Atoi(lines.Text())
		if err != nil || i < 0 || i >= len(loads) {
			return nil, fmt.Errorf("turn %d: %q is no number from 0 to %d", r.Turns+1, lines.Text(), len(loads)-1)
		}
		answered, err := loads[i].turn()
		if err != nil {
			return nil, fmt.Errorf("turn %d, to %v: %w", r.Turns+1, loads[i].o.target, err)
		}
		if _, err := fmt.Fprintln(out, answered); err != nil {
			return nil, err
		}
	}
	return r, lines.Err()
}

// turn makes a run and answers how many requests were answered: all of them.
func (l *rateLoad) turn() (answered int, err error) {
	l.took = l.took[:0]
	l.result = rateResult{Errors: make(map[string]int)}
	if err := l.run(); err != nil {
		return 0, err
	}
	if failed := l.result.Due - len(l.took); failed > 0 || len(l.took) == 0 {
		return 0, fmt.Errorf("%d of %d requests failed: %v", failed, l.result.Due, l.result.Errors)
	}
	return len(l.took), nil
}
