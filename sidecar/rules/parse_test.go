package rules

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/shard"
)

type m = map[string]string

// all is the table as it will be when everything is honoured.
func all() []Setting {
	t := slices.Clone(table)
	for i := range t {
		t[i].Reserved = false
	}
	return t
}

// TestValues has, for each setting, what is read, and as what it is written again.
func TestValues(t *testing.T) {
	values := map[string][][2]string{
		"policy":             {{"round-robin", ""}, {" least-request\n", "least-request"}},
		"weights":            {{"none", ""}},
		"slow-start":         {{"off", ""}, {"30s", ""}, {"90s", "1m30s"}, {"1h", ""}, {"false", "off"}},
		"zone":               {{"prefer", ""}, {"ignore", ""}},
		"panic-threshold":    {{"50%", ""}, {"30", "30%"}, {"0%", "off"}, {"off", ""}, {"100%", ""}},
		"retries":            {{"0", ""}, {"10", ""}},
		"retry-on":           {{"none", ""}, {"503,reset", "reset,503"}, {"5xx, unavailable", "5xx,unavailable"}, {"500,500", "500"}},
		"idempotent":         {{"none", ""}, {"POST", ""}, {"POST /search , /shop.Catalog/*", "POST /search,/shop.Catalog/*"}, {"/*", ""}, {"/", ""}},
		"idempotency-key":    {{"on", ""}, {"true", "on"}, {"off", ""}},
		"retry-budget":       {{"off", ""}, {"20%,10/s,burst=100", ""}, {"5%", "5%,10/s,burst=100"}, {"burst=1,0/s", "20%,0/s,burst=1"}, {"0.25%,2.5/s", "0.25%,2.5/s,burst=100"}},
		"retry-backoff":      {{"off", ""}, {"1ms-1s", ""}, {"1s - 1s", "1s-1s"}},
		"replay-limit":       {{"off", ""}, {"0", "off"}, {"1Mi", ""}, {"1024Ki", "1Mi"}, {"65536", "64Ki"}, {"1000", ""}},
		"per-try-timeout":    {{"off", ""}, {"1ms", ""}, {"24h", ""}, {"1.5s", ""}},
		"timeout":            {{"off", ""}, {"60s", "1m"}},
		"hang-race":          {{"on", ""}, {"off", ""}, {"floor=500ms,factor=5", ""}, {"factor=2.5", "floor=1s,factor=2.5"}, {"floor=1s", "on"}},
		"hedge":              {{"off", ""}, {"50ms", ""}},
		"attempt-header":     {{"off", ""}, {"on", ""}, {"X-Attempt", "x-attempt"}, {"sluice-attempt", "on"}},
		"ejection":           {{"on", ""}, {"off", ""}},
		"ejection-errors":    {{"1", ""}, {"1000", ""}},
		"ejection-time":      {{"1s-60s", "1s-1m"}, {"10ms-24h", ""}},
		"max-connections":    {{"none", ""}, {"1", ""}},
		"max-requests":       {{"none", ""}, {"1000000", ""}},
		"max-pending":        {{"0", ""}, {"100", ""}},
		"queue-timeout":      {{"1ms", ""}, {"10m", ""}},
		"explain":            {{"off", ""}, {"on", ""}, {"header", ""}, {"true", "on"}, {"false", "off"}},
		"access-log":         {{"off", ""}, {"on", ""}, {"100%", "on"}, {"7%", ""}, {"0.01%", ""}, {"33.33%", ""}, {"0%", "off"}},
		"max-stream-age":     {{"off", ""}, {"30m", ""}},
		"headless":           {{"respect", ""}, {"balance", ""}},
		"shard-key":          {{"off", ""}, {"header:account-id", ""}, {"path:/a/{key}/b,json:/x,y", ""}, {"header:a, source-ip", "?"}},
		"shard-map":          {{"rendezvous", ""}, {"ordinal", ""}, {"ring,size=4096", ""}, {"ordinal, by=hash", "ordinal,by=hash"}},
		"shard-fallback":     {{"failover", ""}, {"wait=5s", ""}, {"strict", ""}},
		"shard-no-key":       {{"balance", ""}, {"reject", ""}},
		"shard-overflow":     {{"balance", ""}, {"reject", ""}},
		"shard-normalize":    {{"none", ""}, {"trim, lower", "trim,lower"}, {"decode", ""}},
		"shard-serialize":    {{"on", ""}, {"off", ""}},
		"shard-bounded-load": {{"off", ""}, {"1.25", ""}, {"2", ""}},
		"shard-lookup":       {{"off", ""}, {"account-owners.v1", ""}},
		"shard-cookie":       {{"off", ""}, {"sid", ""}, {"sid; path=/shop; max-age=1h", ""}},
		"scatter":            {{"on", ""}, {"off", ""}},
	}
	for _, s := range all() {
		if len(values[s.Name]) == 0 {
			t.Errorf("no row for %s", s.Name)
		}
		for _, v := range append(values[s.Name], [2]string{s.Example, "?"}, [2]string{s.Default(), ""}) {
			r := Default()
			if err := s.check(r, v[0]); err != nil {
				t.Error(err)
				continue
			}
			want := v[1]
			if want == "" {
				want = v[0]
			}
			if got := s.text(r); got != want && want != "?" {
				t.Errorf("%s: %q is written as %q, want %q", s.Name, v[0], got, want)
			}
			again := Default()
			if err := s.check(again, s.text(r)); err != nil || !Equal(r, again) {
				t.Errorf("%s: %q is read as %+v, which is written as %q and read as %+v, %v", s.Name, v[0], r, s.text(r), again, err)
			}
		}
	}
}

