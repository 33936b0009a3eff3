package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// turns makes unary calls at full speed to one target or another, each on a channel of its own, for as long as --duration says each time: to
// which of --targets a line of standard input says, by its number from 0. A line of standard output says how many calls were answered, when
// all were. Between turns nothing is on its way, so that whoever asks may look at what they have cost.
func turns(ctx context.Context, args []string, out io.Writer) error {
	s := loadSettings{timeout: 10 * time.Second, serviceConfig: "{}"}
	fs := flag.NewFlagSet("turns", flag.ContinueOnError)
	targets := fs.String("targets", "", "HOST:PORT of each Service, with commas")
	fs.DurationVar(&s.duration, "duration", 100*time.Millisecond, "of a turn")
	fs.IntVar(&s.concurrency, "concurrency", 10, "calls at the same time, all on one channel")
	fs.IntVar(&s.size, "bytes", 0, "payload of request and answer")
	fs.StringVar(&s.key, "key", "", "metadata whose value is another number in each call")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *targets == "" || s.duration <= 0 || s.concurrency < 1 {
		return errors.New("--targets, --duration and --concurrency above 0 are needed")
	}
	var channels []*grpc.ClientConn
	for s.target = range strings.SplitSeq(*targets, ",") {
		cc, err := s.channel(newRecord())
		if err != nil {
			return err
		}
		defer cc.Close()
		channels = append(channels, cc)
	}
	return s.takeTurns(ctx, channels, os.Stdin, out)
}

func (s *loadSettings) takeTurns(ctx context.Context, channels []*grpc.ClientConn, in io.Reader, out io.Writer) error {
	n := 0
	lines := bufio.NewScanner(in)
	for ; lines.Scan() && ctx.Err() == nil; n++ {
		i, err := strconv.Atoi(lines.Text())
		if err != nil || i < 0 || i >= len(channels) {
			return fmt.Errorf("turn %d: %q is no number from 0 to %d", n+1, lines.Text(), len(channels)-1)
		}
		sum := s.turn(ctx, channels[i])
		if sum.Failed > 0 || sum.Requests == 0 {
			return fmt.Errorf("turn %d, to %s: %d of %d calls failed: %v", n+1, channels[i].Target(), sum.Failed, sum.Requests, sum.Errors)
		}
		if _, err := fmt.Fprintln(out, sum.Requests); err != nil {
			return err
		}
	}
	if err := errors.Join(ctx.Err(), lines.Err()); err != nil {
		return err
	}
	return printJSON(out, map[string]int{"turns": n})
}

func (s *loadSettings) turn(ctx context.Context, cc *grpc.ClientConn) summary {
	due, cancel := context.WithTimeout(ctx, s.duration)
	defer cancel()
	r := newRecord()
	var next atomic.Int64
	var workers sync.WaitGroup
	start := time.Now()
	for range s.concurrency {
		workers.Go(func() { s.work(due, start, &next, testpb.NewTestServiceClient(cc), r) })
	}
	workers.Wait()
	return r.whole()
}
