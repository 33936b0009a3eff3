package h2

import (
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Options are the settings of HTTP/2 connections; the zero value works. They are shared by the connections of a loop.
type Options struct {
	// HeadLimit is the largest header list in bytes (RFC 9113, section 6.5.2); 0 is DefaultHeadLimit.
	HeadLimit int
	// MaxStreams is how many streams a client may have open on one connection; 0 is DefaultMaxStreams.
	MaxStreams uint32
	// Violation is told of each connection that is ended because its peer broke a rule or met a limit. Nil is told nothing.
	Violation func(r frame.Reason, upstream bool)
	// Memory is shared by all connections of the loop. Nil gives each connection its own.
	Memory *Memory
}

// The defaults of Options.
const (
	DefaultHeadLimit  = 64 << 10
	DefaultMaxStreams = 1000
)

const (
	// highWater is how many bytes may wait for a connection's socket before data is held back; tightWater while memory is short.
	highWater  = 256 << 10
	tightWater = 64 << 10
	// controlWater is how many bytes may wait before the connection is ended: only answers to control frames, and heads, go beyond
	// highWater, so its peer sends and does not read.
	controlWater = 4 << 20
	// settingsTime bounds the wait for the acknowledgement of our SETTINGS.
	settingsTime = 10 * time.Second
)

func (o *Options) headLimit() int {
	if o.HeadLimit == 0 {
		return DefaultHeadLimit
	}
	return o.HeadLimit
}

func (o *Options) maxStreams() uint32 {
	if o.MaxStreams == 0 {
		return DefaultMaxStreams
	}
	return o.MaxStreams
}

// conn is what both kinds of connection have in common. It belongs to its loop.
type conn struct {
	c    *loop.Conn
	l    *loop.Loop
	o    *Options
	role role

	in    []byte // borrowed while bytes are in it
	r, w  int
	eager bool // the last read filled the buffer: the next one takes a large one

	out     []byte // frames to be sent; borrowed
	size    int    // of that buffer
	backlog int    // bytes that the drain coroutine has taken from out; 0 once they are written
	before  uint64 // what was sent before them
	// draining says that a coroutine writes; nobody else may meanwhile.
	draining bool
	asked    bool  // Flush will be called
	failed   error // of a write

	enc    hpack.Encoder
	dec    *hpack.Decoder
	fields []hpack.Field // scratch for the block being read
	block  block

	streams map[uint32]*Exchange
	started bool // the peer's first SETTINGS came
	acked   bool // ours were acknowledged
	begun   int64
	heard   int64 // when bytes came last
	// nudged has the reading coroutine look at what is due; ready is its condition, made once.
	nudged bool
	ready  func() bool
	task   *loop.Task
	// ponged says that the peer acknowledged our last PING, and spoke that HEADERS or DATA came behind that.
	ponged, spoke bool

	// What the peer grants us.
	window   int64
	initial  int64
	maxFrame int
	connect  bool // RFC 8441

	grant // what we grant it

	blocked waiting // pipes that wait for window or room

	calm   calm
	closed bool
}

// role is the side a connection is on.
type role interface {
	// onHeaders takes a decoded block, whose fields are scratch. size is beyond the limit when fields were left out.
	onHeaders(id uint32, end bool, fields []hpack.Field, size int) *frame.ConnError
	// onUnknown is asked about a frame of a stream that is not in the table: nil passes it over.
	onUnknown(h frame.Header) *frame.ConnError
	// pipeOf answers where the peer's data on a stream belongs.
	pipeOf(x *Exchange) *pipe
	// toward answers what is sent to the peer on a stream.
	toward(x *Exchange) *pipe
	onReset(x *Exchange, code frame.Code) *frame.ConnError
	onGoAway(last uint32, code frame.Code)
	onSettings()
	// onBroken ends an exchange whose peer broke a rule on its stream.
	onBroken(x *Exchange, code frame.Code) *frame.ConnError
	// tick does what is due and answers the next deadline.
	tick(now int64) (next int64, err *frame.ConnError)
}

func (c *conn) init(lc *loop.Conn, o *Options, r role) {
	*c = conn{c: lc, l: lc.Loop(), o: o, role: r, streams: map[uint32]*Exchange{}, window: frame.DefaultWindow, initial: frame.DefaultWindow,
		maxFrame: frame.DefaultMaxSize, dec: hpack.NewDecoder(4096)}
	if o.Memory == nil {
		o.Memory = &Memory{}
	}
	c.grant.init()
	o.Memory.join(c)
	c.begun = c.l.Now()
	c.calm.init(c.begun)
	c.ready = func() bool { return c.nudged || c.c.Readable() }
}

// nudge has the reading coroutine look at what is due.
func (c *conn) nudge() {
	c.nudged = true
	if c.task != nil {
		c.task.Wake()
	}
}

// open sends what a connection begins with.
func (c *conn) open(settings ...frame.Setting) {
	c.room(128)
	c.out = frame.AppendSettings(c.out, settings...)
	c.out = frame.AppendWindowUpdate(c.out, 0, connWindow-frame.DefaultWindow)
	c.credit = connWindow
	c.unacked++
	c.dirty()
	c.adjust()
}

// serve reads frames until the connection ends: with an error of the socket, or with one of the peer's or ours.
func (c *conn) serve() (rule *frame.ConnError, err error) {
	c.task = c.l.Current()
	for {
		if rule := c.frames(); rule != nil {
			return rule, nil
		}
		if len(c.out) > controlWater {
			return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.PeerDoesNotRead}, nil
		}
		next, rule := c.role.tick(c.l.Now())
		if rule != nil {
			return rule, nil
		}
		if c.closed {
			return nil, loop.ErrClosed
		}
		if now := c.l.Now(); !c.changing {
		} else if end := c.at + withholdTime; now >= end {
			c.returnCredit()
		} else if next == loop.Never || end < next {
			next = end
		}
		if err := c.read(next); err != nil && err != loop.ErrTimeout {
			return nil, err
		}
	}
}

