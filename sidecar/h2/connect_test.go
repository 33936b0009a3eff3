package h2

import (
	"testing"

	"golang.org/x/net/http2"
)

var connect = []string{":method=CONNECT", ":protocol=websocket", ":scheme=http", ":path=/chat", ":authority=web"}

const connected = "HEADERS 3 :method=CONNECT :protocol=websocket :scheme=http :path=/chat :authority=web"

func TestExtendedConnectIsOfferedOnceAnEndpointIsKnownToTakeIt(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client()
	c.get(1)
	s := r.server(0, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
	s.want(asked("GET", 1)+" end", "")
	s.ok(1, true)
	for offered, answered := false, false; !offered || !answered; {
		switch f := c.next().(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				if v, _ := f.Value(http2.SettingEnableConnectProtocol); v != 1 {
					t.Fatalf("got %v", f)
				}
				offered = true
			}
		case *http2.MetaHeadersFrame:
			answered = true
		}
	}
	c.head(3, false, connect...)
	s.want(connected, "RFC 8441, section 4")
	s.ok(3, false)
	c.want("HEADERS 3 :status=200", "")
	s.WriteData(3, false, []byte("down"))
	c.want(`DATA 3 "down"`, "")
	c.WriteData(3, false, []byte("up"))
	s.want(`DATA 3 "up"`, "")
	s.WriteData(3, true, nil)
	c.want(`DATA 3 "" end`, "each direction ends alone")
	c.WriteData(3, true, []byte("bye"))
	s.want(`DATA 3 "bye" end`, "")
	c.get(5)
	s.want(asked("GET", 5)+" end", "")
	s.ok(5, true)
	c.want("HEADERS 5 :status=200 end", "")
}

func TestExtendedConnectThatWasNotOfferedIsMalformed(t *testing.T) {
	_, c, s := pair(t, nil)
	c.head(3, false, connect...)
	c.want("RST_STREAM 3 PROTOCOL_ERROR", "RFC 8441, section 3")
	s.silence("it goes nowhere")
}

func TestConnect(t *testing.T) {
	_, c, s := pair(t, nil)
	c.head(3, false, ":method=CONNECT", ":authority=db:5432")
	s.want("HEADERS 3 :method=CONNECT :authority=db:5432", "RFC 9113, section 8.5")
	s.ok(3, false, "content-length=7")
	c.want("HEADERS 3 :status=200 content-length=7", "a length says nothing of a tunnel")
	s.WriteData(3, false, []byte("more than seven bytes"))
	c.want(`DATA 3 "more than seven bytes"`, "")
	c.WriteRSTStream(3, http2.ErrCodeConnect)
	s.want("RST_STREAM 3 CONNECT_ERROR", "what the client says of the tunnel is passed on")
}
