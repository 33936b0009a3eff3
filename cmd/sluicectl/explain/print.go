package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/sluice-mesh/sluice/sidecar/explanation"
)

// printTable writes a line for each thing that an explanation says, and then one for each attempt.
func printTable(w io.Writer, a *answer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, visible(value))
		}
	}
	row("status", strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))))
	row("grpc-status", a.grpc)
	row("protocol", a.protocol)
	row("service", a.Service)
	row("policy", a.Policy)
	switch {
	case a.Endpoint == explanation.None:
		row("endpoint", "none: the sidecar itself answered")
	case a.Pod != "" && a.Pod != a.Endpoint:
		row("endpoint", a.Endpoint+", "+a.Pod)
	default:
		row("endpoint", a.Endpoint)
	}
	row("it says", a.said)
	row("time", a.Time.String())
	if k := a.Key; k != (explanation.Key{}) {
		row("key", k.Key)
		row("hash", k.Hash)
		row("session", k.Session)
		row("place", k.Map)
		row("owner", k.Owner)
		row("so", became(k))
	}
	row("besides", strings.Join(a.Other, "; "))
	row("attempts", strconv.Itoa(a.Attempts))
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	all := a.attempts()
	if len(all) > 0 {
		fmt.Fprintln(t, "\n\tENDPOINT\tEND\tTIME")
	}
	for i, k := range all {
		took := "-"
		if k.Took > 0 {
			took = k.Took.String()
		}
		end := k.Outcome
		if k.Status != 0 {
			end += " " + strconv.Itoa(k.Status)
		}
		fmt.Fprintf(t, "  %d\t%s\t%s\t%s\n", i+1, visible(k.Endpoint), visible(end), took)
	}
	if n := a.Attempts - len(all); n > 0 {
		fmt.Fprintf(t, "  and %d that had not ended\n", n)
	}
	return t.Flush()
}

// attempts answers all that are known of, that which was answered last.
func (a *answer) attempts() []explanation.Attempt {
	all := a.Tried
	if a.Endpoint != explanation.None {
		all = append(all[:len(all):len(all)], explanation.Attempt{Endpoint: a.Endpoint, Outcome: "answered", Status: a.status, Took: a.Answered})
	}
	return all
}

// became says what became of a request for its key.
func became(k explanation.Key) string {
	text := ""
	switch k.To {
	case explanation.None:
		text = "sent to nobody"
	case "":
		text = "balanced like any other request" // it has no owner, which key, session and owner say
	case "owner":
		text = "sent to the owner"
	case "failover", "bounded-load":
		text = "sent to another pod"
	default:
		text = k.To
	}
	if k.Waited {
		text = "waited, then " + text
	}
	if k.Reason != "" {
		text += ": " + k.Reason
	}
	return text
}

// visible keeps what would move a terminal's cursor from it.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// view is the answer as --output=json has it, in the words of the access log.
type view struct {
	Status   int              `json:"status"`
	GRPC     string           `json:"grpc_status,omitempty"`
	Protocol string           `json:"protocol"`
	Service  string           `json:"service"`
	Policy   string           `json:"policy,omitempty"`
	Endpoint string           `json:"endpoint,omitempty"` // none: the sidecar itself answered
	Pod      string           `json:"pod,omitempty"`
	Says     string           `json:"says,omitempty"`
	Seconds  float64          `json:"seconds"`
	Begun    int              `json:"begun"` // attempts
	Attempts []attemptView    `json:"attempts"`
	Shard    *explanation.Key `json:"shard,omitempty"`
	Other    []string         `json:"other,omitempty"`
}

type attemptView struct {
	Endpoint string  `json:"endpoint"`
	Outcome  string  `json:"outcome"`
	Status   int     `json:"status,omitempty"`
	Seconds  float64 `json:"seconds"`
}

func printJSON(w io.Writer, a *answer) error {
	v := view{Status: a.status, GRPC: a.grpc, Protocol: a.protocol, Service: a.Service, Policy: a.Policy, Pod: a.Pod, Says: a.said, Seconds: a.Time.Seconds(),
		Begun: a.Attempts, Attempts: []attemptView{}, Other: a.Other}
	if a.Endpoint != explanation.None {
		v.Endpoint = a.Endpoint
	}
	for _, k := range a.attempts() {
		v.Attempts = append(v.Attempts, attemptView{k.Endpoint, k.Outcome, k.Status, k.Took.Seconds()})
	}
	if a.Key != (explanation.Key{}) {
		v.Shard = &a.Key
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
