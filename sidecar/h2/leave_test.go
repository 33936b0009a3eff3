package h2

import (
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// leaves has all client connections of a rig leave, and takes the time between the two GOAWAYs away.
func (r *rig) leaves(c *peer) {
	r.t.Helper()
	r.on(func() {
		for d := range r.downs {
			d.Leave()
		}
	})
	c.want("GOAWAY 2147483647 NO_ERROR ", "the end is announced: RFC 9113, section 6.8")
}

func (r *rig) second() {
	r.on(func() {
		for d := range r.downs {
			d.age = d.l.Now()
			d.nudge()
		}
	})
}

func TestAConnectionLeavesGracefully(t *testing.T) {
	r, c, s := pair(t, nil)
	c.post(3)
	s.want(asked("POST", 3), "")
	r.leaves(c)
	c.get(5)
	s.want(asked("GET", 5)+" end", "streams that crossed the announcement are taken")
	r.second()
	c.want("GOAWAY 5 NO_ERROR ", "the last stream that was taken")
	c.get(7)
	c.post(9)
	c.WriteData(9, true, []byte("x"))
	c.silence("later ones are ignored")
	s.silence("and go nowhere")
	s.ok(5, true)
	c.want("HEADERS 5 :status=200 end", "streams that are open go on")
	c.WriteData(3, true, []byte("rest"))
	s.want(`DATA 3 "rest" end`, "")
	s.ok(3, true)
	c.want("HEADERS 3 :status=200 end", "")
	if got := c.gone(); got != "GOAWAY 5 NO_ERROR " {
		t.Errorf(`the end was %q: "Endpoints MUST NOT increase the value they send in the last stream identifier", section 6.8`, got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.violations) > 0 {
		t.Errorf("%v were counted", r.violations)
	}
}

func TestAConnectionWithoutStreamsLeavesAtOnce(t *testing.T) {
	r, c, _ := pair(t, nil)
	r.leaves(c)
	r.second()
	c.want("GOAWAY 1 NO_ERROR ", "")
	c.gone()
}

func TestAConnectionLeavesWhenItIsOld(t *testing.T) {
	r := newRig(t, 0, nil)
	r.maxAge = time.Millisecond
	c := r.client()
	c.want("GOAWAY 2147483647 NO_ERROR ", "the end is announced")
	r.second()
	c.want("GOAWAY 0 NO_ERROR ", "")
	c.gone()
}

// A connection is replaced before its identifiers run out.
func TestIdentifiersRunOut(t *testing.T) {
	r, c, s := pair(t, nil)
	r.on(func() { r.endpoints[0].up.nextID = lastStream - 1 })
	c.get(3)
	s.want(asked("GET", lastStream-1)+" end", "the last stream of the connection")
	c.get(5)
	s2 := r.server(0)
	s2.want(asked("GET", 1)+" end", "the next one gets a new connection")
	s2.ok(1, true)
	c.want("HEADERS 5 :status=200 end", "")
	s.ok(lastStream-1, true)
	c.want("HEADERS 3 :status=200 end", "")
}

// How many streams the endpoint allows, said at first and later.
func TestStreamsThatTheEndpointAllows(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client()
	c.get(1)
	s := r.server(0, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
	s.want(asked("GET", 1)+" end", "")
	room := func(want int) {
		t.Helper()
		s.silence("")
		r.on(func() {
			for u := range r.endpoints[0].ups {
				if u.Room() != want {
					t.Errorf("there is room for %d streams, want %d", u.Room(), want)
				}
			}
		})
	}
	room(1)
	c.get(3)
	s.want(asked("GET", 3)+" end", "")
	room(0)
	s.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	room(0)
	s.ok(1, true)
	c.want("HEADERS 1 :status=200 end", "")
	room(0)
	s.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 5})
	room(4)
	s.ok(3, true)
	c.want("HEADERS 3 :status=200 end", "")
	s.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
	room(0)
	if got := s.gone(); got != "GOAWAY 0 NO_ERROR none" {
		t.Errorf("the end was %q", got)
	}
}

// Windows that the client changes while bytes wait: RFC 9113, section 6.9.2.
func TestSettingsChangeTheWindowsOfOpenStreams(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
	c.get(1)
	s := r.server(0)
	s.want(asked("GET", 1)+" end", "")
	s.ok(1, false)
	s.WriteData(1, true, []byte("0123456789abcdefghij"))
	c.want("HEADERS 1 :status=200", "")
	c.want(`DATA 1 "0123456789"`, "the window's size")
	c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 4})
	c.silence("the window is now below zero")
	c.WriteWindowUpdate(1, 6)
	c.silence("and now zero")
	c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
	c.want(`DATA 1 "abc"`, "three more")
	c.WriteWindowUpdate(1, 100)
	c.want(`DATA 1 "defghij" end`, "the rest")
}

