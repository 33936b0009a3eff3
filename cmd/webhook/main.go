// Command webhook adds Sluice's proxy to pods of opted-in namespaces; see webhook/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	clusterconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/sluice-mesh/sluice/webhook"
	"github.com/sluice-mesh/sluice/webhook/config"
)

func main() { os.Exit(run()) }

// run answers the exit status: 0 done, 1 failed, 2 wrong settings.
func run() int {
	options, err := config.ParseOptions(os.Args[1:], os.LookupEnv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webhook:", err)
		return 2
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: options.LogLevel}))
	slog.SetDefault(log) // what libraries print by package log
	cluster, err := clusterconfig.GetConfig()
	if err != nil {
		log.Error("no cluster: neither in a pod nor by KUBECONFIG", "error", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := webhook.Run(ctx, cluster, options, log); err != nil {
		log.Error("webhook ends", "error", err)
		return 1
	}
	return 0
}
