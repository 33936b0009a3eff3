package rules

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
)

// Prefix starts the name of every annotation of Sluice.
const Prefix = "sluice.mesh/"

// Rules are a Service's settings. Durations of 0 mean "none" and limits of 0 "no limit" unless a comment says otherwise.
// Whoever has a *Rules only reads it.
type Rules struct {
	// Policy is one of balancer.Policies.
	Policy string
	// Weights is what sluice.mesh/weights says; "" gives all endpoints the same.
	Weights string
	// SlowStart is the time in which a new endpoint's share grows to a full one; 0 gives it at once.
	SlowStart time.Duration
	Zone      Zone
	// PanicThreshold is a percentage: with fewer endpoints than that in good health, health is ignored. 0 never does.
	PanicThreshold int

	Retry    Retry
	HangRace HangRace
	// Hedge is how long an idempotent attempt may go without an answer's head before a second one is started elsewhere; 0 is off.
	Hedge time.Duration
	// PerTryTimeout bounds an attempt, from its first byte upstream to the answer's head.
	PerTryTimeout time.Duration
	// Timeout bounds the exchange, from the request's head to the answer's head, all attempts and waits included.
	Timeout time.Duration
	// ReplayLimit is how many bytes of a request's body are kept so that it can be sent again; 0 keeps none.
	ReplayLimit int
	// AttemptHeader names the request header that carries an attempt's number, from 1; "" is off.
	AttemptHeader string

	Ejection Ejection
	Limits   Limits

	Explain Explain
	// AccessLog is the share of exchanges that are logged, 0 to 1.
	AccessLog float64

	// MaxStreamAge is how long an HTTP/2 connection of the application lives before it is asked, by GOAWAY, to come again.
	MaxStreamAge time.Duration
	Headless     Headless

	Shard Shard
	// Scatter allows requests that ask to be sent to every endpoint (header sluice-scatter: all).
	Scatter bool
}

// Retry says when a request that failed is sent again, to an endpoint that has not had it but for Backoff. What was never sent is sent
// again in any case, as often as there are such endpoints, and costs no budget.
type Retry struct {
	// Most is how many further attempts an exchange may have that do cost budget.
	Most int
	// On are the outcomes after which an idempotent request is sent again.
	On Conditions
	// Idempotent are requests that the Service calls idempotent, besides those that are by their method (RFC 9110, section 9.2.2).
	Idempotent Requests
	// IdempotencyKey makes a request with the header Idempotency-Key count as idempotent.
	IdempotencyKey bool
	Budget         Budget
	Backoff        Backoff
}

// Budget has the fields of retry.Settings, so that one converts to the other: a retry budget's rates for one process.
type Budget struct {
	Ratio     float64 // retries for each request, a fraction
	PerSecond float64 // retries a second in any case
	Burst     float64 // retries saved up at most; what is there at the start
}

// Backoff is how long a request that was sent to every endpoint waits before it is sent to them once more: a random time up to Base,
// doubled each time up to Most. Zero does not send it.
type Backoff struct{ Base, Most time.Duration }

// HangRace says when an idempotent attempt without an answer's head is raced by one on another endpoint: after the larger of
// Floor and Factor × the Service's own p99.
type HangRace struct {
	On     bool
	Floor  time.Duration
	Factor float64
}

// Ejection says when an endpoint is taken out because of what it answers. (Failed connects make it suspect in any case.)
type Ejection struct {
	On bool
	// Errors is how many bad outcomes in a row eject an endpoint.
	Errors int
	// First is how long it is out at first; the time doubles with each further ejection, up to Most.
	First, Most time.Duration
}

// Limits bound what one proxy asks of a Service.
type Limits struct {
	Connections int // to one endpoint
	Requests    int // in flight to one endpoint
	// Pending is how many requests may wait while every endpoint is at its limit; 0 refuses them at once.
	Pending int
	// Queue is how long each of them waits at most.
	Queue time.Duration
}

// Shard says which endpoint owns a request's key. Without Key, nothing else of it counts but Cookie. Keys, Session and Spec answer
// its texts ready to be used.
type Shard struct {
	// Key is where the key is read from, as sluice.mesh/shard-key says it; "" is no affinity by key.
	Key string
	// Map is the function from keys to endpoints by name: "rendezvous", "ordinal", …
	Map string
	// Fallback says what happens while the owner cannot be used; FallbackWait bounds the wait of FallWait.
	Fallback     Fallback
	FallbackWait time.Duration
	// NoKey says what happens to a request without a key, Overflow to one whose body is too long to read the key from.
	NoKey, Overflow KeyMissing
	// Normalize is what is done to a key before it is hashed, as sluice.mesh/shard-normalize says it; "" is nothing.
	Normalize string
	// Serialize keeps each key to one request in flight from this proxy.
	Serialize bool
	// BoundedLoad is how many times the mean load an owner may have before a key goes on to the next; 0 is off, else above 1.
	BoundedLoad float64
	// Lookup names the ConfigMap of the maps lookup and prefix-lookup, and of s2 if it is to have one, in the Service's namespace.
	Lookup string
	// Cookie is the cookie that keeps a session at its pod, as sluice.mesh/shard-cookie says it; "" issues none. With Key it counts
	// for nothing.
	Cookie string

	ready *ready // nil where it was not read yet
}

// Default answers the rules of a Service without annotations.
func Default() *Rules {
	return &Rules{
		Policy:         balancer.Default,
		PanicThreshold: 50, // as in Envoy: half the endpoints cannot be all to blame
		Retry: Retry{
			Most: 2,
			On:   OnReset | On500 | On502 | On503 | On504 | OnUnavailable | OnResourceExhausted,
			// DESIGN section 5; the burst covers a busy pod that begins to fail: its requests in flight.
			Budget: Budget{Ratio: 0.2, PerSecond: 10, Burst: 100},
		},
		HangRace:    HangRace{On: true, Floor: time.Second, Factor: 10},
		ReplayLimit: 64 << 10,
		Ejection:    Ejection{On: true, Errors: 5, First: time.Second, Most: time.Minute},
		Limits:      Limits{Pending: 100, Queue: time.Second},
		Shard:       Shard{Map: "rendezvous"},
	}
}

// String answers the settings that have not their defaults, for logs and tests.
func (r *Rules) String() string {
	if r == nil {
		return "none"
	}
	annotations := Format(r)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		parts = append(parts, strings.TrimPrefix(name, Prefix)+"="+annotations[name])
	}
	return "{" + strings.Join(parts, " ") + "}"
}
