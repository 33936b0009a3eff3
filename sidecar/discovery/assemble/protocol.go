package assemble

import (
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// appProtocols are the values of a Service port's appProtocol that say something of the bytes: the names of KEP-1422
// (IANA service names) and of KEP-3726 (kubernetes.io/…).
var appProtocols = map[string]cluster.Protocol{
	"http":              cluster.HTTP1,
	"kubernetes.io/ws":  cluster.HTTP1,
	"kubernetes.io/h2c": cluster.HTTP2,
	"grpc":              cluster.HTTP2,
	"https":             cluster.TLS,
	"tls":               cluster.TLS,
	"kubernetes.io/wss": cluster.TLS,
	"tcp":               cluster.Opaque,
}

// portNames are the names, or first parts of names before a hyphen, by which a port declares its protocol. This is how
// it was done before appProtocol. Of the databases and queues only those are here whose server speaks first or
// that everybody knows: an opaque connection need not wait for the client's first bytes.
var portNames = map[string]cluster.Protocol{
	"http":       cluster.HTTP1,
	"http2":      cluster.HTTP2,
	"h2c":        cluster.HTTP2,
	"grpc":       cluster.HTTP2,
	"https":      cluster.TLS,
	"tls":        cluster.TLS,
	"tcp":        cluster.Opaque,
	"amqp":       cluster.Opaque,
	"ftp":        cluster.Opaque,
	"imap":       cluster.Opaque,
	"kafka":      cluster.Opaque,
	"mariadb":    cluster.Opaque,
	"memcached":  cluster.Opaque,
	"mongo":      cluster.Opaque,
	"mongodb":    cluster.Opaque,
	"mysql":      cluster.Opaque,
	"nats":       cluster.Opaque,
	"pop3":       cluster.Opaque,
	"postgres":   cluster.Opaque,
	"postgresql": cluster.Opaque,
	"redis":      cluster.Opaque,
	"smtp":       cluster.Opaque,
	"ssh":        cluster.Opaque,
}

// ProtocolOf answers what a Service port declares. appProtocol, if it is set, is the only declaration: a value that is not
// known here leaves the answer to the first bytes, even where the port's name has a known prefix.
func ProtocolOf(appProtocol *string, portName string) cluster.Protocol {
	if appProtocol != nil && *appProtocol != "" {
		return appProtocols[strings.ToLower(*appProtocol)]
	}
	// grpc-web is gRPC's bytes in HTTP/1.1 or HTTP/2 requests of a browser.
	if portName == "grpc-web" || strings.HasPrefix(portName, "grpc-web-") {
		return cluster.Undeclared
	}
	prefix, _, _ := strings.Cut(portName, "-")
	return portNames[prefix]
}
