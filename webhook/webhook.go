package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/access"
	"github.com/sluice-mesh/sluice/webhook/admit"
	"github.com/sluice-mesh/sluice/webhook/certs"
	"github.com/sluice-mesh/sluice/webhook/config"
	"github.com/sluice-mesh/sluice/webhook/facts"
	"github.com/sluice-mesh/sluice/webhook/inject"
	"github.com/sluice-mesh/sluice/webhook/report"
)

// PodsPath, ServicesPath and ConfigMapsPath are where the webhook configurations send their requests.
const (
	PodsPath       = "/pods"
	ServicesPath   = "/services"
	ConfigMapsPath = "/configmaps"
)

// ConfigMaps are checked a few at a time: a review has 7 MiB at most, and 4 such at a time were seen to take 100 MiB, of the 256 MiB of the
// webhook's container. A second is half the time that the API server waits for us.
const (
	configMapsAtATime = 4
	configMapsWait    = time.Second
)

// Run runs the webhook until ctx ends, and for o.ShutdownDelay after it: API servers go on sending requests for a
// moment to a pod that was told to end. The error says what could not be started, or which part failed.
func Run(ctx context.Context, cluster *rest.Config, o config.Options, log *slog.Logger) error {
	ctrl.SetLogger(logr.FromSlogHandler(demoted{log.Handler()}))
	klog.SetSlogLogger(slog.New(demoted{log.Handler()}))

	serving := make(chan struct{}) // closed when serving is over
	tail, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
			log.Info("told to end; serving on", "for", o.ShutdownDelay.String())
			select {
			case <-time.After(o.ShutdownDelay):
			case <-serving:
			}
			cancel()
		case <-serving:
		}
	}()
	defer close(serving)
	return run(tail, cluster, o, log)
}

func run(ctx context.Context, cluster *rest.Config, o config.Options, log *slog.Logger) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	secret := types.NamespacedName{Namespace: o.Namespace, Name: o.Secret}
	var leaf *certs.Server // made below; the server asks when it is called
	tlsServer := webhook.NewServer(webhook.Options{Port: o.TLSPort, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion, c.GetCertificate = tls.VersionTLS13, leaf.GetCertificate
	}}})
	manager, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cacheOptions(o),
		LeaderElection:                true,
		LeaderElectionID:              "sluice-webhook",
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true, // main ends when Run does
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.HealthAddress,
		LivenessEndpointName:          "/livez",
		WebhookServer:                 tlsServer,
	})
	if err != nil {
		return err
	}
	live, err := client.New(cluster, client.Options{Scheme: scheme, Mapper: manager.GetRESTMapper(),
		HTTPClient: manager.GetHTTPClient()})
	if err != nil {
		return err
	}
	kinds, err := discovery.NewDiscoveryClientForConfigAndClient(cluster, manager.GetHTTPClient())
	if err != nil {
		return err
	}
	if o.Inject.Image == "" {
		if o.Inject.Image, err = ownImage(ctx, live, o); err != nil {
			return err
		}
	}
	log.Info("image of injected pods", "image", o.Inject.Image)

	known := &facts.Facts{Cache: manager.GetCache(), Live: live, Version: kinds, Served: kinds, Given: o.ServiceCIDRs, Log: log}
	reader := &access.Controller{Cache: manager.GetCache(), Live: live, Log: log}
	leaf = certs.NewServer(manager.GetCache(), metrics.Registry, log)
	rotation := &certs.Controller{Client: live, Secret: secret, Configuration: o.Configuration,
		Service: types.NamespacedName{Namespace: o.Namespace, Name: o.Service}, Now: time.Now, Log: log,
		Policy: certs.Policy{Names: serviceNames(o), CALifetime: o.CALifetime, LeafLifetime: o.LeafLifetime, Settle: o.CertSettle}}

	admissions := admit.NewMetrics(metrics.Registry)
	pods := &admit.Pods{Defaults: o.Inject, IgnorePodSecurity: !o.PodSecurity, Decoder: admission.NewDecoder(scheme),
		Facts: known, Access: reader, Events: manager.GetEventRecorder("sluice-webhook"), Metrics: admissions, Log: log}
	server := manager.GetWebhookServer() // which is what makes the manager start it
	server.Register(PodsPath, &webhook.Admission{Handler: pods})
	server.Register(ServicesPath, &webhook.Admission{Handler: &admit.Services{ConfigMaps: known, Metrics: admissions, Log: log}})
	server.Register(ConfigMapsPath, newFew(configMapsAtATime, configMapsWait,
		&webhook.Admission{Handler: &admit.ConfigMaps{Tables: known, Metrics: admissions, Log: log}}))

	missed := report.New(metrics.Registry)
	missed.Cache, missed.Live, missed.Interval, missed.Log = manager.GetCache(), live, o.ReportInterval, log
	missed.Events = manager.GetEventRecorder("sluice-webhook")
	missed.Needs = func(ctx context.Context, pod *corev1.Pod) (inject.Decision, error) {
		_, decision, err := pods.Decide(ctx, pod.Namespace, pod)
		return decision, err
	}

	readiness := &ready{log: log, parts: []func(*http.Request) error{
		func(*http.Request) error { return leaf.Ready() },
		func(r *http.Request) error { return known.Ready(r.Context()) },
		server.StartedChecker(),
	}}
	errs := []error{
		warm(ctx, manager),
		manager.Add(known),
		addServer(manager, leaf),
		addRotation(manager, rotation),
		addAccess(manager, reader),
		addShardMaps(manager, &access.ShardMaps{Cache: manager.GetCache(), Live: live, Log: log}),
		manager.AddHealthzCheck("alive", func(*http.Request) error { return nil }),
		manager.AddReadyzCheck("ready", readiness.check),
	}
	if o.ReportInterval > 0 {
		errs = append(errs, manager.Add(missed))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return manager.Start(ctx)
}

// serviceNames are what API servers call the webhook's Service; they use the first.
func serviceNames(o config.Options) []string {
	name := o.Service + "." + o.Namespace + ".svc"
	return []string{name, name + ".cluster.local"}
}

// ownImage answers the image that this program runs from, so that injected pods follow it however it was set.
func ownImage(ctx context.Context, live client.Reader, o config.Options) (string, error) {
	if o.PodName == "" {
		return "", errors.New("which image to inject is not known: set --inject-proxy-image, or --pod-name to take the " +
			"webhook's own")
	}
	var pod corev1.Pod
	if err := live.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: o.PodName}, &pod); err != nil {
		return "", fmt.Errorf("the webhook's own image: pod %s/%s: %w", o.Namespace, o.PodName, err)
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == "webhook" {
			return c.Image, nil
		}
	}
	return "", fmt.Errorf("the webhook's own image: pod %s/%s has no container named webhook", o.Namespace, o.PodName)
}
