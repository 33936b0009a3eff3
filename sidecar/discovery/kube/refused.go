package kube

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// refused reports whether an error says that the request may not be made, by this account (403) or by these credentials
// (401).
func refused(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }

// reasonFor answers the reason for which connections pass through when finding out their destination failed.
func reasonFor(err error) discovery.Reason {
	switch {
	case errors.Is(err, errNoService):
		return discovery.UnknownService
	case refused(err):
		return discovery.Forbidden
	}
	return discovery.Unavailable
}

// refusal says what to do about a request that the API server refused.
func refusal(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("%w (the pod's service account may not do it: the sidecar needs get, list and watch of services "+
			"and of endpointslices.discovery.k8s.io in all namespaces)", err)
	}
	return err
}

// streak is an unbroken run of refused requests. The zero value is none.
type streak struct {
	since time.Time // of the first
}

// add notes a refusal and answers for how long they have lasted. One that comes after the API server was away begins anew:
// a server that has just started refuses what is allowed until it has read the access rules.
func (s *streak) add(now, awaySince time.Time) time.Duration {
	if s.since.IsZero() || awaySince.After(s.since) {
		s.since = now
	}
	return now.Sub(s.since)
}

// bar takes a Service's targets out of the table, as one of its followers has been refused for too long: nobody says any
// more where its endpoints are, and the last known ones may be another application's by now. Its addresses stay, so that
// connections pass through without a question. Following goes on, and ends it. w is locked.
func (w *watched) bar(what string) {
	if w.barred[what] {
		return
	}
	w.barred[what] = true
	w.asked.Store(time.Now().UnixNano()) // it is retired as if it had been used until now
	w.update()
	w.report(w.targetsName(), []error{fmt.Errorf("taken out of use: what they follow from has been refused for %v; "+
		"connections pass through until it is permitted", w.r.opts.RefusedFor)})
}

// unbar puts the targets back when none of the followers is refused any more. w is locked.
func (w *watched) unbar(what string) {
	if !w.barred[what] {
		return
	}
	delete(w.barred, what)
	if len(w.barred) == 0 {
		w.report(w.targetsName(), nil)
		w.r.permitted()
	}
	w.update()
}

func (w *watched) targetsName() string { return "targets of Service " + w.name.String() }
