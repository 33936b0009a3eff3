package main

import (
	"context"
	"maps"
	"os/exec"
	"testing"
	"time"
)

// TestARunIsReadWithItsEnd runs programs that end in ways that their lines do not tell.
func TestARunIsReadWithItsEnd(t *testing.T) {
	run := func(script string) (results, error) {
		const limit = 500 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		return program{limit: limit}.readLines(ctx, cmd, cmd.Run)
	}
	for _, c := range []struct {
		name, script string
		want         results
	}{
		{"it ends well", "echo ok a; echo not ok b why", results{"a": {ok: true}, "b": {detail: "why"}}},
		{"it ends badly for a case's sake", "echo ok a; echo not ok b why; exit 1", results{"a": {ok: true}, "b": {detail: "why"}}},
		{"it ends badly in the middle", "echo ok a; echo Killed >&2; exit 3",
			results{"a": {ok: true}, theRun: {detail: "no case failed, and yet exit status 3: Killed"}}},
		{"it does not end", "echo ok a; exec sleep 60", results{"a": {ok: true}, theRun: {detail: "not done within 500ms"}}},
	} {
		if got, err := run(c.script); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
	if got, err := run("exit 1"); err == nil {
		t.Errorf("no lines gave %+v and no error", got)
	}
}
