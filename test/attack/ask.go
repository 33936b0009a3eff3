package attack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// slowStart is for how long a slow client reads nothing of an answer.
	slowStart = time.Second
	// attempts are made by a client that is told that its request was not processed.
	attempts = 3
	// enough of a body for one that never ends, in bytes.
	enough = 1 << 20
	// window of the client, above what is enough: a body has to wait for it nowhere.
	window = 2 << 20
)

// Answered is what a client got of a server that attacks.
type Answered struct {
	Status string // of the last head; "" without one
	Body   string // its beginning
	Whole  bool   // the stream came to its end
	Err    error  // why it did not
	Took   time.Duration
}

// errors of a client.
var (
	errLate    = errors.New("nothing more came")
	errRefused = errors.New("not processed") // safe to ask again
)

// Right reports whether a client may see that of the server.
func (got Answered) Right(a Server) bool {
	good := got.Whole && got.Status < "500"
	switch {
	case errors.Is(got.Err, errLate) && !a.silent:
		return false
	case !good:
		return a.Want != Works
	default:
		return a.Want != Fails && (got.Body == Answer || a.Slow)
	}
}

func (got Answered) String() string {
	s := fmt.Sprintf("status %q, %.40q, whole %v, after %v", got.Status, got.Body, got.Whole, got.Took.Round(time.Millisecond))
	if got.Err != nil {
		s += ": " + got.Err.Error()
	}
	return s
}

// Ask is what a client gets of the server that dial leads to, when it waits for so long. It asks again what was not processed, as any
// client does, and nothing else.
func (a Server) Ask(ctx context.Context, dial Dial, limit time.Duration) (got Answered) {
	began := time.Now()
	for range attempts {
		got = a.ask(ctx, dial, began.Add(limit))
		if !errors.Is(got.Err, errRefused) {
			break
		}
	}
	got.Took = time.Since(began)
	return got
}

func (a Server) ask(ctx context.Context, dial Dial, end time.Time) (got Answered) {
	nc, err := dial(ctx)
	if err != nil {
		return Answered{Err: err}
	}
	defer nc.Close()
	nc.SetDeadline(end)
	c := newConn(nc, end)
	c.AllowIllegalReads = false // a proxy must not send on what is illegal either
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		return Answered{Err: err}
	}
	c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	c.WriteWindowUpdate(0, window)
	id := c.id()
	if a.Body {
		c.headers(id, request("POST", "/"), false, true)
		c.WriteData(id, false, []byte("x"))
	} else {
		c.headers(id, request("GET", "/"), true, true)
	}
	c.Flush()
	if a.Slow {
		time.Sleep(slowStart)
	}
	got.Err = c.answer(id, &got)
	var late net.Error
	if errors.As(got.Err, &late) && late.Timeout() {
		got.Err = errLate
	}
	return got
}

// answer reads until the stream ends.
func (c *Conn) answer(id uint32, got *Answered) error {
	var body strings.Builder
	defer func() { got.Body = body.String() }()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.WritePing(true, f.Data)
			}
		case *http2.GoAwayFrame:
			switch {
			case f.LastStreamID < id && f.ErrCode == http2.ErrCodeNo:
				return errRefused
			case f.LastStreamID < id || f.ErrCode != http2.ErrCodeNo:
				return fmt.Errorf("GOAWAY with %v, last stream %d, %q", f.ErrCode, f.LastStreamID, f.DebugData())
			}
		case *http2.RSTStreamFrame:
			switch {
			case f.StreamID != id:
			case f.ErrCode == http2.ErrCodeRefusedStream:
				return errRefused
			default:
				return fmt.Errorf("RST_STREAM with %v", f.ErrCode)
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				break
			}
			if s := f.PseudoValue("status"); s != "" {
				got.Status = s
			}
			if got.Whole = f.StreamEnded(); got.Whole {
				return nil
			}
		case *http2.DataFrame:
			if f.StreamID != id {
				break
			}
			body.Write(f.Data())
			if got.Whole = f.StreamEnded() || body.Len() >= enough; got.Whole {
				return nil
			}
		}
		c.Flush()
	}
}
