package rules

import (
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// The headings of the reference.
const (
	balancing = "Balancing"
	retries   = "Retries and timeouts"
	ejection  = "Ejection"
	limits    = "Limits"
	seeing    = "Seeing what happens"
	shapes    = "Connections of other shapes"
	sharding  = "Shard affinity"
)

// table is every setting there is, in the order of the reference.
var table = []Setting{
	{
		Name: "policy", Group: balancing, Example: "round-robin",
		Allowed: "one of " + balancer.Allowed(),
		Doc: "How an endpoint is chosen for a request, or for a connection whose bytes are not parsed. [policies.md](policies.md) says what " +
			"each does.",
		Effect: "sidecar/balancer",
		value:  at(func(r *Rules) *string { return &r.Policy }, parsePolicy, same),
	},
	{
		Name: "weights", Group: balancing, Example: "web-0=2,web-1=1",
		Allowed: "none, or a list of POD-NAME-PATTERN=WEIGHT with weights from 0 to 1000, or the word pods, alone or as the last of such a list",
		Doc: "Shares of endpoints that are not to be the same for all. In a pattern `*` stands for any characters; the first one that matches " +
			"a pod's name counts, and a pod that none matches has the weight of its EndpointSlice, which is 1 unless somebody has annotated that. A pod of weight 0 " +
			"gets nothing unless all others fail or were tried; keys, sessions and scattered requests do not go by weights. `pods` asks for the weights that pods have themselves, by their annotation `sluice.mesh/weight`; the sidecars that call " +
			"the Service then read the metadata of its pods, which is a right of its own (see [policies.md](policies.md#weights-new-endpoints)).",
		Effect: "sidecar/balancer, sidecar/discovery/assemble",
		value: at(func(r *Rules) *string { return &r.Weights },
			without(none, parseWeights), withoutText(none, same)),
	},
	{
		Name: "slow-start", Group: balancing, Example: "30s",
		Allowed: "off, or a duration from 1s to 1h",
		Doc: "A new endpoint gets a small share of requests at first, which grows to a full one within this time. For servers that " +
			"have caches to fill or code to compile.",
		Effect: "sidecar/balancer",
		value:  at(func(r *Rules) *time.Duration { return &r.SlowStart }, without(off, duration(time.Second, time.Hour)), withoutText(off, durationText)),
	},
	{
		Name: "zone", Group: balancing, Example: "ignore",
		Allowed: "prefer or ignore",
		Doc: "Whether endpoints of the caller's zone come first. `prefer` keeps requests in the zone of the caller where the Service's EndpointSlices have hints (`spec.trafficDistribution`, " +
			"topology-aware routing), and lets them go elsewhere when the zone's endpoints are too few or failing. `ignore` treats all " +
			"zones alike.",
		Effect: "sidecar/balancer",
		value:  at(func(r *Rules) *Zone { return &r.Zone }, choice(zones), Zone.String),
	},
	{
		Name: "panic-threshold", Group: balancing, Example: "30%",
		Allowed: "a percentage from 0% to 100%, or off",
		Doc: "When health is ignored. With a smaller share of endpoints than this in good health, the others are used again beside them, for as many requests that " +
			"those in good health get no more than their usual load divided by this: the few that are left would be buried. Services of " +
			"up to eight endpoints are exempt.",
		Effect: "sidecar/balancer",
		value:  at(func(r *Rules) *int { return &r.PanicThreshold }, without(off, wholePercent), withoutText(off, wholePercentText)),
	},

	{
		Name: "retries", Group: retries, Example: "3",
		Allowed: "a whole number from 0 to 10",
		Doc: "How many further endpoints a request may be sent to after it failed. Each is one that the request was not sent to before, and " +
			"each costs of the retry budget. A request that no endpoint has seen (the connect failed, say) is sent on in any case, to as many " +
			"endpoints as there are.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *int { return &r.Retry.Most }, count(0, 10), strconv.Itoa),
	},
	{
		Name: "retry-on", Group: retries, Example: "reset,503,unavailable",
		Allowed: "none, or a list of " + strings.Join(conditionWords, ", "),
		Doc: "What counts as failed, for requests that are idempotent. That is: the connection ended before the answer's head, or what came cannot be understood (`reset`), the answer's " +
			"HTTP status, or gRPC's status, each before anything of the answer was passed on. Requests that are not idempotent are never sent again after an endpoint " +
			"may have seen them.",
		Effect: "sidecar/classify, sidecar/proxy",
		value:  at(func(r *Rules) *Conditions { return &r.Retry.On }, without(none, parseConditions), Conditions.String),
	},
	{
		Name: "idempotent", Group: retries, Example: "POST /search,/shop.Catalog/*",
		Allowed: "none, or a list of methods (POST), paths (/search, /shop.Catalog/*), or both (POST /search)",
		Doc: "Requests that do no harm when they arrive twice, besides GET, HEAD, OPTIONS, TRACE, PUT and DELETE, of which HTTP says so. A " +
			"gRPC call is a POST to `/package.Service/Method`. An asterisk stands for the rest of a path.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *Requests { return &r.Retry.Idempotent }, parseRequests, Requests.String),
	},
	{
		Name: "idempotency-key", Group: retries, Example: "on",
		Allowed: "on or off",
		Doc:     "Requests with the header `Idempotency-Key` count as idempotent. For Services that recognise by it a request they had before.",
		Effect:  "sidecar/proxy",
		value:   at(func(r *Rules) *bool { return &r.Retry.IdempotencyKey }, onOff, onOffText),
	},
	{
		Name: "retry-budget", Group: retries, Example: "10%,5/s,burst=50",
		Allowed: "off, or a list of a percentage of requests (20%), a rate (10/s) and burst=NUMBER from 1; what is left out has its default",
		Doc: "How much each proxy may add to a Service's load by sending requests again. It is a share of the requests, a rate that is free in any case, " +
			"and how many retries may be saved up for the moment when something breaks.",
		Effect: "sidecar/retry",
		value:  at(func(r *Rules) *Budget { return &r.Retry.Budget }, without(off, parseBudget), withoutText(off, budgetText)),
	},
	{
		Name: "retry-backoff", Group: retries, Example: "10ms-1s",
		Allowed: "off, or two durations from 1ms to 1m, the shorter first",
		Doc: "Whether a request that every endpoint has failed is sent to them once more, and how long it waits before. That is a random time up to the " +
			"first duration, twice that with each further time, up to the second; where an endpoint said how long to leave it alone " +
			"(`Retry-After`, `grpc-retry-pushback-ms`), it is not asked before, the request waits for the first that may be, and not at all if " +
			"that takes more than the second. Each time costs of `retries` and of the retry budget. An attempt at an endpoint that was not asked yet never waits.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *Backoff { return &r.Retry.Backoff }, without(off, parseBackoff), withoutText(off, backoffText)),
	},
	{
		Name: "replay-limit", Group: retries, Example: "256Ki",
		Allowed: "off, or bytes up to 1Mi, with Ki or Mi or without",
		Doc: "How much of a request's body is kept so that it can be sent again. Longer requests are not sent again once their body has begun to " +
			"leave.",
		Effect: "sidecar/proxy, sidecar/h1, sidecar/h2",
		value:  at(func(r *Rules) *int { return &r.ReplayLimit }, without(off, size(1<<20)), withoutText(off, sizeText)),
	},
	{
		Name: "per-try-timeout", Group: retries, Example: "2s",
		Allowed: "off, or a duration from 1ms to 24h",
		Doc: "How long an endpoint may take to the head of its answer, once the request is on its way there; a connect takes a second at most, and is no " +
			"part of it. After that the attempt counts as failed; an idempotent request goes to another endpoint, and otherwise the caller is answered " +
			"504, which says how many attempts there were and how they ended. Where the client had not yet sent what the endpoint would take, nothing is " +
			"held against the endpoint.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *time.Duration { return &r.PerTryTimeout }, without(off, duration(time.Millisecond, 24*time.Hour)), withoutText(off, durationText)),
	},
	{
		Name: "timeout", Group: retries, Example: "15s",
		Allowed: "off, or a duration from 1ms to 24h",
		Doc: "How long a request may take to the head of its answer, all attempts and waits included; then the caller is answered 504. A " +
			"shorter `grpc-timeout` of the caller's holds as well. While another endpoint is left, no connect takes more than half of what is left of that " +
			"time. One that is given up within 100ms goes on behind the request, for a later one or to find out that the pod takes no connections.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *time.Duration { return &r.Timeout }, without(off, duration(time.Millisecond, 24*time.Hour)), withoutText(off, durationText)),
	},
	{
		Name: "hang-race", Group: retries, Example: "floor=500ms,factor=5",
		Allowed: "on, off, or a list of floor=DURATION (1ms to 1h) and factor=NUMBER (1 to 1000)",
		Doc: "A pod that hangs costs a second and not the request. An idempotent request that has no answer after the larger of the floor (1s) and so many times the Service's own 99th percentile " +
			"(10), counted from when the request is on its way to the endpoint, is sent to a second one, on the retry budget; the first answer counts, the other " +
			"request is cancelled. A slow answer is so never cut off. Where no endpoint can take the request at that time, one that can is looked for again and " +
			"again while it waits, less and less often: every second in the end, or every 10s while there is no other endpoint. Where a request has a time of " +
			"its own (`timeout`, `grpc-timeout`) the floor is at most half of what is left of it, once that " +
			"percentile is known.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *HangRace { return &r.HangRace }, parseHangRace, hangRaceText),
	},
	{
		Name: "hedge", Group: retries, Example: "50ms",
		Allowed: "off, or a duration from 1ms to 1h",
		Doc: "As `hang-race`, but after a fixed time, for those who would rather have some requests twice than wait for the slowest. Costs of the " +
			"retry budget.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *time.Duration { return &r.Hedge }, without(off, duration(time.Millisecond, time.Hour)), withoutText(off, durationText)),
	},
	{
		Name: "attempt-header", Group: retries, Example: "on",
		Allowed: "off, on for " + AttemptHeader + ", or the name of a header that has no other meaning",
		Doc: "Gives requests a header with the number of the attempt, from 1, so that the server can tell. One that comes with a " +
			"number above 1 is neither sent again for a status nor raced, as the proxy before does that, and is counted on from there. So retries " +
			"of proxies in a row add up and do not multiply, where applications pass the header on.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *string { return &r.AttemptHeader }, parseAttemptHeader, attemptHeaderText),
	},

	{
		Name: "ejection", Group: ejection, Example: "off",
		Allowed: "on or off",
		Doc: "Whether an endpoint that fails again and again is left out for a time. It comes back with a single request, and for good when that " +
			"goes well. The last endpoint is never ejected. An endpoint that cannot be connected to is left out in any case.",
		Effect: "sidecar/outlier",
		value:  at(func(r *Rules) *bool { return &r.Ejection.On }, onOff, onOffText),
	},
	{
		Name: "ejection-errors", Group: ejection, Example: "10",
		Allowed: "a whole number from 1 to 1000",
		Doc: "How many failures in a row eject an endpoint. Failures are connections that end before the answer, the statuses 500, 502, 503 and 504, and " +
			"gRPC's UNAVAILABLE, UNKNOWN and INTERNAL, and answers that cannot be understood; also requests that their callers have given up, after 100ms and " +
			"`hang-race`'s factor times the 99th percentile. All these but 502, 503, 504, UNAVAILABLE and ended connections may be the request's or the caller's " +
			"fault: they count as far as other endpoints of the Service answer well meanwhile, so where all fail alike none is ejected for them.",
		Effect: "sidecar/outlier",
		value:  at(func(r *Rules) *int { return &r.Ejection.Errors }, count(1, 1000), strconv.Itoa),
	},
	{
		Name: "ejection-time", Group: ejection, Example: "5s-10m",
		Allowed: "two durations from 10ms to 24h, the shorter first",
		Doc:     "How long an endpoint is left out at first, which doubles each time it has to be left out again, and how long at most.",
		Effect:  "sidecar/outlier",
		value:   ejectionTime(),
	},

	{
		Name: "max-connections", Group: limits, Example: "100",
		Allowed: "none, or a whole number from 1 to 1000000",
		Doc: "How many connections to one endpoint each proxy may use at a time. A connection whose bytes are not parsed " +
			"does not wait for another to end, but is reset. Idle ones that are kept for later over HTTP/1.x, for 3s and up to 1024 on each of the proxy's " +
			"loops, do not count, nor those that are made for clients of a port without a declared protocol while neither side has said anything. Over HTTP/2 requests share connections, and a further one is made only while the endpoint allows no more streams on those " +
			"there are: with as many as this, requests wait for room on them. There the number is shared out among the proxy's loops (two at most, unless told " +
			"otherwise), of which each has one connection at least.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *int { return &r.Limits.Connections }, without(none, count(1, 1_000_000)), withoutText(none, strconv.Itoa)),
	},
	{
		Name: "max-requests", Group: limits, Example: "50",
		Allowed: "none, or a whole number from 1 to 1000000",
		Doc: "How many requests of one proxy may run at an endpoint at a time, those included that wait for a connection to it. Over HTTP/1.x each has a " +
			"connection, so that connections in use are bounded as well, those of WebSockets and other upgrades until they end; over HTTP/2 " +
			"no further connection is made for requests beyond it.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *int { return &r.Limits.Requests }, without(none, count(1, 1_000_000)), withoutText(none, strconv.Itoa)),
	},
	{
		Name: "max-pending", Group: limits, Example: "1000",
		Allowed: "a whole number from 0 to 1000000",
		Doc: "How many requests may wait in a proxy while every endpoint is at its limit. Further ones are answered 503 at once, as all are " +
			"with `0`. A request that may be sent again waits in the same way where those it was not sent to are at their limits; an error that it was " +
			"answered with before is its answer then, in the place of ours. HTTP/2 requests that wait for room on connections (`max-connections`) are counted on each " +
			"of the proxy's loops by themselves.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *int { return &r.Limits.Pending }, count(0, 1_000_000), strconv.Itoa),
	},
	{
		Name: "queue-timeout", Group: limits, Example: "5s",
		Allowed: "a duration from 1ms to 10m",
		Doc: "How long a request waits for an endpoint that is below its limit, before it is answered 503. That counts from when it first waits, " +
			"however often it has to.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *time.Duration { return &r.Limits.Queue }, duration(time.Millisecond, 10*time.Minute), durationText),
	},

	{
		Name: "explain", Group: seeing, Example: "on",
		Allowed: "off, on, or header",
		Doc: "Whether answers say how they came about. A header `sluice-explain` has the endpoint, the policy, the attempts with reason and time. In " +
			"answers of the proxy's own, such as 503 or 504, the endpoint is none. With `header`, only answers to requests that have a header of that name. The list " +
			"that `scatter` answers with has none: it says itself what each pod answered. [explain.md](explain.md) says how to read it.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *Explain { return &r.Explain }, parseExplain, Explain.String),
	},
	{
		Name: "access-log", Group: seeing, Example: "1%",
		Allowed: "off, on, or a percentage from 0.01% to 100%",
		Doc: "The share of requests that the callers' proxies log, with what `explain` would say. Each is a line of JSON on the proxy's " +
			"standard output; `shard` in it is what became of the request's key, without the key. Queries are left out, paths are not.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *float64 { return &r.AccessLog }, share, shareText),
	},

	{
		Name: "max-stream-age", Group: shapes, Example: "30m",
		Allowed: "off, or a duration from 1s to 24h",
		Doc: "How old the application's HTTP/2 connections to this Service become before the proxy asks for new ones (GOAWAY). Requests are balanced " +
			"one by one in any case; this is for streams that never end, so that they spread over pods that came later. Streams that run are not cut.",
		Effect: "sidecar/h2",
		value:  at(func(r *Rules) *time.Duration { return &r.MaxStreamAge }, without(off, duration(time.Second, 24*time.Hour)), withoutText(off, durationText)),
	},
	{
		Name: "headless", Group: shapes, Example: "balance", Reserved: true,
		Allowed: "respect or balance",
		Doc: "What happens to calls of a headless Service, where the application has chosen a pod's address itself. `respect` leaves it at that; `balance` balances requests " +
			"whose authority names the Service, and leaves alone those that name one pod.",
		Effect: "sidecar/discovery, sidecar/proxy",
		value:  at(func(r *Rules) *Headless { return &r.Headless }, choice(headlesses), Headless.String),
	},

	{
		Name: "shard-key", Group: sharding, Example: "header:account-id",
		Allowed: "off, or a list of header:NAME, cookie:NAME, query:NAME, path:/accounts/{key}, json:/account/id, grpc:1.2, source-ip",
		Doc: "Where a request's key is. All requests with the same key go to the same pod, from every caller. Several places make one key " +
			"together. [shard-affinity.md](shard-affinity.md) says what each is, and what is promised.",
		Effect: "sidecar/shardkey",
		value:  at(func(r *Rules) *string { return &r.Shard.Key }, without(off, parseShardKey), withoutText(off, same)),
	},
	{
		Name: "shard-map", Group: sharding, Example: "ordinal",
		Allowed: "one of " + strings.Join(shard.Kinds(), ", ") + ", with parameters of the map behind it (ring,size=4096)",
		Doc: "Which pod owns a key. `rendezvous`: by hash over the pods' names; a pod that goes or comes moves no other pod's keys. `ordinal`: the key, " +
			"a whole number or else its hash, modulo the StatefulSet's replicas is the pod's ordinal. `lookup`, `prefix-lookup` and `s2` with a ConfigMap: the pod that this " +
			"names, or its ordinal. `statefulset=NAME` behind a map says whose pods own keys, and whose an ordinal is.",
		Effect: "sidecar/shard",
		value:  at(func(r *Rules) *string { return &r.Shard.Map }, parseShardMap, same),
	},
	{
		Name: "shard-fallback", Group: sharding, Example: "wait=5s",
		Allowed: "failover, wait=DURATION (1ms to 10m), or strict",
		Doc: "What happens to a key while its owner cannot be used. The next pod in the key's order takes over, the request waits for the owner and is " +
			"answered 503 if it does not come back, or is answered 503 at once. With `shard-map: ordinal` the default is `wait=" +
			durationText(ordinalWait) + "`.",
		Effect: "sidecar/shard, sidecar/proxy",
		value:  shardFallback(),
	},
	{
		Name: "shard-no-key", Group: sharding, Example: "reject",
		Allowed: "balance or reject",
		Doc: "What happens to a request without a key, or with one that the map has nothing for: it is balanced like any other, or answered 400. " +
			"A map has nothing for a key that is not in its ConfigMap, and `s2` for what is no latitude and longitude.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *KeyMissing { return &r.Shard.NoKey }, choice(keyMissings), KeyMissing.String),
	},
	{
		Name: "shard-overflow", Group: sharding, Example: "reject",
		Allowed: "balance or reject",
		Doc:     "What happens to a request whose key is in the body, behind its first 64 KiB. It is balanced like any other, or answered 413.",
		Effect:  "sidecar/proxy",
		value:   at(func(r *Rules) *KeyMissing { return &r.Shard.Overflow }, choice(keyMissings), KeyMissing.String),
	},
	{
		Name: "shard-normalize", Group: sharding, Example: "lower",
		Allowed: "none, or a list of decode, trim, lower",
		Doc: "What is done to each part of a key before it is looked at. `decode` undoes percent-encoding, `trim` takes white space around it " +
			"away, `lower` makes the letters A to Z small.",
		Effect: "sidecar/shardkey",
		value:  at(func(r *Rules) *string { return &r.Shard.Normalize }, without(none, parseNormalize), withoutText(none, same)),
	},
	{
		Name: "shard-serialize", Group: sharding, Example: "on",
		Allowed: "on or off",
		Doc: "Each proxy has at most one request of a key under way and lets others of the key wait. Other callers have proxies of their own: " +
			"this is no lock.",
		Effect: "sidecar/proxy",
		value:  at(func(r *Rules) *bool { return &r.Shard.Serialize }, onOff, onOffText),
	},
	{
		Name: "shard-bounded-load", Group: sharding, Example: "1.25",
		Allowed: "off, or a number from 1.05 to 10",
		Doc: "A pod that has more than so many times the mean of the caller's requests in flight passes further ones on to the next pod in " +
			"their key's order, until it has less. Pods in ill health take none, and do not count. With `shard-fallback: failover` only.",
		Effect: "sidecar/shard",
		value:  at(func(r *Rules) *float64 { return &r.Shard.BoundedLoad }, without(off, parseBoundedLoad), withoutText(off, numberText)),
	},
	{
		Name: "shard-lookup", Group: sharding, Example: "account-owners",
		Allowed: "off, or the name of a ConfigMap in the Service's namespace",
		Doc: "Where the maps `lookup` and `prefix-lookup` have their keys from, and `s2` its cells if they are not to be owned by hash. " +
			"[shard-affinity.md](shard-affinity.md) says what is in it, and who may read it.",
		Effect: "sidecar/shard, sidecar/discovery",
		value:  at(func(r *Rules) *string { return &r.Shard.Lookup }, without(off, parseObjectName), withoutText(off, same)),
	},
	{
		Name: "shard-cookie", Group: sharding, Example: "sid; max-age=1h; secure",
		Allowed: "off, or the name of a cookie, with path=/PATH, max-age=DURATION, secure, samesite=lax, strict or none behind semicolons",
		Doc:     "Keeps a session at its pod by a cookie of this name, which the proxy issues with the first answer.",
		Effect:  "sidecar/proxy",
		value:   at(func(r *Rules) *string { return &r.Shard.Cookie }, without(off, parseCookie), withoutText(off, same)),
	},
	{
		Name: "scatter", Group: sharding, Example: "on",
		Allowed: "on or off",
		Doc:     "Sends requests with the header `sluice-scatter: all` to every pod, and answers with the list of their answers in JSON.",
		Effect:  "sidecar/proxy",
		value:   at(func(r *Rules) *bool { return &r.Scatter }, onOff, onOffText),
	},
}