// TestValuesThatAreRefused has, for each setting, blank-separated values; the empty one is tried for all.
func TestValuesThatAreRefused(t *testing.T) {
	values := map[string]string{
		"policy": "fastest LEAST-REQUEST", "weights": "", "slow-start": "0 30 -1s 2h 1", "zone": "on PREFER", "panic-threshold": "101% -1 half 1.5%",
		"retries": "-1 11 +1 2.0 two none", "retry-on": "none,503 404 503,,500 ,503 5XX all", "idempotent": "post POST, a/b /a*b /a?b none,POST POST,none P*",
		"idempotency-key": "yes 1 ON", "retry-budget": "20 101% 10/s,5/s -1/s burst=0 burst 20%,x 1e2/s 0.001%", "retry-backoff": "25ms 1s-1ms 0-1s 1s-2m -",
		"replay-limit": "2Mi 1048577 64K 64KB -1 Ki 1.5Ki", "per-try-timeout": "0 0s 1 1ns 25h -1s 1day", "timeout": "0 forever", "hang-race": "floor=0 factor=0.5 1s floor factor=1e9",
		"hedge": "0 2h on", "attempt-header": "host a:b Content-Length Ünicode", "ejection": "yes", "ejection-errors": "0 1001", "ejection-time": "1m-1s 1s 0-1s",
		"max-connections": "0 -1 1000001 off", "max-requests": "0 1.5", "max-pending": "-1 none", "queue-timeout": "0 off 11m", "explain": "yes HEADER",
		"access-log": "1 0.5 101% 0.001% -1%", "max-stream-age": "10ms 0", "headless": "on", "shard-key": "header account header: header:a,,x",
		"shard-map": "modulo RING ring,size=0 ordinal,slots=1024 ring, ,", "shard-fallback": "wait wait= wait=0 fail wait=1h", "shard-no-key": "drop", "shard-overflow": "413",
		"shard-normalize": "upper lower,,trim", "shard-serialize": "1", "shard-bounded-load": "1 0 11 125%", "shard-lookup": "Owners ns/owners -a",
		"shard-cookie": "a=b on a;b", "scatter": "all",
	}
	for _, s := range all() {
		bad, ok := values[s.Name]
		if !ok {
			t.Errorf("no row for %s", s.Name)
		}
		for _, v := range append(strings.Fields(bad), "", " ", "\n") {
			r := Default()
			err := s.check(r, v)
			if err == nil {
				t.Errorf("%s: %q is read as %q", s.Name, v, s.text(r))
				continue
			}
			others := strings.HasPrefix(s.Name, "shard-") && strings.TrimSpace(v) != ""
			if !others && !strings.HasSuffix(err.Error(), "want "+s.Allowed) || !strings.Contains(err.Error(), quoted(v)) {
				t.Errorf("%s: the message has not the value %q and what is allowed: %v", s.Name, v, err)
			}
			if !Equal(r, Default()) {
				t.Errorf("%s: %q is refused and changes the rules all the same", s.Name, v)
			}
		}
	}
}

