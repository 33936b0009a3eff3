package main

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestColumnsFindAClientWhole(t *testing.T) {
	dir := t.TempDir()
	want, err := clients.ReadFile("clients/unittests.py")
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		path := filepath.Join(dir, "unittests.py")
		if err := os.WriteFile(path, []byte("of the version before"), 0o644); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := clientFile(dir, "unittests.py"); err != nil {
					t.Error(err)
				}
				if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
	}
}
