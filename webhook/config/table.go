package config

import (
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	initconfig "github.com/sluice-mesh/sluice/initcontainer/config"
)

// setting is one name of an injected pod's settings: annotation, flag and environment all come from it.
type setting struct {
	name string                        // without Prefix; the flag's name behind "inject-"
	help string                        // what it is, and what is allowed
	set  func(*Settings, string) error // the error has the value and what is allowed
	get  func(*Settings) string        // the value as set would read it
}

// row makes a setting of a field, its parser and its text.
func row[T any](name, help string, at func(*Settings) *T, parse func(string) (T, error), text func(T) string) setting {
	return setting{name, help,
		func(s *Settings, value string) error {
			v, err := parse(value)
			if err == nil {
				*at(s) = v
			}
			return err
		},
		func(s *Settings) string { return text(*at(s)) }}
}

// settings is every name there is, in the order of the documentation. The init container's have its names and parsers.
var settings = []setting{
	row(initconfig.FlagExcludePorts, "TCP destination ports that are not redirected: ports and ranges, 25,8000-8010",
		func(s *Settings) *[]initconfig.Ports { return &s.Init.ExcludePorts }, initconfig.ParsePorts, join),
	row(initconfig.FlagExcludeCIDRs, "destinations that are not redirected: addresses and CIDRs, 10.96.7.7,fd00:96::/112",
		func(s *Settings) *[]netip.Prefix { return &s.Init.ExcludeCIDRs }, initconfig.ParsePrefixes, join),
	row(initconfig.FlagExcludeUIDs, "users of the pod whose traffic is not redirected: user IDs and ranges, 0,1000-1999",
		func(s *Settings) *[]initconfig.UIDs { return &s.Init.ExcludeUIDs }, initconfig.ParseUIDs, join),
	row(initconfig.FlagExcludeDNS, "leave TCP port 53 alone: true or false",
		func(s *Settings) *bool { return &s.Init.ExcludeDNS }, initconfig.ParseBool, strconv.FormatBool),
	row(initconfig.FlagExcludeAPIServer, "leave the API server's ClusterIP alone: true or false",
		func(s *Settings) *bool { return &s.Init.ExcludeAPIServer }, initconfig.ParseBool, strconv.FormatBool),
	row(initconfig.FlagRedirectCIDRs, "destinations that are redirected: CIDRs; empty: the cluster's ServiceCIDRs",
		func(s *Settings) *[]netip.Prefix { return &s.Init.RedirectCIDRs }, initconfig.ParsePrefixes, join),
	row(initconfig.FlagIptablesMode, "auto, nft or legacy; with nft the init container goes without NET_RAW",
		func(s *Settings) *initconfig.Mode { return &s.Init.IptablesMode }, initconfig.ParseMode, text),
	row(initconfig.FlagIPv6, "what to do about IPv6: auto, off or on",
		func(s *Settings) *initconfig.IPv6 { return &s.Init.IPv6 }, initconfig.ParseIPv6, text),
	row("native-sidecar", "whether the proxy is a native sidecar: auto, on or off",
		func(s *Settings) *NativeMode { return &s.NativeSidecar }, oneOf(nativeModes...), text),
	row("log-level", "the proxy's: debug, info, warn or error",
		func(s *Settings) *string { return &s.LogLevel }, oneOf(logLevels...), text),
	row("proxy-loops", "event loops of the proxy: 0 to 64; 0 is one for each CPU it may use, two at most",
		func(s *Settings) *int { return &s.Loops }, parseLoops, strconv.Itoa),
	row("proxy-max-connections", "connections of the application that the proxy serves at a time: 0 to 1000000; 0 is as many as it has descriptors for",
		func(s *Settings) *int { return &s.MaxConnections }, parseMost, strconv.Itoa),
	row("proxy-max-requests", "requests and HTTP/2 streams that may be under way in the proxy at a time: 0 to 1000000; 0 is without limit",
		func(s *Settings) *int { return &s.MaxRequests }, parseMost, strconv.Itoa),
	row("proxy-max-pending", "requests that may wait in the proxy at a time: 0 to 1000000; 0 leaves it to the proxy",
		func(s *Settings) *int { return &s.MaxPending }, parseMost, strconv.Itoa),
	row("proxy-max-streams", "HTTP/2 streams the application may have open at a time on one connection: 0 to 100000; 0 leaves it at 1000",
		func(s *Settings) *int { return &s.MaxStreams }, parseStreams, strconv.Itoa),
	row("pprof", "profiling on the proxy's admin port: true or false",
		func(s *Settings) *bool { return &s.PProf }, initconfig.ParseBool, strconv.FormatBool),
	row("proxy-image", "image of the proxy and the init container",
		func(s *Settings) *string { return &s.Image }, parseImage, text),
	row("image-pull-policy", "their pull policy: Always, IfNotPresent or Never",
		func(s *Settings) *corev1.PullPolicy { return &s.ImagePullPolicy }, oneOf(pullPolicies...), text),
	row("proxy-cpu-request", "CPU the proxy asks for: a quantity, 50m, or none",
		func(s *Settings) **resource.Quantity { return &s.CPURequest }, parseQuantity, quantityText),
	row("proxy-cpu-limit", "CPU the proxy may use: a quantity, 2, or none",
		func(s *Settings) **resource.Quantity { return &s.CPULimit }, parseQuantity, quantityText),
	row("proxy-memory-request", "bytes of memory the proxy asks for: a quantity, 64Mi, or none",
		func(s *Settings) **resource.Quantity { return &s.MemoryRequest }, parseQuantity, quantityText),
	row("proxy-memory-limit", "bytes of memory the proxy may use: a quantity, 256Mi, or none",
		func(s *Settings) **resource.Quantity { return &s.MemoryLimit }, parseQuantity, quantityText),
	row(initconfig.FlagProxyPort, "loopback port where redirected connections arrive",
		func(s *Settings) *uint16 { return &s.Init.ProxyPort }, initconfig.ParsePort, portText),
	row("health-port", "port of /livez, /readyz and /metrics, on all addresses",
		func(s *Settings) *uint16 { return &s.HealthPort }, initconfig.ParsePort, portText),
	row("admin-port", "loopback port of the rest of the admin interface",
		func(s *Settings) *uint16 { return &s.AdminPort }, initconfig.ParsePort, portText),
}

func text[T ~string](v T) string { return string(v) }

func portText(port uint16) string { return strconv.Itoa(int(port)) }

func quantityText(q *resource.Quantity) string {
	if q == nil {
		return "none"
	}
	return q.String()
}