func TestMessagesTeach(t *testing.T) {
	for _, c := range []struct {
		name        string
		annotations m
		want        []string
	}{
		{"others' annotations are not ours to judge", m{"prometheus.io/scrape": "maybe", "sluice.example/x": ""}, nil},
		{"a value that is no policy", m{"sluice.mesh/policy": "fastest"},
			[]string{`annotation sluice.mesh/policy: "fastest": want one of `}},
		{"a duration without a unit", m{"sluice.mesh/timeout": "15"},
			[]string{`annotation sluice.mesh/timeout: "15": a duration needs a unit (ms, s, m, h); want off, or a duration from 1ms to 24h`}},
		{"a duration that is too long", m{"sluice.mesh/hedge": "2h"},
			[]string{`annotation sluice.mesh/hedge: "2h": 1h is the most; want off, or a duration from 1ms to 1h`}},
		{"one of a list is wrong", m{"sluice.mesh/retry-on": "reset,404"},
			[]string{`annotation sluice.mesh/retry-on: "reset,404": "404" is unknown; want none, or a list of `}},
		{"a slip of the finger", m{"sluice.mesh/polcy": "random"},
			[]string{`annotation sluice.mesh/polcy: unknown annotation; did you mean sluice.mesh/policy?`}},
		{"two letters in the wrong order, and the wrong hyphen", m{"sluice.mesh/reties": "1", "sluice.mesh/retry_on": "503"},
			[]string{`annotation sluice.mesh/reties: unknown annotation; did you mean sluice.mesh/retries?`,
				`annotation sluice.mesh/retry_on: unknown annotation; did you mean sluice.mesh/retry-on?`}},
		{"what belongs elsewhere", m{"sluice.mesh/weight": "3"},
			[]string{`annotation sluice.mesh/weight: this annotation belongs on pods and EndpointSlices; a Service has sluice.mesh/weights`}},
		{"part of a name", m{"sluice.mesh/budget": "1"},
			[]string{`annotation sluice.mesh/budget: unknown annotation; did you mean sluice.mesh/retry-budget?`}},
		{"a name that is like none", m{"sluice.mesh/zzzzzzzzzz": "1", "sluice.mesh/": "1"},
			[]string{`annotation sluice.mesh/: unknown annotation; known are sluice.mesh/policy, sluice.mesh/weights`,
				`annotation sluice.mesh/zzzzzzzzzz: unknown annotation; known are sluice.mesh/policy, sluice.mesh/weights`}},
		{"a long value is cut", m{"sluice.mesh/zone": strings.Repeat("ü", 1000)},
			[]string{`annotation sluice.mesh/zone: "` + strings.Repeat("ü", 40) + `"…: want prefer or ignore`}},
		{"an attempt that may take longer than the whole", m{"sluice.mesh/per-try-timeout": "3s", "sluice.mesh/timeout": "2s"},
			[]string{`annotation sluice.mesh/per-try-timeout: "3s": is longer than sluice.mesh/timeout 2s, and so would never end an attempt`}},
		{"a hedge that comes too late", m{"sluice.mesh/hedge": "3s", "sluice.mesh/per-try-timeout": "3s"},
			[]string{`annotation sluice.mesh/hedge: "3s": is not shorter than sluice.mesh/per-try-timeout 3s, and so would never begin`}},
		{"a map without a key", m{"sluice.mesh/shard-map": "ordinal"},
			[]string{`annotation sluice.mesh/shard-map: "ordinal": needs sluice.mesh/shard-key, which says where a request's key is`}},
		{"a map with a wrong key is not complained about twice", m{"sluice.mesh/shard-map": "ordinal", "sluice.mesh/shard-key": "account"},
			[]string{`annotation sluice.mesh/shard-key: "account": shard key "account": want header:NAME, `}},
		{"a lookup in nothing", m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-map": "lookup"},
			[]string{`annotation sluice.mesh/shard-map: "lookup": needs sluice.mesh/shard-lookup, which names the ConfigMap with the keys`}},
		{"a ConfigMap for nothing", m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-lookup": "owners"},
			[]string{`annotation sluice.mesh/shard-lookup: "owners": needs sluice.mesh/shard-map: lookup, prefix-lookup or s2`}},
		{"a key and a session", m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-cookie": "sid"},
			[]string{`annotation sluice.mesh/shard-cookie: "sid": a Service has either sluice.mesh/shard-key or sessions by cookie`}},
		{"a key that is off, and a session", m{"sluice.mesh/shard-key": "off", "sluice.mesh/shard-cookie": "sid"}, nil},
		{"a map with a key that is off", m{"sluice.mesh/shard-map": "ordinal", "sluice.mesh/shard-key": "off"},
			[]string{`annotation sluice.mesh/shard-map: "ordinal": needs sluice.mesh/shard-key, which says where a request's key is`}},
		{"a session that waits, and a key that is off", m{"sluice.mesh/shard-cookie": "sid", "sluice.mesh/shard-key": "off", "sluice.mesh/shard-fallback": "strict"},
			[]string{`annotation sluice.mesh/shard-fallback: "strict": needs sluice.mesh/shard-key, which says where a request's key is`}},
		{"a session that waits", m{"sluice.mesh/shard-cookie": "sid", "sluice.mesh/shard-fallback": "strict"},
			[]string{`annotation sluice.mesh/shard-fallback: "strict": needs sluice.mesh/shard-key, which says where a request's key is`}},
		{"a bound where nobody else may have a key",
			m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-map": "ordinal", "sluice.mesh/shard-bounded-load": "1.25"},
			[]string{`annotation sluice.mesh/shard-bounded-load: "1.25": needs sluice.mesh/shard-fallback: failover, without which nobody but its owner has a key`}},
		{"a bound where another may",
			m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-map": "ordinal", "sluice.mesh/shard-bounded-load": "1.25",
				"sluice.mesh/shard-fallback": "failover"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errs := parse(all(), c.annotations, nil)
			if len(errs) != len(c.want) {
				t.Fatalf("got %q, want %q", errs, c.want)
			}
			for i, err := range errs {
				if !strings.HasPrefix(err.Error(), c.want[i]) {
					t.Errorf("got  %s\nwant %s", err, c.want[i])
				}
			}
		})
	}
}