// read reads once, until the deadline. While nothing comes, and nothing is there, no buffer is held.
func (c *conn) read(deadline int64) error {
	if !c.c.Readable() {
		if err := c.l.Wait(deadline, c.c, nil, c.ready); err != nil || c.nudged {
			c.nudged = false
			return err
		}
	}
	size := loop.Medium
	if c.eager {
		size = loop.Large
	}
	switch {
	case c.in == nil:
		c.in = c.l.Buffer(size)
	case c.w == len(c.in) || c.r > 0 && len(c.in)-c.w < loop.Small:
		c.makeRoom()
	}
	n, err := c.c.TryRead(c.in[c.w:])
	c.eager = c.w+n == len(c.in) || c.eager && n > loop.Medium
	c.w += n
	c.giveBack()
	if n > 0 {
		c.heard = c.l.Now()
	}
	return err
}

// makeRoom moves what is there to the front, of a larger buffer when it fills this one.
func (c *conn) makeRoom() {
	b := c.in
	if c.r == 0 && c.w == len(b) {
		b = c.l.Buffer(4 * len(b))
	}
	n := copy(b, c.in[c.r:c.w])
	if &b[0] != &c.in[0] {
		c.l.Release(c.in)
	}
	c.in, c.r, c.w = b, 0, n
}

func (c *conn) giveBack() {
	if c.r == c.w && c.in != nil {
		c.l.Release(c.in)
		c.in, c.r, c.w = nil, 0, 0
	}
}

// frames handles every whole frame that is there.
func (c *conn) frames() *frame.ConnError {
	defer c.giveBack()
	for c.w-c.r >= frame.HeaderLen && !c.closed {
		h := frame.Parse(c.in[c.r:])
		if !c.started && h.Type != frame.Settings {
			return errNotSettings // before its length is looked at: another protocol's bytes say anything there
		}
		if err := h.Check(frame.DefaultMaxSize); err != nil {
			return err
		}
		size := frame.HeaderLen + int(h.Length)
		if c.w-c.r < size {
			return nil
		}
		payload := c.in[c.r+frame.HeaderLen : c.r+size]
		c.r += size
		if err := c.frame(h, payload); err != nil {
			return err
		}
	}
	return nil
}

// "This sequence MUST … a SETTINGS frame, which MUST be the first frame": RFC 9113, section 3.4.
var errNotSettings = &frame.ConnError{Code: frame.ProtocolError, Reason: frame.NotSettingsFirst}

// frame handles one frame.
func (c *conn) frame(h frame.Header, p []byte) *frame.ConnError {
	if !c.started && h.Flags.Has(frame.Ack) {
		return errNotSettings
	}
	if c.block.open && (h.Type != frame.Continuation || h.Stream != c.block.id) {
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.InterleavedHeaderBlock}
	}
	switch h.Type {
	case frame.Data:
		c.spoke = c.ponged
		return c.onData(h, p)
	case frame.Headers:
		c.spoke = c.ponged
		c.calm.earn(2)
		block, err := frame.BlockOf(h, p)
		if err != nil {
			return err
		}
		return c.onBlock(h, block)
	case frame.Continuation:
		if !c.block.open {
			return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.LoneContinuation}
		}
		return c.onBlock(h, p)
	}
	if !c.calm.spend(c.l.Now()) && !(h.Type == frame.WindowUpdate && c.slowDown()) {
		return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyControlFrames}
	}
	switch h.Type {
	case frame.Settings:
		return c.onSettings(h, p)
	case frame.Ping:
		if h.Flags.Has(frame.Ack) {
			c.ponged = true
			break
		}
		c.room(32)
		c.out = frame.AppendPing(c.out, frame.Ack, p)
		c.dirty()
	case frame.WindowUpdate:
		return c.onWindowUpdate(h, p)
	case frame.ResetStream:
		if x := c.streams[h.Stream]; x != nil {
			return c.role.onReset(x, frame.CodeOf(p))
		}
		return c.role.onUnknown(h)
	case frame.GoAway:
		c.role.onGoAway(frame.Uint31(p), frame.CodeOf(p[4:]))
	case frame.Priority:
		return frame.CheckPriority(h, p)
	case frame.PushPromise:
		// We say SETTINGS_ENABLE_PUSH 0, and a client never pushes: RFC 9113, section 8.4.
		return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.PushRefused}
	}
	return nil
}

