package proxy

import (
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// asked looks at what a Service asks for besides.
func (s streams) asked(x *h2.Exchange, c *call) {
	number, explain := "", false
	if n := c.rules.Limits.Connections; n != 0 {
		c.conns = s.w.connections(n)
	}
	if name := c.rules.AttemptHeader; name != "" {
		number, _ = x.Value(strings.ToLower(name))
	}
	if c.rules.Explain == rules.ExplainHeader {
		explain = x.Has(explainField)
	}
	c.ask(number, explain)
}

// number says in the request which attempt begins, where the Service wants to know.
func (s streams) number(x *h2.Exchange, c *call) {
	if name := c.rules.AttemptHeader; name != "" {
		x.Set(strings.ToLower(name), strconv.Itoa(c.request.number()))
	}
}

// explain says in the answer how it came about, where somebody asked.
func (s streams) explain(x *h2.Exchange, c *call) {
	s.issue(x, c)
	c.tell(&c.attempt)
	if c.trace.explained {
		x.Extra = append(x.Extra, hpack.Field{Name: explainField, Value: c.request.explain(&c.attempt)})
	}
}

// log writes a request that has ended to the access log.
func (s streams) log(x *h2.Exchange, c *call) {
	if c.trace.logged {
		path, _, _ := strings.Cut(x.Request.Path, "?")
		c.request.log(x.Request.Method, path)
	}
}