func TestABadValueKeepsTheLastGoodOne(t *testing.T) {
	before, errs := parse(all(), m{"sluice.mesh/retries": "3", "sluice.mesh/timeout": "9s", "sluice.mesh/shard-key": "header:a",
		"sluice.mesh/shard-fallback": "strict"}, nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	now, errs := parse(all(), m{"sluice.mesh/retries": "many", "sluice.mesh/timeout": "8s", "sluice.mesh/shard-key": "account",
		"sluice.mesh/shard-map": "ordinal", "sluice.mesh/shard-fallback": "no"}, before)
	if len(errs) != 3 {
		t.Errorf("got %q, want three errors", errs)
	}
	if now.Retry.Most != 3 || now.Timeout != 8*time.Second || now.Shard.Key != "header:a" || now.Shard.Map != "ordinal" || now.Shard.Fallback != FallStrict {
		t.Errorf("got %+v", now)
	}
	if before.Timeout != 9*time.Second {
		t.Error("the last rules were changed")
	}
	if now, _ = parse(all(), m{"sluice.mesh/retries": "many"}, nil); now.Retry.Most != Default().Retry.Most {
		t.Errorf("without last rules: %d retries, want the default", now.Retry.Most)
	}
	if now, _ = parse(all(), m{"sluice.mesh/shard-map": "lookup", "sluice.mesh/shard-key": "header:b"}, before); now.Shard != before.Shard {
		t.Errorf("a map that cannot work: %+v, want what was before", now.Shard)
	}
	if now, _ = parse(all(), nil, before); !Equal(now, Default()) {
		t.Errorf("without annotations: %+v, want the defaults", now)
	}
	same, errs := parse(all(), m{"sluice.mesh/timeout": "9000ms", "sluice.mesh/retries": "three", "sluice.mesh/shard-key": "header:a",
		"sluice.mesh/shard-fallback": "strict"}, before)
	if same != before || len(errs) != 1 {
		t.Errorf("nothing has changed, and yet other rules are answered (%v)", errs)
	}
}

func TestAnOwnerByOrdinalIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		annotations m
		want        Fallback
	}{
		{m{"sluice.mesh/shard-key": "header:a"}, FallOver},
		{m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-map": "ordinal"}, FallWait},
		{m{"sluice.mesh/shard-key": "header:a", "sluice.mesh/shard-map": "ordinal", "sluice.mesh/shard-fallback": "failover"}, FallOver},
	} {
		r, errs := parse(all(), c.annotations, nil)
		if r.Shard.Fallback != c.want || len(errs) > 0 || c.want == FallWait && r.Shard.FallbackWait != ordinalWait {
			t.Errorf("%v: %v, %v; want %v", c.annotations, r.Shard.Fallback, errs, c.want)
		}
		if again, errs := parse(all(), format(all(), r), nil); !Equal(again, r) || len(errs) > 0 {
			t.Errorf("%v: read again %+v, %v", c.annotations, again, errs)
		}
	}
}

