package sidecar

import (
	"log/slog"

	"github.com/sluice-mesh/sluice/sidecar/config"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/discovery/files"
	"github.com/sluice-mesh/sluice/sidecar/discovery/kube"
)

func newResolver(s *config.Settings, loops int, log *slog.Logger) (discovery.Resolver, error) {
	if s.Discovery == "files" {
		return files.New(files.Options{Dir: s.Manifests, Loops: loops, Node: s.NodeName, Zone: s.Zone, Log: log})
	}
	c, err := kube.Config(s.Kubeconfig, "")
	if err != nil {
		return nil, err
	}
	return kube.New(kube.Options{Config: c, Loops: loops, Node: s.NodeName, Zone: s.Zone, Log: log, ResolveTimeout: s.ResolveTimeout,
		IdleAfter: s.TargetIdle})
}