// slowDown has a peer wait for tokens that grants windows of a few bytes, and gets a frame for each. It reports false where the grants are not
// for that.
func (c *conn) slowDown() bool {
	if c.calm.crumbs == 0 {
		return false
	}
	c.calm.crumbs--
	return c.l.Sleep(crumbWait) != nil || c.closed || c.calm.spend(c.l.Now())
}

// block is a field block that is not whole yet.
type block struct {
	open   bool
	id     uint32
	end    bool // END_STREAM came with it
	bytes  []byte
	frames int
}

// keptFields is how large a list of fields is kept to be used again, in fields: 40 bytes each.
const keptFields = 64

// A byte of a block may stand for a whole field: 16 KB of them take a tenth of a millisecond, so that they count as blockCost times as many that are
// moved, and what they stand for is gone through as well. Blocks of up to cheapBlock bytes, and lists of up to cheapList, as are those that mean well,
// come with the reading.
const (
	cheapBlock = 1 << 10
	cheapList  = 4 << 10
	blockCost  = 16
)

// maxContinuations bounds the frames of one block: with the usual frame size eight hold as much as the limit of a header list does
// twice over, and some libraries send smaller ones (CVE-2024-27316, CVE-2023-45288).
const maxContinuations = 64

// onBlock takes a fragment of a field block, and the block when it is whole.
func (c *conn) onBlock(h frame.Header, fragment []byte) *frame.ConnError {
	b := &c.block
	if h.Type == frame.Headers {
		*b = block{id: h.Stream, end: h.Flags.Has(frame.EndStream), bytes: b.bytes[:0]}
	}
	// The table is shared by all blocks, so none may be left out; one that cannot be kept ends the connection.
	if len(b.bytes)+len(fragment) > 2*c.o.headLimit() {
		return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.HeaderBlockTooLarge}
	}
	if b.frames++; b.frames > maxContinuations {
		return &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyContinuations}
	}
	if !h.Flags.Has(frame.EndHeaders) {
		b.open = true
		b.bytes = append(b.bytes, fragment...)
		return nil
	}
	b.open = false
	if len(b.bytes) > 0 {
		b.bytes = append(b.bytes, fragment...)
		fragment = b.bytes
	}
	fields, size, err := c.dec.Decode(c.fields[:0], fragment, c.o.headLimit())
	c.fields = fields
	if cap(b.bytes) > loop.Small {
		b.bytes = nil
	}
	if err != nil {
		return &frame.ConnError{Code: frame.CompressionError, Reason: frame.BrokenHeaderBlock}
	}
	rule := c.role.onHeaders(b.id, b.end, fields, size)
	clear(c.fields)
	if cap(c.fields) > keptFields {
		c.fields = nil
	}
	if n := blockCost*max(len(fragment)-cheapBlock, 0) + max(min(size, c.o.headLimit())-cheapList, 0); n > 0 && rule == nil {
		c.l.Charge(n)
	}
	return rule
}

func (c *conn) onSettings(h frame.Header, p []byte) *frame.ConnError {
	if h.Flags.Has(frame.Ack) {
		c.onAck()
		return nil
	}
	if !c.started {
		c.started = true
		c.setMaxStreams(unsaidStreams) // unless it says so now
	}
	// "The values in the SETTINGS frame MUST be processed in the order they appear, with no other frame processing between values": RFC
	// 9113, section 6.5.3. So the last window is the one that counts, and streams are gone through once, however many there are.
	initial := c.initial
	err := frame.EachSetting(p, func(s frame.Setting) *frame.ConnError {
		switch s.ID {
		case frame.HeaderTableSize:
			c.enc.SetLimit(s.Value)
		case frame.InitialWindowSize:
			initial = int64(s.Value)
		case frame.MaxFrameSize:
			c.maxFrame = int(min(s.Value, 1<<20))
		case frame.MaxConcurrentStreams:
			c.setMaxStreams(s.Value)
		case frame.EnableConnectProtocol:
			c.connect = s.Value == 1
		case frame.EnablePush:
			if _, ok := c.role.(*Upstream); ok && s.Value == 1 { // it is a client's to allow: RFC 9113, section 6.5.2
				return &frame.ConnError{Code: frame.ProtocolError, Reason: frame.BadSetting}
			}
		}
		return nil
	})
	if err == nil {
		err = c.setInitial(initial)
	}
	if err != nil {
		return err
	}
	c.room(32)
	c.out = frame.AppendSettingsAck(c.out)
	c.dirty()
	c.role.onSettings()
	return nil
}

func (c *conn) setMaxStreams(n uint32) {
	if u, ok := c.role.(*Upstream); ok {
		u.maxStreams = n
	}
}

// position answers how many bytes will have been written when what is in out has gone.
func (c *conn) position() uint64 {
	if c.backlog > 0 {
		return c.before + uint64(c.backlog+len(c.out)) // some of the backlog may have been sent
	}
	return c.c.Sent() + uint64(len(c.out))
}
