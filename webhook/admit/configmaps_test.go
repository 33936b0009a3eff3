package admit

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// tables is the namespace shop, whose Services have their shard-map by their names.
type tables struct {
	services map[string]string
	err      error
	asked    int
	within   time.Duration
}

func (t *tables) Tables(ctx context.Context, namespace, configMap string) (map[string]config.ShardTable, error) {
	t.asked++
	if deadline, ok := ctx.Deadline(); ok {
		t.within = time.Until(deadline)
	}
	if t.services["panic"] != "" {
		panic("a mistake of ours")
	}
	found := map[string]config.ShardTable{}
	for service, kind := range t.services {
		if namespace == "shop" && configMap == "owners" {
			found[service] = config.ShardTableOf(map[string]string{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-map": kind,
				"sluice.mesh/shard-lookup": "owners"})
		}
	}
	return found, t.err
}

// object is the JSON of a ConfigMap with something in its metadata.
func object(metadata string, data map[string]string) string {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owners"` + metadata + `},"newField":[1],"data":` + string(b) + `}`
}

func TestConfigMaps(t *testing.T) {
	type m = map[string]string
	right, wrong, otherwise := m{"acme": "orders-1"}, m{"acme": "orders 1"}, m{"acme": "orders-1", "b": ""}
	orders := m{"orders": "lookup"}
	const create, update = admissionv1.Create, admissionv1.Update
	// As sluicectl check says it (its TestTables).
	const begin = "sluice: ConfigMap shop/owners: the table of Service shop/orders (sluice.mesh/shard-map: lookup): "
	const said = begin + `entry "acme": owner "orders 1": want a pod's name or an ordinal`
	for _, c := range []struct {
		name      string
		services  m
		err       error
		operation admissionv1.Operation
		now, old  string
		change    func(*admission.Request)
		refused   string // "" is allowed
		warnings  []string
		counted   string
	}{
		{name: "right", services: orders, operation: create, now: object("", right), counted: "allow"},
		{name: "empty", services: orders, operation: create, now: object("", nil), counted: "allow"},
		{name: "wrong", services: orders, operation: create, now: object("", wrong), refused: said, counted: "refuse"},
		{name: "wrong, and nobody's", operation: create, now: object("", wrong)},
		{name: "another's", services: orders, operation: create, now: object("", wrong), change: func(r *admission.Request) { r.Name = "settings" }},
		{name: "of another namespace", services: orders, operation: create, now: object("", wrong), change: func(r *admission.Request) { r.Namespace = "web" }},
		{name: "without a name yet", services: orders, operation: create, now: object("", wrong), change: func(r *admission.Request) { r.Name = "" }},
		{name: "right becomes wrong", services: orders, operation: update, now: object("", wrong), old: object("", right), refused: said, counted: "refuse"},
		{name: "wrong becomes right", services: orders, operation: update, now: object("", right), old: object("", wrong), counted: "allow"},
		{name: "wrong as before, with a label", services: orders, operation: update, now: object(`,"labels":{"a":"b"}`, wrong), old: object("", wrong),
			counted: "allow"},
		{name: "another change beside a mistake that was there", services: orders, operation: update, now: object("", m{"acme": "orders 1", "z": "2"}),
			old: object("", wrong), warnings: []string{said}, counted: "allow"},
		{name: "another mistake than before", services: orders, operation: update, now: object("", otherwise), old: object("", wrong),
			warnings: []string{begin + `entry "b": owner "": want a pod's name or an ordinal`}, counted: "allow"},
		{name: "the old one cannot be read", services: orders, operation: update, now: object("", wrong), old: `{"data":7}`, refused: said, counted: "refuse"},
		{name: "for two Services that read it in the same way, once", services: m{"orders": "lookup", "twin": "lookup"}, operation: create,
			now: object("", wrong), refused: said, counted: "refuse"},
		{name: "for two Services that read it in different ways", services: m{"orders": "lookup", "places": "s2"}, operation: create, now: object("", wrong),
			refused: said + "\n" + `the table of Service shop/places (sluice.mesh/shard-map: s2): entry "acme": owner "orders 1": want a pod's name or an ordinal`,
			counted: "refuse"},
		{name: "right for one of two Services", services: m{"orders": "lookup", "places": "s2"}, operation: create, now: object("", right),
			refused: `sluice: ConfigMap shop/owners: the table of Service shop/places (sluice.mesh/shard-map: s2): entry "acme": key "acme" is no token of an S2 cell`,
			counted: "refuse"},
		{name: "an old mistake for one and a new one for the other", services: m{"orders": "lookup", "places": "s2"}, operation: update,
			now: object("", otherwise), old: object("", right), refused: begin + `entry "b": owner "": want a pod's name or an ordinal`, counted: "refuse",
			warnings: []string{`sluice: ConfigMap shop/owners: the table of Service shop/places (sluice.mesh/shard-map: s2): entry "acme": key "acme" is no token of an S2 cell`}},
		{name: "being deleted", services: orders, operation: update, now: object(`,"deletionTimestamp":"2026-01-02T03:04:05Z"`, wrong), old: object("", right),
			counted: "allow"},
		{name: "a dry run is answered alike", services: orders, operation: create, now: object("", wrong), refused: said,
			change: func(r *admission.Request) { yes := true; r.DryRun = &yes }},
		{name: "a dry run of a right one", services: orders, operation: create, now: object("", right),
			change: func(r *admission.Request) { yes := true; r.DryRun = &yes }},
		{name: "Services cannot be listed", services: orders, err: errors.New("not yet"), operation: create, now: object("", wrong)},
		{name: "what we cannot read is not ours to stop", services: orders, operation: create, now: `{"data":{"acme":7}}`},
		{name: "nothing", services: orders, operation: create, now: ""},
		{name: "a panic", services: m{"panic": "lookup"}, operation: create, now: object("", wrong)},
		{name: "a Secret", services: orders, operation: create, now: object("", wrong), change: func(r *admission.Request) { r.Resource.Resource = "secrets" }},
		{name: "a part of one", services: orders, operation: create, now: object("", wrong), change: func(r *admission.Request) { r.SubResource = "status" }},
		{name: "its end", services: orders, operation: admissionv1.Delete, old: object("", wrong)},
	} {
		t.Run(c.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			known := &tables{services: c.services, err: c.err}
			handler := &ConfigMaps{Tables: known, Metrics: NewMetrics(registry), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
			r := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{UID: "1", Namespace: "shop", Name: "owners", Operation: c.operation,
				Resource: configMapResource, Object: runtime.RawExtension{Raw: []byte(c.now)}, OldObject: runtime.RawExtension{Raw: []byte(c.old)}}}
			if c.change != nil {
				c.change(&r)
			}
			response := handler.Handle(context.Background(), r)
			if response.Allowed != (c.refused == "") || response.Result.Message != c.refused || !slices.Equal(response.Warnings, c.warnings) {
				t.Errorf("allowed %v, %q, warnings %q; want %q, warnings %q", response.Allowed, response.Result.Message, response.Warnings, c.refused, c.warnings)
			}
			if got := counted(t, registry); got != c.counted {
				t.Errorf("counted as %q, want %q", got, c.counted)
			}
			if known.asked > 0 && (known.within <= 0 || known.within > tableTimeout) {
				t.Errorf("asked within %v, want %v", known.within, tableTimeout)
			}
		})
	}
}

// A refusal names the beginning of a long mistake only, and a warning is a line without control characters: API servers leave out others.
func TestAnswersAboutTablesAreShort(t *testing.T) {
	handler := &ConfigMaps{Tables: &tables{services: map[string]string{"orders": "lookup"}}, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	wrong := map[string]string{"acme": strings.Repeat("a\n\x01", 300000)}
	r := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Namespace: "shop", Name: "owners", Operation: admissionv1.Create,
		Resource: configMapResource, Object: runtime.RawExtension{Raw: []byte(object("", wrong))}}}
	response := handler.Handle(context.Background(), r)
	if response.Allowed || len(response.Result.Message) > 400 {
		t.Errorf("%.500q", response.Result.Message)
	}
	r.Operation, r.OldObject = admissionv1.Update, r.Object
	wrong["b"] = "1"
	r.Object.Raw = []byte(object("", wrong))
	response = handler.Handle(context.Background(), r)
	if !response.Allowed || len(response.Warnings) != 1 || len(response.Warnings[0]) > 400 || strings.ContainsAny(response.Warnings[0], "\n\x01") {
		t.Errorf("%v, %.500q", response.Allowed, response.Warnings)
	}
}
