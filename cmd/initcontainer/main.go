// Command initcontainer makes a pod's TCP connections to Service addresses arrive at the Sluice proxy; see --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-mesh/sluice/initcontainer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(initcontainer.Run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
