// Package outlier says which endpoints are to be avoided because of what was observed of them. It keeps its state in each
// endpoint's Load, so each loop judges by what it saw itself.
//
// A failed connect makes an endpoint suspect at once. Bad outcomes in a row (see classify.Health) eject it, unless it is the last, or
// others do no better, see Doubts.
// Both last for a time that doubles with each repetition; while it lasts, Load.SuspectUntil lies ahead, and pickers pass the
// endpoint over while others are left. When it is over, one attempt finds out (Load.Probing): SuspectUntil lies ahead again while
// it runs, its success returns the endpoint, its failure takes it out for longer.
//
// An attempt is judged by the state its endpoint had when it began, which Began answers and Good and Bad take back: of the
// attempts that began before an ejection none counts, neither for the endpoint nor against it. One that began to find out speaks for it however
// long it takes, also when others have begun after it.
//
// Nothing here reads a clock, draws a random number or counts; who calls it does.
package outlier

import (
	"math"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// Settings say when an endpoint is ejected. The zero value never ejects. It has the fields of rules.Ejection.
type Settings struct {
	On bool
	// Errors is how many bad outcomes in a row eject an endpoint.
	Errors int
	// First is how long it is out at first; the time doubles with each further ejection, up to Most.
	First, Most time.Duration
}

// Defaults are the settings of a Service that says nothing: five as in Envoy, times as of a failed connect.
func Defaults() Settings {
	return Settings{On: true, Errors: 5, First: SuspectFirst, Most: SuspectMost}
}

// forget is how long an endpoint has to be in use for one of its ejections to be forgotten.
const forget = time.Minute

// ejected is the value of Load.Bad from an ejection until the endpoint's return.
const ejected = math.MaxUint16

// Since marks an endpoint's state when an attempt began: the end of its time out, or, while it is found out whether it may return, how often it
// had been out, below 0.
type Since int64

// holds reports whether the endpoint has neither gone out nor come back since then, and is not found out about by attempts that began later.
func (s Since) holds(l *cluster.Load) bool {
	if s < 0 {
		return s == -1-Since(l.Turns)
	}
	return !l.Probing && s == Since(l.SuspectUntil)
}

// Began notes an attempt that begins at time now. Where the endpoint's time out is over the attempt is the one that finds out: the
// others go on passing the endpoint over for as long as it was out, or until that one has ended.
func Began(l *cluster.Load, now int64, s Settings) Since {
	if out(l) && l.SuspectUntil <= now {
		if l.Probing && l.Bad == ejected && l.Ejections < math.MaxUint8 {
			l.Ejections++ // the one before has not ended in its time, which is an answer too
		}
		l.Probing = true
		d := suspicion(max(l.Fails, 1) - 1)
		if l.Bad == ejected {
			d = max(d, s.length(max(l.Ejections, 1)-1))
		}
		l.SuspectUntil = now + int64(d)
	}
	if l.Probing {
		return -1 - Since(l.Turns)
	}
	return Since(l.SuspectUntil)
}

// Good notes that the attempt of since was answered by a sound endpoint.
func Good(l *cluster.Load, since Since, now int64) {
	if l.Bad == 0 && l.Fails == 0 || !since.holds(l) {
		return
	}
	if out(l) {
		comeBack(l, now)
	}
	l.Bad = 0
}

// Heard notes that the head of a sound answer came. It returns an endpoint that was out, which need not wait for the answer's end,
// but the count of bad outcomes in a row goes on: the answer may be cut. One that was ejected is so again with the next bad outcome, as long as
// no good one came. The attempt is of the Since that Heard answers from here on.
func Heard(l *cluster.Load, since Since, now int64, s Settings) Since {
	if !out(l) || !since.holds(l) {
		return since
	}
	if l.Bad == ejected {
		l.Bad = uint16(min(max(s.Errors, 1), ejected) - 1)
	}
	comeBack(l, now)
	return Since(now)
}

// Silent notes that the attempt of since has ended, and said nothing of the endpoint. Where it was to find out whether that may return, another
// one is to: at once where the head of an answer was heard, for the program is there, else once the time is over which the attempt had.
func Silent(l *cluster.Load, since Since, now int64, heard bool) {
	if l.Bad != ejected || !l.Probing || !since.holds(l) {
		return
	}
	l.Probing = false
	if heard {
		l.SuspectUntil = now
	}
}

// out reports whether an endpoint is suspect or ejected, or has not shown yet that it may return.
func out(l *cluster.Load) bool { return l.Bad == ejected || l.Fails > 0 }

// comeBack returns an endpoint that was out; its ejections are forgotten from here on.
func comeBack(l *cluster.Load, now int64) {
	l.SuspectUntil, l.Fails, l.Probing = now, 0, false
	l.Turns++
}

// Scene is what a bad outcome is judged by.
type Scene struct {
	Settings
	// Endpoints are all that may be picked: the last one is not ejected.
	Endpoints []*cluster.Endpoint
	Loop      int
	Now       int64 // the loop's clock, in nanoseconds
	// Jitter, in [0, 1), lengthens the time by up to a quarter, so that many proxies' probes do not come at once.
	Jitter float64
	// AtLeast is how long the endpoint asked to be left alone (Retry-After); at most Most of it is granted.
	AtLeast time.Duration
	// Doubtful says that the outcome may be due to the request; Doubts are the Service's.
	Doubtful bool
	Doubts   *Doubts
}

// Bad notes that the attempt of since failed for a reason that speaks against ep's health. It reports whether ep was ejected.
func Bad(ep *cluster.Endpoint, since Since, s Scene) bool {
	l := &ep.Load[s.Loop]
	if !s.On || s.Errors <= 0 || !since.holds(l) {
		return false
	}
	if !l.Probing {
		if l.Bad == ejected {
			return false // picked for want of others
		}
		s.doubt(ep)
		if l.Bad < ejected-1 {
			l.Bad++
		}
		if int(l.Bad) < s.Errors || int(l.Bad)-s.excused(ep) < s.Errors || !s.spare(ep) {
			return false
		}
	}
	s.eject(l)
	return true
}

func (s *Scene) eject(l *cluster.Load) {
	forgive(l, s.Now)
	d := s.length(l.Ejections)
	d += time.Duration(float64(d) / 4 * s.Jitter)
	d = max(d, min(s.AtLeast, s.Most))
	if l.Ejections < math.MaxUint8 {
		l.Ejections++
	}
	l.Bad, l.Probing = ejected, false
	l.Turns++
	l.SuspectUntil = s.Now + int64(d)
}

// forgive forgets ejections of an endpoint that goes out, for the time that it was in use since it came back.
func forgive(l *cluster.Load, now int64) {
	if used := now - l.SuspectUntil; l.Bad != ejected && used > 0 {
		l.Ejections -= uint8(min(int64(l.Ejections), used/int64(forget)))
	}
}

// length is how long an endpoint is out after that many ejections before.
func (s *Settings) length(ejections uint8) time.Duration {
	d := s.First
	for ; ejections > 0 && d < s.Most; ejections-- {
		d *= 2
	}
	return min(d, s.Most)
}

// spare reports whether another endpoint than ep is in use.
func (s *Scene) spare(ep *cluster.Endpoint) bool {
	for _, e := range s.Endpoints {
		if e != ep && e.Load[s.Loop].SuspectUntil <= s.Now {
			return true
		}
	}
	return false
}

// Ejected reports whether an endpoint is out because of its answers, or has not shown yet that it may return.
func Ejected(l *cluster.Load) bool { return l.Bad == ejected }
