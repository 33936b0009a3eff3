package classify

import "testing"

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name                   string
		o                      Outcome
		replayable, idempotent bool
		want                   Retry
	}{
		{"a POST whose connect failed was never sent", ConnectFailed, true, false, Free},
		{"a POST that no kernel acknowledged was never seen", Unprocessed, true, false, Free},
		{"a POST that was cut may have had its effect", Cut, true, false, No},
		{"a GET that was cut may be sent again", Cut, true, true, Budgeted},
		{"a body that is not in memory any more cannot be sent again", Unprocessed, false, true, No},
		{"an answer is an answer", Answered, true, true, No},
		{"an answer that began cannot be taken back", Truncated, true, true, No},
		{"a broken answer may follow an effect", BadAnswer, true, true, No},
		{"the client is gone", ClientGone, true, true, No},
	} {
		if got := Decide(c.o, c.replayable, c.idempotent); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if len(Outcomes()) != int(outcomes) || Outcomes()[Cut] != Cut.String() {
		t.Error("Outcomes does not list every outcome in order")
	}
}
