package files

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// maxDebounce bounds how long a file that is written all the time keeps us waiting.
const maxDebounce = 10 // times Debounce

// follow scans when the directory changes, and at Rescan. The directory is watched, not its files: this sees files that
// editors put in place by renaming, and the ..data link that a kubelet swaps to change all files of a ConfigMap at once.
func (r *Resolver) follow(ctx context.Context) {
	var events chan fsnotify.Event
	var failures chan error
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		r.watchProblem(err)
	} else {
		defer watcher.Close()
		events, failures = watcher.Events, watcher.Errors
	}
	watch := func() {
		if watcher != nil {
			r.watchProblem(watcher.Add(r.opts.Dir))
		}
	}
	watch()

	rescan := time.NewTicker(r.opts.Rescan)
	defer rescan.Stop()
	quiet := time.NewTimer(0) // once now: the directory may have changed since New
	defer quiet.Stop()
	var first time.Time // the first notice that was not yet followed by a scan
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			if event.Op == fsnotify.Chmod {
				continue
			}
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			wait := min(r.opts.Debounce, maxDebounce*r.opts.Debounce-now.Sub(first))
			quiet.Reset(max(wait, 0))
		case err, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			// Notices were lost (the kernel's queue overflowed): look for ourselves.
			r.log.Debug("discovery: watching the manifests", "error", err)
			quiet.Reset(0)
		case <-quiet.C:
			first = time.Time{}
			_ = r.scan(false) // reported as a problem
		case <-rescan.C:
			watch() // anew, because the directory may have been replaced by another of its name
			_ = r.scan(true)
		}
	}
}

func (r *Resolver) watchProblem(err error) {
	if err == nil {
		r.problems.Set("watch", nil)
		return
	}
	r.problems.Set("watch", []string{err.Error() + "; changes of the manifests are seen at the next re-scan only"})
}