// A client that does not acknowledge our SETTINGS.
func TestSettingsTime(t *testing.T) {
	r := newRig(t, 0, nil)
	c := r.bare()
	c.auto = false
	c.WriteSettings()
	r.eventually("the connection", func() bool { return len(r.downs) == 1 })
	r.on(func() {
		for d := range r.downs {
			d.begun -= int64(settingsTime)
			d.nudge()
		}
	})
	c.goesAway(http2.ErrCodeSettingsTimeout, frame.SettingsNotAcknowledged, "RFC 9113, section 6.5.3")
}

// An endpoint that is silent while a stream waits is asked whether it is still there.
func TestASilentEndpointIsAsked(t *testing.T) {
	r, c, s := pair(t, nil)
	s.auto = false
	c.get(3)
	s.want(asked("GET", 3)+" end", "")
	silent := func(n int64) {
		r.on(func() {
			u := r.endpoints[0].up
			u.heard -= n
			if u.pinged != 0 {
				u.pinged -= n
			}
			u.nudge()
		})
	}
	silent(pingAfter)
	for {
		if f, ok := s.next().(*http2.PingFrame); ok && !f.IsAck() {
			break
		}
	}
	silent(pingTime)
	r.eventually("the connection to take no more streams", func() bool { return r.endpoints[0].up.unwell })
	c.get(5)
	s2 := r.server(0)
	s2.want(asked("GET", 1)+" end", "others go on a new connection")
	s2.ok(1, true)
	c.want("HEADERS 5 :status=200 end", "")
	s.WritePing(true, [8]byte{})
	r.eventually("the connection to be well again", func() bool {
		for u := range r.endpoints[0].ups {
			if u.unwell {
				return false
			}
		}
		return true
	})
	s.ok(3, true)
	c.want("HEADERS 3 :status=200 end", "who waited got the answer")
}