// TestShardsAreReady: what the texts say is read with the rules, once, and by whoever has rules that were not parsed.
func TestShardsAreReady(t *testing.T) {
	for _, c := range []struct {
		annotations m
		keys        string
		session     string
		kind        shard.Kind
		slots       int
	}{
		{nil, "", "", shard.Rendezvous, shard.DefaultSlots},
		{m{"sluice.mesh/shard-key": "header:a,json:/b"}, "header:a,json:/b", "", shard.Rendezvous, shard.DefaultSlots},
		{m{"sluice.mesh/shard-key": "query:q", "sluice.mesh/shard-map": "rendezvous,slots=2048"}, "query:q", "", shard.Rendezvous, 2048},
		{m{"sluice.mesh/shard-cookie": "sid; max-age=1h"}, "", "sid", shard.Rendezvous, 1024},
		{m{"sluice.mesh/shard-cookie": "sid", "sluice.mesh/shard-key": "off"}, "", "sid", shard.Rendezvous, 1024},
		{m{"sluice.mesh/shard-key": "json:/lat,json:/lng", "sluice.mesh/shard-map": "s2"}, "json:/lat,json:/lng", "", shard.S2, shard.DefaultSlots},
		{m{"sluice.mesh/shard-key": "json:/lat,json:/lng", "sluice.mesh/shard-map": "s2", "sluice.mesh/shard-lookup": "areas"},
			"json:/lat,json:/lng", "", shard.S2, shard.DefaultSlots},
	} {
		parsed, errs := parse(all(), c.annotations, nil)
		if len(errs) > 0 {
			t.Error(errs)
		}
		byHand := *parsed
		byHand.Shard.ready = nil
		if !Equal(&byHand, parsed) {
			t.Errorf("%v: rules are not equal to themselves", c.annotations)
		}
		for _, r := range []*Rules{parsed, &byHand} {
			s := &r.Shard
			keys, session := "", ""
			if s.Keys() != nil {
				keys = s.Keys().String()
			}
			if s.Session() != nil {
				session = s.Session().Name
			}
			spec := s.Spec()
			if keys != c.keys || session != c.session || spec.Kind != c.kind || spec.Slots != c.slots || spec.Sessions != (session != "") || s.On() != (keys+session != "") {
				t.Errorf("%v: keys %q, session %q, map %+v", c.annotations, keys, session, spec)
			}
			if spec.NeedsTable() != (s.Lookup != "") {
				t.Errorf("%v: needs a table: %v", c.annotations, spec.NeedsTable())
			}
		}
		keys, session := parsed.Shard.Keys(), parsed.Shard.Session()
		if parsed.Shard.Keys() != keys || parsed.Shard.Session() != session {
			t.Errorf("%v: it is read each time", c.annotations)
		}
	}
}

