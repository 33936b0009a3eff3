package head

import "fmt"

// Reason says why a message is malformed. The same words appear in logs and metric labels.
type Reason uint8

// Malformed is the error for a message that breaks a rule of RFC 9113, section 8: a stream error of type PROTOCOL_ERROR
// (section 8.1.1).
type Malformed struct{ Reason Reason }

func (m *Malformed) Error() string { return "malformed message: " + m.Reason.String() }

// String is the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasonWords) {
		return reasonWords[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

var reasonWords = [...]string{"none"}
