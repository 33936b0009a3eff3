package metrics

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// described is what a descriptor says. Its package has no other way to ask.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "([^"]*)", unit: "", constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// TestReference: docs/metrics.md is what the descriptors say.
func TestReference(t *testing.T) {
	const file = "../../docs/metrics.md"
	want := reference(t)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the descriptors say (%v; make golden writes it)", file, err)
	}
}

// reference writes the page.
func reference(t *testing.T) string {
	ch := make(chan *prometheus.Desc, 100)
	New(1, Words{}).Collector(Sources{}).Describe(ch)
	close(ch)
	var rows []string
	for d := range ch {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%v cannot be read", d)
		}
		labels := "–"
		if m[3] != "" {
			labels = "`" + strings.ReplaceAll(m[3], ",", "`, `") + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], labels, m[2]))
	}
	sort.Strings(rows)
	words := func(w []string) string { return "`" + strings.Join(w, "`, `") + "`" }
	return `# Metrics of the sidecar

<!-- Written by "make golden" from the descriptors in sidecar/metrics. Change them there. -->

` + "`/metrics`" + ` on the health port (15302 unless told otherwise) is a page for Prometheus. Names that end in _total are counters;
sluice_loop_turn_seconds is a histogram; the rest are gauges. Series of things that never happened are mostly left out. Besides these there are
those of Go's runtime and of the process. Those of the webhook are in [webhook/README.md](../webhook/README.md).

The series of a Service port go from the page once no connection has used it for an hour. When the pod calls it again they begin at 0, which Prometheus
takes for the restart of a counter: rate() and increase() go on.

| metric | labels | what is counted |
|---|---|---|
` + strings.Join(rows, "") + `
What some labels say:

| label | values |
|---|---|
| ` + "`service`" + ` | namespace/name:port of a Service that this pod calls, or has called within the last hour; ` + "`" + `unknown` + "`" + ` are destinations without one |
| ` + "`choice`" + ` | ` + words(choiceNames[:]) + `: for the first attempt, for a further one, or the original destination where there was none to pick |
| ` + "`outcome`, `reason`" + ` of attempts and retries | see ` + "`sidecar/classify`" + `: how the attempt ended |
| ` + "`winner`" + ` | ` + "`first`, `further`" + `: which attempt was answered first |
| ` + "`limit`" + ` | of timeouts ` + "`attempt`, `request`" + `; of limits ` + words(limitNames[:]) + `; of the process ` + words(processLimitNames[:]) + ` |
| ` + "`reason`" + ` of HTTP/2 violations | ` + words(violations()) + ` |
| ` + "`decision`" + ` | ` + words(decisionNames[:]) + ` |
| ` + "`turn`" + ` | ` + words(turnNames[:]) + ` |
| ` + "`session`" + ` | ` + words(sessionNames[:]) + ` |
| ` + "`grpc_status`" + ` | gRPC's own names; what the endpoint said, or what we said in its place |
| ` + "`side`" + ` | whose rule-breaking ended an HTTP/2 connection: ` + "`downstream`" + ` an application's, ` + "`upstream`" + ` an endpoint's |
`
}

// violations answers the words of frame's reasons.
func violations() (all []string) {
	for r := frame.NoReason + 1; r < frame.Reasons; r++ {
		all = append(all, r.String())
	}
	return all
}