func TestReservedSettingsAreUnknown(t *testing.T) {
	some := []Setting{table[0], table[1]}
	some[1].Reserved = true
	name := some[1].Annotation()
	r, errs := parse(honoured(some), m{name: some[1].Example}, nil)
	if !Equal(r, Default()) || len(errs) != 1 || !strings.Contains(errs[0].Error(), "unknown annotation") {
		t.Errorf("got %v", errs)
	}
	if strings.Contains(errs[0].Error()[len("annotation "+name):], name) {
		t.Errorf("the message offers what it refuses: %v", errs[0])
	}
	if Known(name) && table[1].Reserved || !Known(Prefix+"policy") || Known("policy") || Known(Prefix) {
		t.Error("Known is wrong")
	}
}

func TestCheckLooksAtWhatChanged(t *testing.T) {
	for _, c := range []struct {
		name        string
		now, before m
		want        int
	}{
		{"a wrong value", m{"sluice.mesh/zone": "x"}, nil, 1},
		{"a wrong value that was there before", m{"sluice.mesh/zone": "x"}, m{"sluice.mesh/zone": "x"}, 0},
		{"a wrong value for another wrong one", m{"sluice.mesh/zone": "y"}, m{"sluice.mesh/zone": "x"}, 1},
		{"an unknown name that was there before", m{"sluice.mesh/zoon": "x"}, m{"sluice.mesh/zoon": "x"}, 0},
		{"a wrong value goes", nil, m{"sluice.mesh/zone": "x"}, 0},
		{"a combination that was there before", m{"sluice.mesh/shard-map": "ring"}, m{"sluice.mesh/shard-map": "ring"}, 0},
		{"what another annotation needs goes", m{"sluice.mesh/shard-map": "ring"},
			m{"sluice.mesh/shard-map": "ring", "sluice.mesh/shard-key": "header:a"}, 1},
		{"the whole becomes shorter than an attempt", m{"sluice.mesh/per-try-timeout": "3s", "sluice.mesh/timeout": "2s"},
			m{"sluice.mesh/per-try-timeout": "3s"}, 1},
		{"the other half of a combination that was there before", m{"sluice.mesh/per-try-timeout": "3s", "sluice.mesh/timeout": "2s", "a/b": "c"},
			m{"sluice.mesh/per-try-timeout": "3s", "sluice.mesh/timeout": "2s"}, 0},
	} {
		if errs := check(all(), c.now, c.before); len(errs) != c.want {
			t.Errorf("%s: got %q, want %d errors", c.name, errs, c.want)
		}
	}
}

// FuzzParse: whatever annotations say, the rules are within bounds, and what is written of them is read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range all() {
		f.Add(s.Annotation(), s.Example, Prefix+"shard-key", "header:a")
		f.Add(s.Annotation(), s.Default(), Prefix+"timeout", "3s")
	}
	f.Fuzz(func(t *testing.T, nameA, valueA, nameB, valueB string) {
		annotations := m{nameA: valueA, nameB: valueB}
		r, errs := parse(all(), annotations, nil)
		for _, e := range errs {
			if e.Value != annotations[e.Annotation] || e.Problem == "" || len(e.Error()) > 4000 {
				t.Errorf("%+v", e)
			}
		}
		if r.ReplayLimit < 0 || r.ReplayLimit > 1<<20 || r.Retry.Most > 10 || r.AccessLog < 0 || r.AccessLog > 1 || r.Limits.Queue <= 0 ||
			r.Retry.Budget.Ratio > 1 || r.Ejection.Errors < 1 || r.Ejection.First > r.Ejection.Most || r.Timeout < 0 {
			t.Errorf("%v: %+v", annotations, r)
		}
		text := format(all(), r)
		again, more := parse(all(), text, nil)
		if !Equal(again, r) || len(more) > 0 && len(errs) == 0 {
			t.Errorf("%v is written as %v and read as\n%+v, not\n%+v (%v)", annotations, text, again, r, more)
		}
		if anew := format(all(), again); !maps.Equal(anew, text) {
			t.Errorf("%v is written as %v, then as %v", annotations, text, anew)
		}
	})
}
