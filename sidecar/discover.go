package sidecar

import (
	"log/slog"

	"github.com/sluice-mesh/sluice/sidecar/config"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/discovery/files"
)

func newResolver(s *config.Settings, loops int, log *slog.Logger) (discovery.Resolver, error) {
	return files.New(files.Options{Dir: s.Manifests, Loops: loops, Log: log})
}
