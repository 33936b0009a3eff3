package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
)

func TestTurnsGoWhereTheyAreTold(t *testing.T) {
	s := loadSettings{timeout: time.Minute, serviceConfig: "{}", concurrency: 3, duration: 20 * time.Millisecond, waitForReady: true}
	var channels []*grpc.ClientConn
	for range 2 {
		s.target = served(t)
		cc, err := s.channel(newRecord())
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		channels = append(channels, cc)
	}
	var out bytes.Buffer
	if err := s.takeTurns(t.Context(), channels, strings.NewReader("1\n0\n1\n"), &out); err != nil {
		t.Fatal(err)
	}
	var n [3]int
	if _, err := fmt.Sscan(out.String(), &n[0], &n[1], &n[2]); err != nil || n[0] == 0 || n[1] == 0 || n[2] == 0 || !strings.HasSuffix(out.String(), `{"turns":3}`+"\n") {
		t.Errorf("got %q, %v", out.String(), err)
	}
	for _, wrong := range []string{"2\n", "-1\n", "x\n"} {
		if err := s.takeTurns(t.Context(), channels, strings.NewReader(wrong), &out); err == nil {
			t.Errorf("%q is a turn", wrong)
		}
	}
}
