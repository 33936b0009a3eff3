package h2

import "time"

// calm bounds what a peer can have us do for nothing: PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE and empty DATA cost one each,
// useful frames earn some, and time earns the rest (CVE-2019-9511 to -9518).
type calm struct {
	tokens int
	last   int64
	// crumbs is how many grants of window have to wait, rather than end the connection, once there are no tokens.
	crumbs int
}

const (
	calmBurst     = 2000
	calmPerSecond = 500
	// crumb is the least data, in bytes, that earns something though the peer's window cut it off there: a peer that grants a byte at a time
	// has us make a frame of each (CVE-2019-9511). Small devices and tests grant so little in earnest, so such a peer is slowed down: its
	// grants wait for tokens, crumbWait each time, and nothing else of its connection is read meanwhile.
	crumb     = 64
	crumbWait = 20 * time.Millisecond
	// longest bounds the time that is counted, in nanoseconds, well below what overflows.
	longest = int64(time.Minute)
)

func (c *calm) init(now int64) { c.tokens, c.last = calmBurst, now }

// earn counts a useful frame, received or sent: its peer may answer it with window updates and measure with pings.
func (c *calm) earn(n int) { c.tokens = min(c.tokens+n, calmBurst) }

// crumble counts a frame with a crumb, which is answered by a grant for its stream and one for the connection.
func (c *calm) crumble() { c.crumbs = min(c.crumbs+2, calmBurst) }

// spend takes the cost of one control frame; false is a flood.
func (c *calm) spend(now int64) bool {
	if c.tokens > 0 {
		c.tokens--
		return true
	}
	n := int(min(now-c.last, longest) * calmPerSecond / int64(time.Second))
	if n <= 0 {
		return false
	}
	c.last = now
	c.tokens = min(n, calmBurst) - 1
	return true
}

// rapid bounds how many streams a client may open and end again before anything comes of them (CVE-2023-44487, CVE-2025-8671). Each of
// them is a request to an endpoint.
type rapid struct {
	tokens int
	last   int64
}

const (
	rapidBurst     = 200
	rapidPerSecond = 100
	// rapidTime is how soon an end is rapid: a client that loses patience is slower.
	rapidTime = int64(100 * time.Millisecond)
)

func (r *rapid) init(now int64) { r.tokens, r.last = rapidBurst, now }

// earn counts an exchange that came to its end. Who resets one for each that ends is a client whose time runs out now and then, as callers
// with short deadlines do: ending its connection would lose what else is on it.
func (r *rapid) earn() { r.tokens = min(r.tokens+1, rapidBurst) }

func (r *rapid) spend(now int64) bool {
	if n := int(min(now-r.last, longest) * rapidPerSecond / int64(time.Second)); n > 0 {
		r.last = now
		r.tokens = min(r.tokens+n, rapidBurst)
	}
	r.tokens--
	return r.tokens >= 0
}
