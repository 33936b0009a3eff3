package kube

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// A watch is asked to end after between watchLifetime and twice that, so that watches spread over API servers again.
	watchLifetime = 5 * time.Minute

	// shortWatch is the lifetime below which a watch that brought nothing counts as failed. client-go answers such an
	// empty watch for a connection that broke while it was being opened.
	shortWatch = time.Second

	// A follower that gets refusals (no permission) tries again after these pauses, jittered.
	minRefused = time.Second
	maxRefused = 30 * time.Second
)

// follower keeps up with one query by listing and watching. It is level-triggered: what it hands over is state, and a
// list replaces all of it.
type follower struct {
	client *client
	gate   *gate
	query  query
	list   func() runtime.Object // makes an empty list object
	begin  func()                // called by the follower's goroutine before a listing; may be nil

	// Called by the follower's goroutine only. With a limit in the query, onList is told one page after the other; all but the last
	// one have a Continue.
	onList  func(runtime.Object)
	onEvent func(kind watch.EventType, object runtime.Object)
	// onError is told nil when a watch is open again, and barred when refusals have lasted for longer than refusedFor, until
	// then.
	onError func(err error, barred bool)

	refusedFor time.Duration
	refused    streak
	barred     bool

	from  string       // resource version to watch from; "" is to list first
	since atomic.Int64 // Unix nanoseconds since when it is not known to be current; 0 while it is
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	f.lost()
	pause := time.Duration(0)
	for ctx.Err() == nil {
		err := f.step(ctx)
		if ctx.Err() != nil {
			return
		}
		left := f.judge(err)
		f.onError(err, f.barred)
		switch {
		case err == nil || !answered(err):
			pause = 0 // nothing to wait for, or the gate is what waits
			continue
		case expired(err):
			pause = 0
			sleep(ctx, rand.N(minPause)) // thousands of followers may have been told so at once
			continue
		}
		pause = min(max(2*pause, minRefused), maxRefused)
		sleep(ctx, min(pause/2+rand.N(pause/2), left))
	}
}

// judge draws the conclusion from a request that failed, if it was refused. Left is the time after which one more refusal
// bars the follower. What a barred one has seen is not resumed from: when it is let in again, it begins with a list.
func (f *follower) judge(err error) (left time.Duration) {
	left = maxRefused
	if !refused(err) {
		f.refused = streak{}
		return left
	}
	awaySince, _ := f.gate.downSince()
	if lasted := f.refused.add(time.Now(), awaySince); lasted >= f.refusedFor {
		f.barred = true
	} else if !f.barred {
		left = f.refusedFor - lasted
	}
	if f.barred {
		f.from = ""
	}
	return left
}

// step lists if need be, and watches until the watch ends. An error is that of a request; a watch that came to its end is
// none.
func (f *follower) step(ctx context.Context) error {
	if f.from == "" {
		if err := f.relist(ctx); err != nil {
			return err
		}
	}
	var w watch.Interface
	began := time.Now()
	err := f.gate.do(ctx, func() (err error) {
		w, err = f.client.watch(ctx, f.query, f.from, watchLifetime+rand.N(watchLifetime))
		return err
	})
	if err == nil {
		f.refused, f.barred = streak{}, false
		f.onError(nil, false)
		err = f.drain(ctx, w, began)
		w.Stop()
	}
	if expired(err) {
		f.from = ""
	}
	return err
}

// relist reads all there is, page by page.
func (f *follower) relist(ctx context.Context) error {
	if f.begin != nil {
		f.begin()
	}
	for query := f.query; ; {
		list := f.list()
		if err := f.gate.do(ctx, func() error { return f.client.list(ctx, query, list) }); err != nil {
			return err
		}
		access, err := meta.ListAccessor(list)
		if err != nil {
			return err
		}
		f.onList(list)
		if query.options.Continue = access.GetContinue(); query.options.Continue == "" {
			f.from = access.GetResourceVersion()
			return nil
		}
	}
}

var errShortWatch = errors.New("the watch ended at once")

// drain takes a watch's events until it ends.
func (f *follower) drain(ctx context.Context, w watch.Interface, began time.Time) error {
	f.since.Store(0)
	defer f.lost()
	events := 0
	for event := range w.ResultChan() {
		events++
		if event.Type == watch.Error {
			err := apierrors.FromObject(event.Object)
			if ctx.Err() == nil && !answered(err) { // the connection broke
				f.gate.learn(err, false)
			}
			return fmt.Errorf("watch %v: %w", f.query, err)
		}
		access, err := meta.Accessor(event.Object)
		if err != nil {
			return fmt.Errorf("watch %v: %w", f.query, err)
		}
		if event.Type != watch.Bookmark {
			f.onEvent(event.Type, event.Object)
		}
		f.from = access.GetResourceVersion()
	}
	if events == 0 && time.Since(began) < shortWatch && ctx.Err() == nil {
		f.gate.learn(errShortWatch, false)
		return fmt.Errorf("watch %v: %w", f.query, errShortWatch)
	}
	return nil
}

// lost notes from when on changes may be missed.
func (f *follower) lost() { f.since.CompareAndSwap(0, time.Now().UnixNano()) }

// sleep waits, or returns when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
