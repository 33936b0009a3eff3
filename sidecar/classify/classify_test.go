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
		{"what cannot be understood is no answer to a GET", BadAnswer, true, true, Budgeted},
		{"a broken answer may follow an effect", BadAnswer, true, false, No},
		{"the client is gone", ClientGone, true, true, No},
		{"another endpoint may do better than an error", ServerError, true, true, Budgeted},
		{"a POST that was answered an error may have had its effect", ServerError, true, false, No},
		{"a GET that took too long may be sent again", TimedOut, true, true, Budgeted},
		{"a POST that took too long may yet have its effect", TimedOut, true, false, No},
		{"who lost a race needs no further attempt", LostRace, true, true, No},
	} {
		if got := Decide(c.o, c.replayable, c.idempotent); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if len(Outcomes()) != int(outcomes) || Outcomes()[Cut] != Cut.String() {
		t.Error("Outcomes does not list every outcome in order")
	}
}

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      Outcome
		status int
		reused bool
		want   Health
	}{
		{"an answer speaks for its endpoint", Answered, 200, false, Good},
		{"so does one that refuses a request", Answered, 404, false, Good},
		{"not found on a kept connection is as good", Answered, 404, true, Good},
		{"500 may be the request", ServerError, 500, false, Doubtful},
		{"500 is no better where it is not asked again", Answered, 500, false, Doubtful},
		{"503 is the endpoint", ServerError, 503, false, Bad},
		{"so are 502 and 504", Answered, 502, false, Bad},
		{"501 is an answer", Answered, 501, false, Good},
		{"too many requests of one client say nothing", Answered, 429, false, Silent},
		{"statuses nobody knows say nothing", Answered, 599, false, Silent},
		{"a new connection that is cut", Cut, 0, false, Bad},
		{"a kept connection may have been closed while idle", Cut, 0, true, Silent},
		{"half an answer", Truncated, 200, true, Bad},
		{"what cannot be understood may be due to what was asked", BadAnswer, 0, false, Doubtful},
		{"no answer in time", TimedOut, 0, true, Bad},
		{"slower than another", LostRace, 0, true, Bad},
		{"a failed connect has a suspicion of its own", ConnectFailed, 0, false, Silent},
		{"a refused stream", Unprocessed, 0, false, Silent},
		{"the client is gone", ClientGone, 0, false, Silent},
	} {
		if got := HealthOf(c.o, c.status, c.reused); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	for status, want := range map[int]Health{0: Good, 5: Good, 14: Bad, 13: Doubtful, 2: Doubtful, 4: Silent, 8: Silent} {
		if got := HealthOfGRPC(status); got != want {
			t.Errorf("gRPC status %d: got %v, want %v", status, got, want)
		}
	}
}
