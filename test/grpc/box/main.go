// Command box is the gRPC application of the tests, on grpc-go: a server that names its pod and a client with one channel. It is in a
// module of its own, so that the product's modules do not depend on gRPC. The service is grpc.testing.TestService, whose messages
// grpc-go's interop tests have; health and reflection are served beside it.
//
//	box serve --address :9090 --pod NAME     see serve.go
//	box load --target HOST:PORT --rate 200   calls at a rate and sums up; see load.go
//	box turns --targets HOST:PORT,HOST:PORT  calls to these as standard input says; see turns.go
//	box bulk --target HOST:PORT --down       many bytes on one stream, with a checksum; see bulk.go
//	box hold --target HOST:PORT --for 1m     one stream for a long time; see hold.go
//
// Clients print JSON and end with 1 when they failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// A command gets a context that ends with SIGINT or SIGTERM.
type command func(ctx context.Context, args []string, out io.Writer) error

var commands = map[string]command{"serve": serve, "load": load, "turns": turns, "bulk": bulk, "hold": hold}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: box serve|load|turns|bulk|hold [flags]; each has --help")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := commands[os.Args[1]](ctx, os.Args[2:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "box "+os.Args[1]+":", err)
		os.Exit(1)
	}
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
