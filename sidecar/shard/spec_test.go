package shard

import (
	"strings"
	"testing"
	"time"
)

func TestSpecs(t *testing.T) {
	plain := Spec{Slots: DefaultSlots, Level: DefaultLevel, Hold: DefaultHold}
	with := func(f func(*Spec)) Spec { s := plain; f(&s); return s }
	for text, want := range map[string]Spec{
		"":                                  plain,
		"rendezvous":                        plain,
		" rendezvous , slots = 1024 ":       with(func(s *Spec) { s.Slots = 1024 }),
		"rendezvous,hold=30s":               with(func(s *Spec) { s.Hold = 30 * time.Second }),
		"rendezvous,hold=0s":                with(func(s *Spec) { s.Hold = 0 }),
		"ordinal":                           with(func(s *Spec) { s.Kind = Ordinal }),
		"ordinal,by=hash,statefulset=web.x": with(func(s *Spec) { s.Kind, s.ByHash, s.StatefulSet = Ordinal, true, "web.x" }),
		"maglev":                            with(func(s *Spec) { s.Kind, s.Size = Maglev, 65537 }),
		"maglev,size=7":                     with(func(s *Spec) { s.Kind, s.Size = Maglev, 7 }),
		"ring":                              with(func(s *Spec) { s.Kind, s.Size = Ring, 1024 }),
		"ring,size=4096":                    with(func(s *Spec) { s.Kind, s.Size = Ring, 4096 }),
		"lookup":                            with(func(s *Spec) { s.Kind = Lookup }),
		"lookup,statefulset=web":            with(func(s *Spec) { s.Kind, s.StatefulSet = Lookup, "web" }),
		"prefix-lookup,statefulset=web":     with(func(s *Spec) { s.Kind, s.StatefulSet = PrefixLookup, "web" }),
		"prefix-lookup":                     with(func(s *Spec) { s.Kind = PrefixLookup }),
		"s2,level=0":                        with(func(s *Spec) { s.Kind, s.Level = S2, 0 }),
	} {
		if got, err := ParseSpec(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestSpecsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"consistent":            `shard map "consistent" is unknown; allowed are rendezvous, ordinal, maglev, ring, lookup, prefix-lookup, s2`,
		",":                     `shard map "" is unknown`,
		"rendezvous,":           `parameter "" is unknown; allowed are slots, hold, statefulset`,
		"rendezvous,size=7":     `parameter "size" is unknown`,
		"rendezvous,slots=1000": `slots="1000": allowed is a power of two from 1024 to 1048576`,
		"rendezvous,slots=512":  `slots="512"`,
		"ring,size=0":           `size="0": allowed is a number of points`,
		"ring,size=-5":          `size="-5"`,
		"maglev,size=8":         `size="8": allowed is a prime number`,
		"maglev,size=5000087":   `size="5000087"`,
		"s2,level=31":           `level="31": allowed is a level of S2 cells from 0 to 30`,
		"ordinal,by=name":       `by="name": allowed is integer or hash`,
		"ordinal,hold=5s":       `parameter "hold" is unknown; allowed are by, statefulset`,
		"rendezvous,hold=5":     `hold="5": allowed is a duration from 0s to 1h`,
		"rendezvous,hold=-5s":   `hold="-5s"`,
		"ordinal,statefulset=":  `statefulset="": allowed is the name`,
		"lookup,size=7":         `parameter "size" is unknown; allowed are statefulset`,
	} {
		if _, err := ParseSpec(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"", "ring,size=4096", "rendezvous,slots=1024,hold=1s", "s2,level=3", "ordinal,by=hash"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSpec(text)
		if err != nil {
			return
		}
		if s.Slots < minSlots || s.Slots&(s.Slots-1) != 0 || s.Level < 0 || s.Level > maxLevel || s.Hold < 0 ||
			s.Size < 0 || (s.Kind == Ring || s.Kind == Maglev) && s.Size == 0 {
			t.Errorf("%q: %+v", text, s)
		}
	})
}
