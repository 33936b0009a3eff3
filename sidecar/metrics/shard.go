package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Decision says where a request went that has an owner, or whose session has a pod.
type Decision uint8

// The decisions; each attempt, each wait and each refusal is one.
const (
	ToOwner     Decision = iota // to the owner
	FailedOver                  // to another pod, since the owner cannot be used
	PastBusy                    // to another pod, since the owner has more than its share (bounded load)
	Unowned                     // to any pod, since nobody is known to own the key
	OwnerWaited                 // to the owner, which was waited for
	OwnerLate                   // refused: the owner was waited for in vain
	OwnerQueue                  // refused: too many wait for owners already
	OwnerAway                   // refused: the owner cannot be used, and is not waited for, or the map has lost the key

	decisions
)

var decisionNames = [decisions]string{"owner", "failover", "bounded-load", "unowned", "waited", "wait-over", "wait-full", "refused"}

// String answers the word used in metrics.
func (d Decision) String() string { return decisionNames[d] }

// Turn says how a request came to its turn, where the requests of a key go one at a time.
type Turn uint8

// The ways.
const (
	TurnFree   Turn = iota // at once
	TurnWaited             // behind others
	TurnLate               // refused: it has waited for too long
	TurnQueue              // refused: too many wait already
	TurnLeft               // its client left
	turns
)

var turnNames = [turns]string{"free", "waited", "timeout", "full", "client-gone"}

// Session says what became of a session's cookie.
type Session uint8

// The ends.
const (
	SessionKept  Session = iota // the cookie's pod answered
	SessionNew                  // there was none, and one was issued
	SessionMoved                // its pod is gone or cannot be used, and another one was issued
	sessionsCount
)

var sessionNames = [sessionsCount]string{"kept", "new", "moved"}

// String answers the word used in metrics.
func (s Session) String() string { return sessionNames[s] }

// Sharding is what one loop counts of the keys of a Service port's requests.
type Sharding struct {
	Keys      []atomic.Uint64 // requests by how looking for their key ended, in the order of Words.Keys
	Decisions [decisions]atomic.Uint64
	Turns     [turns]atomic.Uint64
	Sessions  [sessionsCount]atomic.Uint64
	Scattered atomic.Uint64 // requests that were sent to every endpoint
	// ForOwner and ForTurn are how many requests wait now.
	ForOwner, ForTurn atomic.Int64
}

var (
	descKeys      = desc("shard_keys_total", "Requests to Services with shard keys, by how looking for their key ended.", "service", "outcome")
	descDecisions = desc("shard_decisions_total", "Requests with an owner, by where they went: attempts, waits and refusals.", "service", "decision")
	descInTurn    = desc("shard_turns_total", "Requests of Services that take those of a key one at a time, by how they came to their turn.", "service", "turn")
	descSessions  = desc("shard_sessions_total", "Answers to requests of sessions, by what became of the session's cookie.", "service", "session")
	descScattered = desc("scattered_requests_total", "Requests that were sent to every endpoint.", "service")
	descShardWait = desc("shard_waiting", "Requests that wait for the owner of their key, or for their turn.", "service", "for")

	allSharding = []*prometheus.Desc{descKeys, descDecisions, descInTurn, descSessions, descScattered, descShardWait}
)

// sharding sends what there is: of most Services nothing.
func (c *collector) sharding(name string, parts []*Service, counter, gauge sender) {
	send := func(d *prometheus.Desc, words []string, of func(s *Sharding, i int) *atomic.Uint64) {
		for i, word := range words {
			var n uint64
			for _, p := range parts {
				n += of(&p.Sharding, i).Load()
			}
			if n > 0 {
				counter(d, float64(n), name, word)
			}
		}
	}
	send(descKeys, c.m.words.Keys, func(s *Sharding, i int) *atomic.Uint64 { return &s.Keys[i] })
	send(descDecisions, decisionNames[:], func(s *Sharding, i int) *atomic.Uint64 { return &s.Decisions[i] })
	send(descInTurn, turnNames[:], func(s *Sharding, i int) *atomic.Uint64 { return &s.Turns[i] })
	send(descSessions, sessionNames[:], func(s *Sharding, i int) *atomic.Uint64 { return &s.Sessions[i] })
	var scattered uint64
	var waiting [2]int64
	used := false
	for _, p := range parts {
		scattered += p.Scattered.Load()
		waiting[0] += p.ForOwner.Load()
		waiting[1] += p.ForTurn.Load()
		for i := range p.Keys {
			used = used || p.Keys[i].Load() > 0
		}
	}
	if scattered > 0 {
		counter(descScattered, float64(scattered), name)
	}
	if used {
		gauge(descShardWait, float64(waiting[0]), name, "owner")
		gauge(descShardWait, float64(waiting[1]), name, "turn")
	}
}
