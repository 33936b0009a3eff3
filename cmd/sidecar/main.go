// Command sidecar is the proxy beside an application. See --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-mesh/sluice/sidecar"
	"github.com/sluice-mesh/sluice/sidecar/config"
)

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) > 1 && os.Args[1] == "wait" {
		return sidecar.Wait(os.Args[2:], os.LookupEnv, os.Stderr)
	}
	s, err := config.Parse(os.Args[1:], os.LookupEnv, os.Stdout)
	if errors.Is(err, config.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sidecar:", err)
		return 2
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: s.LogLevel}))
	// The first signal drains, the second one cuts.
	stop, stopped := context.WithCancel(context.Background())
	kill, killed := context.WithCancel(context.Background())
	defer stopped()
	defer killed()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		stopped()
		<-signals
		killed()
	}()
	if err := sidecar.Run(stop, kill, s, log); err != nil {
		log.Error("sidecar failed", slog.Any("error", err))
		return 1
	}
	return 0
}
