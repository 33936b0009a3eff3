package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

// piece is the size of one message of a bulk stream, in bytes.
const piece = 1 << 20

// bytesOf answers a source of bytes that both sides can make.
func bytesOf(seed string) *rand.ChaCha8 { return rand.NewChaCha8(sha256.Sum256([]byte(seed))) }

// StreamingInputCall sums up what it receives.
func (s *service) StreamingInputCall(stream grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	sum, n := sha256.New(), 0
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			stream.SetTrailer(metadata.Pairs(sumKey, hex.EncodeToString(sum.Sum(nil))))
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(n)})
		}
		if err != nil {
			return err
		}
		b := m.GetPayload().GetBody()
		sum.Write(b)
		n += len(b)
	}
}

// StreamingOutputCall sends the bytes of the client's seed; without one it is the interop server's.
func (s *service) StreamingOutputCall(q *testpb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	seed := md.Get(seedKey)
	if len(seed) == 0 {
		return s.TestServiceServer.StreamingOutputCall(q, stream)
	}
	source, sum := bytesOf(seed[0]), sha256.New()
	var longest time.Duration
	for _, p := range q.GetResponseParameters() {
		b := make([]byte, p.GetSize()) // its own: the message may be held until it is sent
		source.Read(b)                 // never fails
		sum.Write(b)
		began := time.Now()
		if err := stream.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: b}}); err != nil {
			return err
		}
		longest = max(longest, time.Since(began))
	}
	stream.SetTrailer(metadata.Pairs(sumKey, hex.EncodeToString(sum.Sum(nil)), stalledKey, longest.String()))
	return nil
}

// transfer is what "box bulk" prints.
type transfer struct {
	Bytes   int     `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Stalled float64 `json:"stalled"` // seconds for which the server could not send, at the longest
}

// bulk moves bytes on one stream, one way, and compares the checksums of both sides.
func bulk(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("bulk", flag.ContinueOnError)
	target := fs.String("target", "", "HOST:PORT of the server")
	size := fs.Int("bytes", 1<<30, "bytes to move, whole MiB")
	down := fs.Bool("down", false, "from the server to the client")
	pause := fs.Duration("pause", 0, "with --down: stop reading for that time after a quarter")
	if err := fs.Parse(args); err != nil {
		return err
	}
	cc, err := grpc.NewClient("passthrough:///"+*target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return err
	}
	defer cc.Close()
	began := time.Now()
	t := transfer{Bytes: *size / piece * piece}
	move := upload
	if *down {
		move = func(ctx context.Context, c testpb.TestServiceClient, n int) (metadata.MD, string, error) {
			return download(ctx, c, n, *pause)
		}
	}
	trailer, sum, err := move(ctx, testpb.NewTestServiceClient(cc), *size/piece)
	if err != nil {
		return err
	}
	if theirs := trailer.Get(sumKey); len(theirs) != 1 || theirs[0] != sum {
		return fmt.Errorf("the server's checksum is %q, the client's %s", theirs, sum)
	}
	if s := trailer.Get(stalledKey); len(s) == 1 {
		d, err := time.ParseDuration(s[0])
		if err != nil {
			return err
		}
		t.Stalled = d.Seconds()
	}
	t.Seconds = time.Since(began).Seconds()
	return printJSON(out, t)
}

func upload(ctx context.Context, c testpb.TestServiceClient, pieces int) (metadata.MD, string, error) {
	stream, err := c.StreamingInputCall(ctx)
	if err != nil {
		return nil, "", err
	}
	source, sum := bytesOf("up"), sha256.New()
	for range pieces {
		b := make([]byte, piece)
		source.Read(b)
		sum.Write(b)
		if err := stream.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: b}}); errors.Is(err, io.EOF) {
			break // CloseAndRecv has the reason
		} else if err != nil {
			return nil, "", err
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		return nil, "", err
	}
	return stream.Trailer(), hex.EncodeToString(sum.Sum(nil)), nil
}

func download(ctx context.Context, c testpb.TestServiceClient, pieces int, pause time.Duration) (metadata.MD, string, error) {
	q := &testpb.StreamingOutputCallRequest{}
	for range pieces {
		q.ResponseParameters = append(q.ResponseParameters, &testpb.ResponseParameters{Size: piece})
	}
	stream, err := c.StreamingOutputCall(metadata.AppendToOutgoingContext(ctx, seedKey, "down"), q)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.New()
	for i := 0; ; i++ {
		if i == pieces/4 {
			time.Sleep(pause)
		}
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.Trailer(), hex.EncodeToString(sum.Sum(nil)), nil
		}
		if err != nil {
			return nil, "", err
		}
		sum.Write(m.GetPayload().GetBody())
	}
}
