package rules

// Conditions is a set of outcomes after which an idempotent request is sent again.
type Conditions uint16

const (
	// OnReset is a connection that ended before anything of the answer was passed on, or was ended, since that cannot be understood.
	OnReset Conditions = 1 << iota
	// On5xx is every status from 500 to 599.
	On5xx
	// On500 and the following three are single statuses.
	On500
	On502
	On503
	On504
	// OnUnavailable is gRPC's status 14 before anything of the answer was passed on.
	OnUnavailable
	// OnResourceExhausted is gRPC's status 8, likewise.
	OnResourceExhausted
)

// Has says whether all of what is in the set.
func (c Conditions) Has(what Conditions) bool { return c&what == what }

// Any says whether any of what is in the set.
func (c Conditions) Any(what Conditions) bool { return c&what != 0 }

// Status says whether an HTTP status is in the set.
func (c Conditions) Status(status int) bool {
	switch {
	case status < 500 || status > 599:
		return false
	case c&On5xx != 0:
		return true
	}
	switch status {
	case 500:
		return c&On500 != 0
	case 502:
		return c&On502 != 0
	case 503:
		return c&On503 != 0
	case 504:
		return c&On504 != 0
	}
	return false
}

// GRPC says whether a gRPC status is in the set.
func (c Conditions) GRPC(status int) bool {
	switch status {
	case 8:
		return c&OnResourceExhausted != 0
	case 14:
		return c&OnUnavailable != 0
	}
	return false
}
