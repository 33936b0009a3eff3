package h1

import "github.com/sluice-mesh/sluice/sidecar/loop"

// Complete reports whether an answer whose head has come is there to its end, so that Drain does not wait.
func (u *Upstream) Complete() bool {
	switch u.response.Body {
	case None:
		return true
	case Length:
		return int64(len(u.Buffered())-u.answerHead) >= u.response.Length
	case Chunked:
		var chunks Chunks
		chunks.Reset(0, true)
		_, done, err := chunks.Scan(u.Buffered()[u.answerHead:])
		return done && err == nil
	}
	return false
}

// Drain takes an answer that is not passed on, of at most limit bytes, until the time until, and reports whether the connection may
// serve another exchange.
func (u *Upstream) Drain(limit int64, until int64) bool {
	res := &u.response
	if !res.Persistent || !u.whole || u.told || res.Status == 101 || res.connect || res.Body == UntilClose || res.Length > limit {
		return false
	}
	var chunks Chunks
	chunks.Reset(0, true)
	u.Advance(u.answerHead)
	u.Conn.SetReadDeadline(until)
	defer u.Conn.SetReadDeadline(loop.Never)
	for left := res.Length; ; {
		b := u.Buffered()
		n, done := len(b), false
		switch res.Body {
		case None:
			n, done = 0, true
		case Length:
			n = int(min(int64(n), left))
			left -= int64(n)
			done = left == 0
		case Chunked:
			var err error
			if n, done, err = chunks.Scan(b); err != nil {
				return false
			}
		}
		u.Advance(n)
		if done {
			return len(u.Buffered()) == 0 && !u.Conn.Pending()
		}
		if limit -= int64(n); limit < 0 || u.Fill(loop.Medium) != nil {
			return false
		}
	}
}