// A program that stands still while it is sent more than its kernel takes is not gone.
func TestAnEndpointThatDoesNotReadIsNotGone(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client()
	c.post(1)
	s := r.server(0, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	s.WriteWindowUpdate(0, 1<<30)
	s.want(asked("POST", 1), "")
	s.silence("")
	go c.absorb(nil)
	// The server reads nothing any more.
	sent := int64(0)
	stuck := func() bool {
		for u := range r.endpoints[0].ups {
			return u.backlog > 0
		}
		return false
	}
	r.eventually("its socket to be full", func() bool {
		for range 8 {
			if c.granted(0)-sent < 16384 || c.granted(1)+65535-sent < 16384 {
				return stuck()
			}
			c.WriteData(1, false, make([]byte, 16384))
			sent += 16384
		}
		return stuck()
	})
	r.on(func() {
		u := r.endpoints[0].up
		u.heard -= pingAfter
		u.nudge()
	})
	r.eventually("PING to be sent", func() bool { return r.endpoints[0].up.pinged != 0 })
	r.on(func() {
		u := r.endpoints[0].up
		u.pinged -= pingTime
		u.vigil = loop.Vigil{} // it is looked at now
		u.nudge()
	})
	r.eventually("the connection to take no more streams", func() bool { return r.endpoints[0].up.unwell })
	r.on(func() {
		if len(r.endpoints[0].ups) != 1 {
			t.Error("the connection was ended")
		}
	})
	c.WriteRSTStream(1, http2.ErrCodeCancel)
}

// grpc-go's server forgives PING once it has sent HEADERS or DATA, and else none within five minutes of another: a third such ends the
// connection (too_many_pings).
func TestPingIsNotSentMoreOftenThanServersForgive(t *testing.T) {
	r, c, s := pair(t, nil)
	s.auto = false
	c.get(3)
	s.want(asked("GET", 3)+" end", "")
	silent := func() {
		r.on(func() {
			u := r.endpoints[0].up
			u.heard -= pingAfter
			u.nudge()
		})
	}
	pinged := func() bool { return r.endpoints[0].up.pinged != 0 }
	ping := func() {
		t.Helper()
		r.eventually("PING to be sent", pinged)
		s.WritePing(true, [8]byte{})
		r.eventually("its answer", func() bool { return !pinged() })
	}
	unasked := func(why string) {
		t.Helper()
		r.on(func() {}) // the connection has looked by then
		r.on(func() {
			if pinged() {
				t.Error("PING is sent again: " + why)
			}
		})
	}
	silent()
	ping()
	silent()
	unasked("nothing but the acknowledgement has come")
	s.ok(3, false)
	c.want("HEADERS 3 :status=200", "")
	silent()
	ping()
	silent()
	unasked("it has been asked since the head came")
	s.WriteData(3, true, []byte("x"))
	c.want(`DATA 3 "x" end`, "")
}

// An endpoint that has not said a word when its time for SETTINGS is over takes no further streams; the first one goes on.
func TestAnEndpointThatSaysNothingTakesNoMoreStreams(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client()
	c.get(1)
	s := r.rude(0)
	s.auto = false
	s.want(asked("GET", 1)+" end", "")
	r.on(func() {
		u := r.endpoints[0].up
		u.begun -= int64(settingsTime)
		u.nudge()
	})
	r.eventually("no more streams", func() bool { return r.endpoints[0].up.unwell })
	c.get(3)
	s2 := r.server(0)
	s2.want(asked("GET", 1)+" end", "on another connection")
	s2.ok(1, true)
	c.want("HEADERS 3 :status=200 end", "")
	s.WriteSettings()
	s.ok(1, true)
	c.want("HEADERS 1 :status=200 end", "who waited goes on")
}

func TestAnIdleConnectionEndsInTime(t *testing.T) {
	r, _, s := pair(t, nil)
	r.on(func() {
		u := r.endpoints[0].up
		u.idleSince -= int64(time.Minute)
		u.nudge()
	})
	if got := s.gone(); got != "GOAWAY 0 NO_ERROR none" {
		t.Errorf("the end was %q", got)
	}
}

// An endpoint that has left the set keeps no idle connection, and finishes what it has.
func TestAConnectionToAnEndpointThatIsGoneEnds(t *testing.T) {
	end := "GOAWAY 0 NO_ERROR none"
	t.Run("at once where it is idle", func(t *testing.T) {
		r, _, s := pair(t, nil)
		r.on(func() {
			u := r.endpoints[0].up
			u.Endpoint.Gone.Store(true)
			u.nudge()
		})
		if got := s.gone(); got != end {
			t.Errorf("the end was %q", got)
		}
	})
	t.Run("behind its last stream", func(t *testing.T) {
		r, c, s := pair(t, nil)
		c.post(3)
		s.want(asked("POST", 3), "")
		c.get(5)
		s.want(asked("GET", 5)+" end", "")
		r.on(func() {
			u := r.endpoints[0].up
			u.Endpoint.Gone.Store(true)
			u.nudge()
		})
		s.ok(5, true)
		c.want("HEADERS 5 :status=200 end", "")
		s.silence("stream 3 is under way")
		c.WriteData(3, true, []byte("rest"))
		s.want(`DATA 3 "rest" end`, "")
		s.ok(3, true)
		c.want("HEADERS 3 :status=200 end", "")
		if got := s.gone(); got != end {
			t.Errorf("the end was %q", got)
		}
	})
	t.Run("not before it has said what it speaks", func(t *testing.T) {
		r := newRig(t, 1, nil)
		r.dialed = func(u *Upstream) { u.Endpoint.Gone.Store(true) }
		c := r.client()
		c.get(1)
		s := r.rude(0)
		s.auto = false
		s.want(asked("GET", 1)+" end", "who has picked it still goes there")
		c.WriteRSTStream(1, http2.ErrCodeCancel)
		s.want("RST_STREAM 1 CANCEL", "")
		r.on(func() {
			if u := r.endpoints[0].up; u == nil || u.Closed() {
				t.Error("the connection was ended")
			}
		})
		s.WriteSettings()
		if got := s.gone(); got != end {
			t.Errorf("the end was %q", got)
		}
	})
}
