package admit

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the admission counters.
type Metrics struct {
	decisions  *prometheus.CounterVec
	services   *prometheus.CounterVec
	configMaps *prometheus.CounterVec
}

// NewMetrics makes and registers them. Dry runs are not counted.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_decisions_total",
			Help: "Pods by what became of them (inject, skip, refuse) and why.",
		}, []string{"decision", "reason"}),
		services: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_services_total",
			Help: "Services with annotations of Sluice by what became of them (allow, refuse).",
		}, []string{"decision"}),
		configMaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_configmaps_total",
			Help: "ConfigMaps that are tables of Services by what became of them (allow, refuse).",
		}, []string{"decision"}),
	}
	registry.MustRegister(m.decisions, m.services, m.configMaps)
	return m
}
