package shard

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/discovery/files"
	"github.com/sluice-mesh/sluice/sidecar/discovery/kube"
)

// view is what a source knows of the Service.
type view struct {
	targets  []*discovery.Target
	problems func() []string
	end      func()
}

// look asks the source of a sidecar's discovery that the flags name.
func (s *settings) look(ctx context.Context, service string) (*view, error) {
	if s.manifests != "" {
		r, err := files.New(files.Options{Dir: s.manifests, Loops: 1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		status := r.Status()
		return &view{status.Targets, func() []string { return status.Problems }, func() {}}, nil
	}
	path := s.kubeconfig
	if path == "" && os.Getenv("KUBECONFIG") == "" {
		path = homeConfig()
	}
	config, err := kube.Config(path, "")
	if err != nil {
		return nil, err
	}
	r, err := kube.New(kube.Options{Config: config, Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		r.Run(running)
		close(ended)
	}()
	end := func() {
		stop()
		<-ended
	}
	name, _, _ := strings.Cut(service, ":")
	namespace, name, _ := strings.Cut(name, "/")
	targets, err := r.Follow(ctx, namespace, name)
	if err != nil {
		end()
		return nil, fmt.Errorf("the cluster: %w", err)
	}
	return &view{targets, func() []string { return r.Status().Problems }, end}, nil
}

// homeConfig answers where kubectl has its configuration, if it has one.
func homeConfig() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	path := filepath.Join(home, ".kube", "config")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}
