package outlier

import "github.com/sluice-mesh/sluice/sidecar/cluster"

// Doubts are what a loop saw of errors of one Service that may be due to the requests, as no second endpoint was asked. They speak
// against an endpoint as far as the others did better since the first of them. The zero value is ready.
type Doubts struct {
	good, bad uint64 // answers of all endpoints
	rows      map[*cluster.Endpoint]row
}

// row is an endpoint's doubtful outcomes among its bad ones in a row. It is of no account once Load.Bad is 0.
type row struct {
	n         uint64
	good, bad uint64 // those of all endpoints when it began
}

// Good counts a good answer of any endpoint.
func (d *Doubts) Good() { d.good++ }

// doubt notes the outcome that is about to be counted in ep's Load.Bad.
func (s *Scene) doubt(ep *cluster.Endpoint) {
	d := s.Doubts
	switch {
	case d == nil:
		return
	case ep.Load[s.Loop].Bad == 0:
		delete(d.rows, ep)
	}
	if !s.Doubtful {
		return
	}
	r, ok := d.rows[ep]
	if !ok {
		r = row{good: d.good, bad: d.bad}
		d.tidy(s)
	}
	r.n++
	d.bad++
	d.rows[ep] = r
}

// tidy makes room for a row. Those of endpoints that were removed go once they could be half of all.
func (d *Doubts) tidy(s *Scene) {
	if d.rows == nil {
		d.rows = map[*cluster.Endpoint]row{}
	}
	if len(d.rows) < 2*len(s.Endpoints)+8 {
		return
	}
	kept := make(map[*cluster.Endpoint]row, len(s.Endpoints))
	for _, e := range s.Endpoints {
		if r, ok := d.rows[e]; ok {
			kept[e] = r
		}
	}
	d.rows = kept
}

// excused answers how many of ep's bad outcomes in a row are not held against it. Of the doubtful ones those are held against it that
// are the square of the share of good ones among the others' answers since the first of them: where the others fail every second request
// it takes four times as many in a row, and not twice, as chance has one in 2^20 do that, and one in 2^10 the other. Until the others have
// answered as often as it takes to be ejected all are excused, but an endpoint that is asked alone has nobody to wait for.
func (s *Scene) excused(ep *cluster.Endpoint) int {
	if s.Doubts == nil {
		return 0
	}
	r := s.Doubts.rows[ep]
	good, bad := s.Doubts.good-r.good, s.Doubts.bad-r.bad-r.n
	switch {
	case r.n == 0 || good+bad == 0 && s.alone(ep):
		return 0
	case good+bad < uint64(s.Errors):
		return int(r.n)
	}
	share := float64(good) / float64(good+bad)
	return int(r.n) - int(float64(r.n)*share*share)
}

// alone reports whether no other endpoint is asked anything now, nor has failed last.
func (s *Scene) alone(ep *cluster.Endpoint) bool {
	for _, e := range s.Endpoints {
		if l := &e.Load[s.Loop]; e != ep && (l.Bad > 0 || l.InFlight > 0) {
			return false
		}
	}
	return true
}
