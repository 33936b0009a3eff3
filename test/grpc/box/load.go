package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type loadSettings struct {
	target               string
	rate                 float64
	duration, timeout    time.Duration
	every                time.Duration
	requests             int64
	concurrency          int
	size                 int
	serviceConfig        string
	key                  string // metadata whose value differs from call to call
	waitForReady, follow bool
	keys                 keys
}

// load makes unary calls on one channel and prints a [summary]. With a rate, calls are due at fixed times whatever the server does,
// and latency counts from then on.
func load(ctx context.Context, args []string, out io.Writer) error {
	var s loadSettings
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	fs.StringVar(&s.target, "target", "", "HOST:PORT of the Service")
	fs.Float64Var(&s.rate, "rate", 0, "calls per second in all; 0 is as fast as it can")
	fs.DurationVar(&s.duration, "duration", 0, "end after this time; 0 is no end by time")
	fs.Int64Var(&s.requests, "requests", 0, "end after so many; 0 is no end by number")
	fs.IntVar(&s.concurrency, "concurrency", 10, "calls at the same time, all on one channel")
	fs.DurationVar(&s.timeout, "timeout", 10*time.Second, "for one call")
	fs.IntVar(&s.size, "bytes", 0, "payload of request and answer")
	fs.StringVar(&s.serviceConfig, "service-config", `{}`, "JSON; grpc-go's own transparent retries stay on")
	fs.StringVar(&s.key, "key", "", "metadata whose value is another number in each call")
	fs.BoolVar(&s.waitForReady, "wait-for-ready", false, "calls wait while the channel cannot connect")
	fs.BoolVar(&s.follow, "follow", false, "print a line now and then too")
	fs.DurationVar(&s.every, "every", time.Second, "with --follow: how often")
	fs.Int64Var(&s.keys.n, "keys", 0, "give each call one of so many keys, from 0 on, and say at the end which pods answered each; 0 is no keys")
	fs.StringVar(&s.keys.name, "key-metadata", "account-id", "with --keys: the metadata that holds the key")
	strict := fs.Bool("strict", false, "end with 1 when a call failed")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if s.target == "" || s.duration <= 0 && s.requests <= 0 || s.concurrency < 1 || s.every <= 0 || s.keys.n < 0 {
		return errors.New("--target, --duration or --requests, --concurrency and --every above 0 are needed, --keys not below")
	}
	sum, err := s.run(ctx, out)
	if err != nil {
		return err
	}
	if err := printJSON(out, sum); err != nil {
		return err
	}
	if *strict && (sum.Failed > 0 || sum.Requests == 0) {
		return fmt.Errorf("%d of %d calls failed", sum.Failed, sum.Requests)
	}
	return nil
}

// summary is what became of the calls.
type summary struct {
	Requests    int            `json:"requests"`
	Failed      int            `json:"failed"`
	Seconds     float64        `json:"seconds"`
	Connections int            `json:"connections"`      // that the channel opened
	Pods        map[string]int `json:"pods"`             // answers by pod
	Errors      map[string]int `json:"errors,omitempty"` // by status code and message
	Owners      owners         `json:"owners,omitempty"` // of the whole: answers by key and pod
	P50         float64        `json:"p50_ms"`
	P99         float64        `json:"p99_ms"`
	Max         float64        `json:"max_ms"`
}

// record collects outcomes; it is safe for concurrent use.
type record struct {
	mu   sync.Mutex
	all  span
	last span // since the last call of recent

	owners owners
}

// span is what was counted in a span of time.
type span struct {
	began time.Time
	took  []time.Duration
	summary
}

func newSpan() span {
	return span{began: time.Now(), summary: summary{Pods: map[string]int{}, Errors: map[string]int{}}}
}

func newRecord() *record { return &record{all: newSpan(), last: newSpan(), owners: owners{}} }

// add counts a call with a key, or with "" for none, and the pod that answered it, or "" for none.
func (r *record) add(key, pod string, err error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key != "" && pod != "" {
		r.owners.add(key, pod)
	}
	for _, s := range []*span{&r.all, &r.last} {
		s.Requests++
		s.took = append(s.took, took)
		if err != nil {
			s.Failed++
			st := status.Convert(err)
			s.Errors[st.Code().String()+": "+st.Message()]++
			continue
		}
		s.Pods[pod]++
	}
}

func (r *record) connected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Connections++
	r.last.Connections++
}

// recent answers what was added since it was last called.
func (r *record) recent() summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.last.sum()
	r.last = newSpan()
	return s
}

// whole answers all that was added, when nothing more will be.
func (r *record) whole() summary {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.all.sum()
	s.Owners = r.owners
	return s
}

func (s *span) sum() summary {
	s.Seconds = time.Since(s.began).Seconds()
	if n := len(s.took); n > 0 {
		slices.Sort(s.took)
		at := func(share float64) float64 { return s.took[min(n-1, int(share*float64(n)))].Seconds() * 1000 }
		s.P50, s.P99, s.Max = at(0.5), at(0.99), at(1)
	}
	return s.summary
}

func (s *loadSettings) run(ctx context.Context, out io.Writer) (summary, error) {
	r := newRecord()
	cc, err := s.channel(r)
	if err != nil {
		return summary{}, err
	}
	defer cc.Close()
	due := ctx
	if s.duration > 0 {
		var cancel context.CancelFunc
		due, cancel = context.WithTimeout(ctx, s.duration)
		defer cancel()
	}
	start := time.Now()
	done := make(chan struct{})
	var printer, workers sync.WaitGroup
	if s.follow {
		printer.Go(func() { followRecord(r, out, s.every, done) })
	}
	var next atomic.Int64
	for range s.concurrency {
		workers.Go(func() { s.work(due, start, &next, testpb.NewTestServiceClient(cc), r) })
	}
	workers.Wait()
	close(done)
	printer.Wait()
	return r.whole(), nil
}

// channel makes one to the target, which counts its connections in r.
func (s *loadSettings) channel(r *record) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+s.target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(s.serviceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.WaitForReady(s.waitForReady)),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			r.connected()
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}))
}

// work takes one number after the other; a number fixes when its call is due. A call that began is finished, whatever the time.
func (s *loadSettings) work(ctx context.Context, start time.Time, next *atomic.Int64, c testpb.TestServiceClient, r *record) {
	q := &testpb.SimpleRequest{ResponseSize: int32(s.size), Payload: &testpb.Payload{Body: make([]byte, s.size)}}
	for ctx.Err() == nil {
		i := next.Add(1) - 1
		if s.requests > 0 && i >= s.requests {
			return
		}
		due := time.Now()
		if s.rate > 0 {
			due = start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
			timer := time.NewTimer(time.Until(due))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		var header metadata.MD
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
		call, key := s.keys.next(call)
		if s.key != "" {
			call = metadata.AppendToOutgoingContext(call, s.key, strconv.FormatUint(uint64(rand.Uint32()), 10))
		}
		_, err := c.UnaryCall(call, q, grpc.Header(&header))
		cancel()
		pod := ""
		if p := header.Get(podKey); len(p) > 0 {
			pod = p[0]
		}
		r.add(key, pod, err, time.Since(due))
	}
}

// followRecord prints what happened in each span of that length until done.
func followRecord(r *record, out io.Writer, every time.Duration, done <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if printJSON(out, r.recent()) != nil {
				return // nobody reads
			}
		}
	}
}
