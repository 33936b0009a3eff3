package rules

// Zone says whether endpoints of the proxy's own zone come first.
type Zone uint8

const (
	// ZonePrefer follows the hints of EndpointSlices, and goes elsewhere when the zone's share is weak. The zero value.
	ZonePrefer Zone = iota
	// ZoneIgnore treats all endpoints alike.
	ZoneIgnore
)

var zones = words[Zone]{"prefer", "ignore"}

// String answers the word of the annotation.
func (z Zone) String() string { return zones.text(z) }

// Explain says whether answers carry how they came about.
type Explain uint8

const (
	// ExplainOff never does. The zero value.
	ExplainOff Explain = iota
	// ExplainOn does on every answer.
	ExplainOn
	// ExplainHeader does where the request asks for it.
	ExplainHeader
)

var explains = words[Explain]{"off", "on", "header"}

func parseExplain(s string) (Explain, error) {
	switch s {
	case "true":
		return ExplainOn, nil
	case "false":
		return ExplainOff, nil
	}
	return choice(explains)(s)
}

// String answers the word of the annotation.
func (e Explain) String() string { return explains.text(e) }

// Headless says what happens to a connection to a pod's address of a headless Service.
type Headless uint8

const (
	// HeadlessRespect leaves the application's choice of a pod as it is. The zero value.
	HeadlessRespect Headless = iota
	// HeadlessBalance balances requests whose authority names the Service.
	HeadlessBalance
)

var headlesses = words[Headless]{"respect", "balance"}

// String answers the word of the annotation.
func (h Headless) String() string { return headlesses.text(h) }

// Fallback says what happens to a key while its owner cannot be used.
type Fallback uint8

const (
	// FallOver sends it to the key's next endpoint. The zero value.
	FallOver Fallback = iota
	// FallWait holds it until the owner is back, at most Shard.FallbackWait, then refuses it.
	FallWait
	// FallStrict refuses it at once.
	FallStrict
)

var fallbacks = words[Fallback]{"failover", "wait", "strict"}

// String answers the word of the annotation.
func (f Fallback) String() string { return fallbacks.text(f) }

// KeyMissing says what happens to a request whose key cannot be had.
type KeyMissing uint8

const (
	// KeyBalance balances it like any other. The zero value.
	KeyBalance KeyMissing = iota
	// KeyReject refuses it.
	KeyReject
)

var keyMissings = words[KeyMissing]{"balance", "reject"}

// String answers the word of the annotation.
func (k KeyMissing) String() string { return keyMissings.text(k) }

// words are the words of a choice, by value.
type words[T ~uint8] []string

func (w words[T]) text(v T) string {
	if int(v) < len(w) {
		return w[v]
	}
	return "?"
}
