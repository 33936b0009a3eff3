package shardkey

import "net/netip"

// Outcome is how looking for a key ended. The same words appear in logs and metric labels.
type Outcome uint8

const (
	// Found means that there is a key. The zero value.
	Found Outcome = iota
	// NeedMore means that more of the body has to be read.
	NeedMore
	// Absent means that a part is not there, or is empty or null.
	Absent
	// Several means that a header, cookie or query parameter is there more than once, with different values.
	Several
	// Bad means that what the key is in is malformed, or that its value is no text, number or truth value.
	Bad
	// TooLarge means that no key was found in as much of the body as may be read.
	TooLarge
	// Unreadable means that the body is in an encoding that is not read.
	Unreadable
	// NoMemory means that the body could not be kept to be looked into. It is for callers to say, who read bodies.
	NoMemory

	// LastOutcome is the last of the above.
	LastOutcome = NoMemory
)

var outcomes = [...]string{"found", "need-more", "absent", "several", "bad", "too-large", "unreadable", "no-memory"}

// String answers the word.
func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return "?"
}

// Source is a request's head. What it answers is looked at before the call returns, and neither kept nor changed.
type Source interface {
	// Header answers the value of the nth field line (from 0 on) of that name, which is in small letters, without the white
	// space around it; and whether there is one.
	Header(name string, nth int) (value []byte, ok bool)
	// Target answers the request target as it was sent: a path with its query, or in absolute form.
	Target() []byte
	// Client answers the address of the client; the zero Addr where it is not known.
	Client() netip.Addr
}
