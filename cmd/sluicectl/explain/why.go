package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// proxyUser is whose connections are not redirected, unless the init container is told otherwise (--proxy-uid).
const proxyUser = 15301

// known is a Service port that the sidecar knows, as /clusters says.
type known struct {
	Name     string // namespace/name:port
	Protocol string
	Settings map[string]string
}

// why says why an answer may have no explanation, and what to do.
func (s *settings) why(ctx context.Context, to *url.URL) string {
	if s.user == proxyUser {
		return fmt.Sprintf("This program runs as user %d, which is the proxy's: its calls are not redirected. Run it as another "+
			`(kubectl debug --custom with {"securityContext": {"runAsUser": 1000}}).`, s.user)
	}
	if s.fields.Get("sluice-scatter") != "" {
		return "The list that a request to every pod is answered with has none: it says itself what each pod answered."
	}
	all, err := s.known(ctx)
	if err != nil {
		return fmt.Sprintf("No sidecar says why: %v. Without a sidecar in this pod the call was not redirected: is the pod injected? Where the sidecar's "+
			"admin port is another, --admin=127.0.0.1:PORT asks there. If there is one, %s", err, s.perhaps(""))
	}
	matching := slices.DeleteFunc(slices.Clone(all), func(k known) bool { return !k.isAt(to) })
	if len(matching) == 0 {
		return "The sidecar here knows no Service of that name and port, so the call may not have been redirected to it (the address is no Service's cluster IP " +
			"or is excluded); it knows: " + names(all) + ". If the Service is one of these, " + s.perhaps("")
	}
	k := matching[0]
	if len(matching) > 1 {
		return "The Service may be any of " + names(matching) + ": ask with its namespace in the name, such as http://NAME.NAMESPACE/, to be told why."
	}
	switch {
	case k.Protocol == "tcp" || k.Protocol == "tls":
		return fmt.Sprintf("Service %s is declared %s (appProtocol, or the name of its port): its bytes are passed on unread. A port of HTTP is declared http, "+
			"of HTTP/2 kubernetes.io/h2c or grpc.", k.Name, k.Protocol)
	case k.Settings[explainAnnotation] == "":
		return s.perhaps(k.Name)
	}
	return fmt.Sprintf("Service %s allows explanations (%s: %s), so the call has not come by this pod's sidecar, or passed it unread: is there another proxy, "+
		"or does no pod of the Service speak the protocol?", k.Name, explainAnnotation, k.Settings[explainAnnotation])
}

const explainAnnotation = rules.Prefix + "explain"

// perhaps says how a Service is made to allow it; without a name, that it may be so.
func (s *settings) perhaps(name string) string {
	if name == "" {
		return "the Service may not allow it: kubectl annotate service NAME " + explainAnnotation + "=header"
	}
	namespace, service, _ := strings.Cut(name, "/")
	service, _, _ = strings.Cut(service, ":")
	return fmt.Sprintf("Service %s does not allow it: kubectl annotate service -n %s %s %s=header", name, namespace, service, explainAnnotation)
}

// known asks the sidecar which Services it knows.
func (s *settings) known(ctx context.Context) ([]known, error) {
	// The time that the request had may be over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/clusters", nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var page struct{ Clusters []known }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil {
		return nil, fmt.Errorf("%s/clusters: %w", s.admin, err)
	}
	return page.Clusters, nil
}

// isAt reports whether the host of a URL may be the Service's name: orders, orders.shop, orders.shop.svc.…
func (k *known) isAt(to *url.URL) bool {
	namespace, service, _ := strings.Cut(k.Name, "/")
	service, port, _ := strings.Cut(service, ":")
	at := to.Port()
	if at == "" {
		at = "80"
	}
	host := to.Hostname()
	if _, err := netip.ParseAddr(host); err == nil || port != at {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	return labels[0] == service && (len(labels) == 1 || labels[1] == namespace)
}

func names(all []known) string {
	var list []string
	for _, k := range all {
		list = append(list, k.Name)
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, ", ")
}
