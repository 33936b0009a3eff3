package loop

import (
	"runtime"
	"testing"
	"time"
)

func TestTrimEndsTheCoroutinesThatAreKeptForReuse(t *testing.T) {
	l, do := run(t)
	many := func() {
		do(func() error {
			ended := 0
			for range 50 {
				l.Go(func() { ended++ })
			}
			for ended < 50 {
				l.Yield()
			}
			return nil
		})
	}
	before := runtime.NumGoroutine()
	many()
	done := make(chan struct{})
	l.Post(func() { l.Trim(); close(done) })
	<-done
	for began := time.Now(); runtime.NumGoroutine() > before && time.Since(began) < 5*time.Second; {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine() - before; n > 0 {
		t.Errorf("%d more goroutines than before", n)
	}
	many() // the loop makes new ones
}
