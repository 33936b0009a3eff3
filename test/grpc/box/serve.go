package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // clients of the tests compress
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
)

const (
	podKey     = "x-pod"     // header of every answer: the name of the pod
	sumKey     = "x-sha256"  // trailer of a bulk stream, in hex: what the server sent or received
	seedKey    = "x-seed"    // metadata of a bulk download: what the bytes are made of
	stalledKey = "x-stalled" // trailer of a bulk download: the longest time for which the server could not send
)

// maxMessage is the largest message either side takes, above what the clients of the tests send.
const maxMessage = 64 << 20

// serve serves until the context ends, then finishes what runs, for drain at most.
func serve(ctx context.Context, args []string, _ io.Writer) error {
	hostname, _ := os.Hostname() // a host without a name is an empty name here
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	address := fs.String("address", ":9090", "where to listen")
	pod := fs.String("pod", cmp.Or(os.Getenv("POD_NAME"), hostname), "name to answer with, also POD_NAME")
	age := fs.Duration("max-connection-age", 0, "GOAWAY after this time; 0 is never")
	grace := fs.Duration("max-connection-age-grace", 0, "close after that many more; 0 is never")
	ping := fs.Duration("min-ping", 0, "shortest time between a client's pings; 0 is grpc-go's default, 5 minutes")
	drain := fs.Duration("drain", 10*time.Second, "longest time to finish what runs")
	if err := fs.Parse(args); err != nil {
		return err
	}
	l, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: *age, MaxConnectionAgeGrace: *grace}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: *ping, PermitWithoutStream: *ping > 0}),
		grpc.UnaryInterceptor(func(ctx context.Context, q any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			grpc.SetHeader(ctx, metadata.Pairs(podKey, *pod)) // fails only once the header is sent
			return h(ctx, q)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			s.SetHeader(metadata.Pairs(podKey, *pod))
			return h(srv, s)
		}))
	testpb.RegisterTestServiceServer(s, &service{TestServiceServer: interop.NewTestServer()})
	alive := health.NewServer()
	alive.SetServingStatus("grpc.testing.TestService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s, alive)
	reflection.Register(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	alive.Shutdown()
	late := time.AfterFunc(*drain, s.Stop)
	defer late.Stop()
	s.GracefulStop()
	return <-ended
}

// service is that of grpc-go's interop server; streams of bulk are its own.
type service struct{ testpb.TestServiceServer }
