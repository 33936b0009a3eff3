package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
)

// served starts a server on loopback and answers its address.
func served(t *testing.T, args ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, append([]string{"--address", addr, "--pod", "a", "--drain", "1s"}, args...), nil)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return addr
}

func TestLoadCountsAnswersByPod(t *testing.T) {
	addr := served(t)
	var out bytes.Buffer
	if err := load(t.Context(), []string{"--target", addr, "--requests", "100", "--wait-for-ready", "--strict"}, &out); err != nil {
		t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Requests != 100 || s.Failed != 0 || s.Pods["a"] != 100 {
		t.Errorf("got %+v", s)
	}
}

func TestLoadCountsFailuresByStatus(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there
	var out bytes.Buffer
	err = load(t.Context(), []string{"--target", l.Addr().String(), "--requests", "3", "--strict"}, &out)
	if err == nil || !strings.Contains(out.String(), "Unavailable: ") || !strings.Contains(out.String(), `"failed":3`) {
		t.Errorf("got %v, %s", err, out.String())
	}
}

func TestLoadSaysWhoAnsweredEachKey(t *testing.T) {
	addr := served(t)
	var out bytes.Buffer
	args := []string{"--target", addr, "--requests", "40", "--concurrency", "4", "--wait-for-ready", "--strict", "--keys", "4", "--follow", "--every", "1ms"}
	if err := load(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	var s summary // of the last line
	for d := json.NewDecoder(&out); d.More(); {
		s = summary{}
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Owners) != 4 {
		t.Errorf("%d keys were answered, want 4: %+v", len(s.Owners), s)
	}
	for key, pods := range s.Owners {
		if pods["a"] != 10 || len(pods) != 1 {
			t.Errorf("key %s was answered by %v, want pod a 10 times", key, pods)
		}
	}
}

// The key is where the Service's annotation looks for it, and no other call has one.
func TestKeysAreMetadata(t *testing.T) {
	for _, c := range []struct {
		keys *keys
		want []string
	}{{&keys{name: "account-id", n: 2}, []string{"0", "1", "0"}}, {&keys{name: "account-id"}, []string{"", "", ""}}} {
		for i, want := range c.want {
			ctx, key := c.keys.next(t.Context())
			md, _ := metadata.FromOutgoingContext(ctx)
			if got := strings.Join(md.Get("account-id"), " and "); key != want || got != want {
				t.Errorf("%d keys, call %d: key %q, metadata %q, want %q", c.keys.n, i, key, got, want)
			}
		}
	}
}

func TestBulkComparesBothSides(t *testing.T) {
	addr := served(t)
	if err := load(t.Context(), []string{"--target", addr, "--requests", "1", "--wait-for-ready", "--strict"}, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{}, {"--down"}, {"--down", "--pause", "10ms"}} {
		var out bytes.Buffer
		if err := bulk(t.Context(), append([]string{"--target", addr, "--bytes", "4194304"}, args...), &out); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		var got transfer
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Bytes != 4<<20 || got.Stalled > time.Minute.Seconds() {
			t.Errorf("%q: %v, %+v", args, err, got)
		}
	}
}

func TestHoldAsksNowAndThen(t *testing.T) {
	addr := served(t)
	if err := load(t.Context(), []string{"--target", addr, "--requests", "1", "--wait-for-ready", "--strict"}, new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args    []string
		answers int
	}{{[]string{"--for", "20ms"}, 2}, {[]string{"--for", "50ms", "--every", "10ms"}, 3}} {
		var out bytes.Buffer
		if err := hold(t.Context(), append([]string{"--target", addr}, c.args...), &out); err != nil {
			t.Errorf("%q: %v", c.args, err)
		}
		var got held
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Pod != "a" || got.Answers < c.answers {
			t.Errorf("%q: %v, %+v", c.args, err, got)
		}
	}
}
