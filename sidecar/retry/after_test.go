package retry

import (
	"testing"
	"time"
)

func TestAfter(t *testing.T) {
	now := time.Date(1994, 11, 6, 8, 49, 30, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"0", 0, true},
		{"120", 2 * time.Minute, true},
		{" 3\t", 3 * time.Second, true},
		{"99999999999999999999", longest, true},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 7 * time.Second, true},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 7 * time.Second, true},
		{"Sun Nov  6 08:49:37 1994", 7 * time.Second, true},
		{"Sun, 06 Nov 1994 08:00:00 GMT", 0, true},
		{"", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1.5", 0, false},
		{"soon", 0, false},
	} {
		if got, ok := After(c.value, now); got != c.want || ok != c.ok {
			t.Errorf("%q: got %v, %v, want %v, %v", c.value, got, ok, c.want, c.ok)
		}
	}
}

func TestPushback(t *testing.T) {
	for _, c := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"0", 0, true},
		{"25", 25 * time.Millisecond, true},
		{" 1000 ", time.Second, true},
		{"-1", 0, false},
		{"+1", 0, false},
		{"", 0, false},
		{"soon", 0, false},
		{"99999999999", 0, false},
	} {
		if got, ok := Pushback(c.value); got != c.want || ok != c.ok {
			t.Errorf("%q: got %v, %v, want %v, %v", c.value, got, ok, c.want, c.ok)
		}
	}
}

func FuzzAfter(f *testing.F) {
	for _, s := range []string{"0", "120", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		f.Add(s)
	}
	now := time.Date(1994, 11, 6, 8, 49, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := After(s, now); d < 0 || !ok && d != 0 {
			t.Errorf("After(%q) = %v, %v", s, d, ok)
		}
		if d, ok := Pushback(s); d < 0 || !ok && d != 0 {
			t.Errorf("Pushback(%q) = %v, %v", s, d, ok)
		}
	})
}

func TestBackoff(t *testing.T) {
	b := Backoff{Base: 25 * time.Millisecond, Most: 250 * time.Millisecond}
	for i, want := range []time.Duration{25, 50, 100, 200, 250, 250} {
		want *= time.Millisecond
		if got := b.Wait(i+1, 0.999999); got > want || got < want-time.Millisecond {
			t.Errorf("attempt %d: at most %v, want %v", i+1, got, want)
		}
		if got := b.Wait(i+1, 0); got != 0 {
			t.Errorf("attempt %d: at least %v, want 0", i+1, got)
		}
	}
	if got := (Backoff{}).Wait(3, 0.5); got != 0 {
		t.Errorf("without a backoff: %v", got)
	}
}
