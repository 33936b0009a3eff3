package main

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

type pipeEnd struct{ bytes.Buffer }

func (*pipeEnd) Close() error { return nil }

func TestTurnsArePaired(t *testing.T) {
	// A request to the first address costs 10, to the other one 12, on a machine that becomes slower all the time.
	const blocks = 50
	var told pipeEnd
	slow, at, cost := 1.0, 0, 0.0
	answers := strings.Repeat("4\n", (2+blocks)*2) + `{"turns":104}` + "\n"
	tt := &turns{stdin: &told, answers: bufio.NewScanner(strings.NewReader(answers)), wait: func() error { return nil }}
	p, err := tt.pair(2, blocks, rand.New(rand.NewPCG(1, 2)), func() (float64, error) {
		if to := told.Bytes(); at < len(to) { // a turn was taken
			cost += 4 * slow * []float64{10, 12}[to[at]-'0']
			at += 2
			slow *= 1.01
		}
		return cost, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.blocks) != blocks || p.requests[0] != 4*(2+blocks) || p.requests[1] != 4*(2+blocks) {
		t.Errorf("%d blocks, %v requests", len(p.blocks), p.requests)
	}
	if got := p.times(1, 0); math.Abs(got-1.2) > 0.02 {
		t.Errorf("%v times as much, want 1.2", got)
	}
}

func TestALoaderThatEndsIsAnError(t *testing.T) {
	tt := &turns{stdin: &pipeEnd{}, answers: bufio.NewScanner(strings.NewReader("4\n")), wait: func() error { return io.ErrUnexpectedEOF }}
	if _, err := tt.pair(2, 1, rand.New(rand.NewPCG(1, 2)), func() (float64, error) { return 0, nil }); err == nil {
		t.Error("no error")
	}
}
