// Package explanation is how a request came to its answer, as the field sluice-explain of the answer has it and the access log says of keys: sidecars
// write it, and sluicectl explain reads it. docs/explain.md has the names. It decides nothing.
package explanation

import (
	"strconv"
	"strings"
	"time"
)

// Field is the name of the field of an answer that has an explanation, and of that of a request which asks for it.
const Field = "sluice-explain"

// None is the endpoint of an answer that the sidecar itself gave, and what a Key says that there is none of.
const None = "none"

// Explanation is how a request came to its answer.
type Explanation struct {
	Service string // namespace/name:port
	Policy  string // which of the balancer's
	// Endpoint is the address that the answer is from, or None; Pod is its name.
	Endpoint, Pod string
	// Attempts is how many were begun, and Time how long the request took up to the head of its answer, waits included.
	Attempts int
	Time     time.Duration
	// Answered is how long the attempt took whose answer it is; 0 where there is none, or an older sidecar does not say.
	Answered time.Duration
	Tried    []Attempt // those that ended otherwise, in the order in which they ended
	Key      Key
	// Other is what a newer sidecar says and this program does not know. It is read, and not written.
	Other []string
}

// Attempt is a try of the request at one endpoint that brought no answer, or one that was not passed on.
type Attempt struct {
	Endpoint string
	Outcome  string // a word of classify.Outcome
	Status   int    // 0 where there was no answer
	Took     time.Duration
}

// Key is what a request's key has to do with where it went: where the key is from, its hash, who owns it, and why not the owner. The zero value
// is of a Service without keys. The key itself is left out: answers and logs are kept where keys may not be.
type Key struct {
	Key     string `json:"key,omitempty"`  // where it was, as shard-key says; None where there is none
	Hash    string `json:"hash,omitempty"` // 16 hexadecimal digits
	Session string `json:"session,omitempty"`
	Map     string `json:"map,omitempty"`   // the key's place on it
	Owner   string `json:"owner,omitempty"` // None where nobody is known to own the key
	To      string `json:"to,omitempty"`    // a word of metrics.Decision; None where the request was sent to nobody, and the answer is the sidecar's own
	Waited  bool   `json:"waited,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// String answers the value of the field: "service=shop/orders:80; policy=least-request; endpoint=10.0.0.1:80; …". What would end a value, or a line,
// in one is percent-encoded.
func (e *Explanation) String() string {
	var b strings.Builder
	say := func(name, value string) {
		if value != "" {
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			b.WriteString(name)
			b.WriteByte('=')
			escape(&b, value)
		}
	}
	say("service", e.Service)
	say("policy", e.Policy)
	say("endpoint", e.Endpoint)
	say("pod", e.Pod)
	say("attempts", strconv.Itoa(e.Attempts))
	say("time", rounded(e.Time))
	if e.Answered > 0 {
		say("answered", rounded(e.Answered))
	}
	for i := range e.Tried {
		say("tried", e.Tried[i].String())
	}
	k := &e.Key
	say("key", k.Key)
	say("hash", k.Hash)
	say("session", k.Session)
	say("map", k.Map)
	say("owner", k.Owner)
	say("to", k.To)
	if k.Waited {
		b.WriteString("; waited")
	}
	say("reason", k.Reason)
	return b.String()
}

// String answers "10.0.0.1:80 server-error/500 1.2ms".
func (a *Attempt) String() string {
	text := a.Endpoint + " " + a.Outcome
	if a.Status != 0 {
		text += "/" + strconv.Itoa(a.Status)
	}
	return text + " " + rounded(a.Took)
}

func rounded(d time.Duration) string { return d.Round(time.Microsecond).String() }

const digits = "0123456789ABCDEF"

func escape(b *strings.Builder, s string) {
	for i := range len(s) {
		if c := s[i]; special(c) {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
}

// special reports whether a value cannot have a byte as it is.
func special(c byte) bool { return c < ' ' || c == 0x7f || c == ';' || c == '%' }
