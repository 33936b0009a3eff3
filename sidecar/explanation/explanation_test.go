package explanation

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

var whole = Explanation{Service: "shop/orders:80", Policy: "least-request", Endpoint: "10.0.0.2:8080", Pod: "orders-1", Attempts: 3, Time: 7 * time.Millisecond,
	Answered: 2 * time.Millisecond,
	Tried:    []Attempt{{"10.0.0.1:8080", "connect-failed", 0, 45 * time.Microsecond}, {"[fd00::1]:8080", "server-error", 503, 1500 * time.Microsecond}},
	Key: Key{Key: "header:tenant,json:/a; b%", Hash: "65c46c67cf688e28", Map: "slot 26052 of 65536", Owner: "orders-2", To: "failover", Waited: true,
		Reason: "owner is not ready"}}

const wholeText = "service=shop/orders:80; policy=least-request; endpoint=10.0.0.2:8080; pod=orders-1; attempts=3; time=7ms; answered=2ms; " +
	"tried=10.0.0.1:8080 connect-failed 45µs; tried=[fd00::1]:8080 server-error/503 1.5ms; key=header:tenant,json:/a%3B b%25; hash=65c46c67cf688e28; " +
	"map=slot 26052 of 65536; owner=orders-2; to=failover; waited; reason=owner is not ready"

func TestText(t *testing.T) {
	if got := whole.String(); got != wholeText {
		t.Errorf("wrote %q\nwant  %q", got, wholeText)
	}
	if got, err := Parse(wholeText); err != nil || !reflect.DeepEqual(got, whole) {
		t.Errorf("read %+v, %v\nwant %+v", got, err, whole)
	}
	session := Explanation{Service: "a/b:1", Endpoint: None, Key: Key{Session: "sid", Reason: "new"}}
	if text := session.String(); text != "service=a/b:1; endpoint=none; attempts=0; time=0s; session=sid; reason=new" {
		t.Errorf("wrote %q", text)
	}
}

// Whatever a value has in it, it ends neither itself nor the field.
func TestAValueStaysInItsPlace(t *testing.T) {
	e := Explanation{Service: "a/b:1", Key: Key{Key: "json:/x\r\nset-cookie: y; owner=z%3B\x7f"}}
	text := e.String()
	if strings.ContainsAny(text, "\r\n\x7f") || strings.Contains(text, "; owner=") {
		t.Errorf("wrote %q", text)
	}
	if got, err := Parse(text); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{ // of the error
		"service=a/b:1; shard-mood=fair; asleep; waited=1": "",
		"":                                 "names no Service",
		"please":                           "names no Service",
		"service=":                         "service is empty",
		"service":                          "names no Service",
		"service=a; service=b":             "service is there twice",
		"service=a; waited; waited":        "waited is there twice",
		"service=a; attempts=x":            `attempts: "x" is no number`,
		"service=a; attempts=-1":           `attempts: "-1" is no number`,
		"service=a; attempts":              `attempts: "" is no number`,
		"service=a; time=5":                `time: "5" is no duration`,
		"service=a; time=-5ms":             `time: "-5ms" is no duration`,
		"service=a; answered=soon":         `answered: "soon" is no duration`,
		"service=a; tried=1.2.3.4:80":      `tried: "1.2.3.4:80": want ENDPOINT OUTCOME TIME`,
		"service=a; tried=a cut/x 1ms":     `"x" is no number`,
		"service=a; tried=a cut 1":         `"1" is no duration`,
		"service=a; owner=%zz":             "owner: invalid URL escape",
		"service=a; tried=a cut 1ms; to=x": "",
	} {
		e, err := Parse(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if strings.Contains(text, "mood") && strings.Join(e.Other, ",") != "shard-mood=fair,asleep,waited=1" {
			t.Errorf("%q: other %q", text, e.Other)
		}
	}
}

// What is read is written so that the same is read again.
func FuzzParse(f *testing.F) {
	f.Add(wholeText)
	f.Add("service=a/b:1; endpoint=none; attempts=0; time=0s; key=none; to=none; reason=absent of header:x; more")
	f.Add("service=%00; tried=%20 cut/0 0s")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		e.Time, e.Answered = e.Time.Round(time.Microsecond), e.Answered.Round(time.Microsecond)
		for i := range e.Tried {
			e.Tried[i].Took = e.Tried[i].Took.Round(time.Microsecond)
		}
		e.Other = nil
		again, err := Parse(e.String())
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Fatalf("%q: %+v\nwritten: %q\nread again: %+v, %v", text, e, e.String(), again, err)
		}
	})
}
