package h2

import "github.com/sluice-mesh/sluice/sidecar/h2/frame"

// onData takes a DATA frame.
func (c *conn) onData(h frame.Header, payload []byte) *frame.ConnError {
	data, err := frame.DataOf(h, payload)
	if err != nil {
		return err
	}
	end := h.Flags.Has(frame.EndStream)
	if len(data) == 0 && !end {
		if !c.calm.spend(c.l.Now()) {
			return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyControlFrames}
		}
	} else {
		c.calm.earn(2)
	}
	// "The entire DATA frame payload is included in flow control": RFC 9113, section 6.1.
	size := int64(len(payload))
	if !c.took(size) {
		return &frame.ConnError{Code: frame.FlowControlError, Reason: frame.WindowExceeded}
	}
	x := c.streams[h.Stream]
	if x == nil {
		return c.role.onUnknown(h)
	}
	p := c.role.pipeOf(x)
	if p.ended {
		return &frame.ConnError{Code: frame.StreamClosed, Reason: frame.EndedStream}
	}
	if !p.up && !x.answered {
		return c.role.onBroken(x, frame.ProtocolError) // DATA before HEADERS
	}
	if p.credit -= size; p.credit < 0 {
		return &frame.ConnError{Code: frame.FlowControlError, Reason: frame.WindowExceeded}
	}
	p.came += int64(len(data))
	if p.declared >= 0 && (p.came > p.declared || end && p.came != p.declared) {
		return c.role.onBroken(x, frame.ProtocolError)
	}
	p.receive(data, len(payload)-len(data), end)
	if p.up {
		x.tellBody()
	} else if x.pending != nil {
		x.grown()
	}
	return nil
}

func (c *conn) onWindowUpdate(h frame.Header, payload []byte) *frame.ConnError {
	n := int64(frame.Uint31(payload))
	if n == 0 {
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.BadIncrement}
	}
	if h.Stream == 0 {
		if c.window += n; c.window > frame.LargestWindow {
			return &frame.ConnError{Code: frame.FlowControlError, Reason: frame.WindowOverflow}
		}
		c.unblock()
		return nil
	}
	x := c.streams[h.Stream]
	if x == nil {
		return c.role.onUnknown(h)
	}
	p := c.role.toward(x)
	if p.window += n; p.window > frame.LargestWindow {
		return c.role.onBroken(x, frame.FlowControlError)
	}
	if p.waiting() > 0 {
		p.pump()
	}
	return nil
}

// setInitial changes the windows of all streams: RFC 9113, section 6.9.2.
func (c *conn) setInitial(n int64) *frame.ConnError {
	delta := n - c.initial
	c.initial = n
	if delta == 0 {
		return nil
	}
	for _, x := range c.streams {
		p := c.role.toward(x)
		if p.window += delta; p.window > frame.LargestWindow {
			return &frame.ConnError{Code: frame.FlowControlError, Reason: frame.WindowOverflow}
		}
	}
	if delta > 0 {
		for _, x := range c.streams {
			if p := c.role.toward(x); p.waiting() > 0 {
				p.pump()
			}
		}
	}
	return nil
}
