package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
)

// held is what "box hold" prints.
type held struct {
	Pod     string  `json:"pod"`
	Answers int     `json:"answers"`
	Seconds float64 `json:"seconds"`
}

// hold keeps a bidirectional stream open for a time: it asks at its begin, now and then, and at its end, and each must be answered.
func hold(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("hold", flag.ContinueOnError)
	target := fs.String("target", "", "HOST:PORT of the Service")
	length := fs.Duration("for", 10*time.Second, "how long the stream lasts")
	every := fs.Duration("every", 0, "ask that often; 0 is silence between begin and end")
	ping := fs.Duration("ping", 0, "ping that often, also without a stream; grpc-go takes 10 seconds for less, 0 is never")
	if err := fs.Parse(args); err != nil {
		return err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if *ping > 0 {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: *ping, PermitWithoutStream: true}))
	}
	cc, err := grpc.NewClient("passthrough:///"+*target, options...)
	if err != nil {
		return err
	}
	defer cc.Close()
	const answerTime = 10 * time.Second // for the last answer
	ctx, cancel := context.WithTimeout(ctx, *length+answerTime)
	defer cancel()
	stream, err := testpb.NewTestServiceClient(cc).FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	var h held
	ask := func() error {
		q := &testpb.StreamingOutputCallRequest{ResponseParameters: []*testpb.ResponseParameters{{Size: 1}}}
		if err := stream.Send(q); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return fmt.Errorf("after %v and %d answers: %w", time.Since(began).Round(time.Millisecond), h.Answers, err)
		}
		h.Answers++
		return nil
	}
	if *every <= 0 {
		*every = *length
	}
	tick := time.NewTicker(*every)
	defer tick.Stop()
	for {
		if err := ask(); err != nil {
			return err
		}
		if time.Since(began) >= *length {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the stream ended with %v", err)
	}
	header, err := stream.Header()
	if err != nil {
		return err
	}
	if p := header.Get(podKey); len(p) > 0 {
		h.Pod = p[0]
	}
	h.Seconds = time.Since(began).Seconds()
	return printJSON(out, h)
}
