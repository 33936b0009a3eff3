package webhook

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan string)
		var inside atomic.Int32
		f := newFew(2, time.Second, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			inside.Add(1)
			defer inside.Add(-1)
			if <-end == "panic" {
				panic(http.ErrAbortHandler)
			}
		}))
		answers := make(chan int, 10)
		ask := func(ctx context.Context) {
			go func() {
				defer func() {
					if recover() != nil {
						answers <- 0
					}
				}()
				w := httptest.NewRecorder()
				f.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil))
				answers <- w.Code
			}()
			synctest.Wait()
		}
		mustBe := func(what string, want int32, answered ...int) {
			t.Helper()
			synctest.Wait()
			if inside.Load() != want || len(answers) != len(answered) {
				t.Fatalf("%s: %d inside, want %d; %d answers, want %d", what, inside.Load(), want, len(answers), len(answered))
			}
			for _, code := range answered {
				if got := <-answers; got != code {
					t.Errorf("%s: %d, want %d", what, got, code)
				}
			}
		}
		ask(t.Context())
		ask(t.Context())
		ask(t.Context())
		mustBe("two places for three", 2)
		time.Sleep(999 * time.Millisecond)
		mustBe("the third waits", 2)
		time.Sleep(time.Millisecond)
		mustBe("and no longer", 2, http.StatusServiceUnavailable)

		ask(t.Context())
		end <- "well"
		mustBe("who waits takes the place of who ends", 2, http.StatusOK)
		end <- "panic"
		mustBe("a panic gives the place back", 1, 0)
		ask(t.Context())
		mustBe("to the next", 2)

		ctx, leave := context.WithCancel(t.Context())
		ask(ctx)
		leave()
		mustBe("who leaves takes no place", 2, http.StatusOK) // the recorder's, for nothing was written
		end <- "well"
		end <- "well"
		mustBe("all are gone", 0, http.StatusOK, http.StatusOK)
	})
}
