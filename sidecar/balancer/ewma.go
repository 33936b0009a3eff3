package balancer

import (
	"math"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

const (
	// decay is the time in which the memory of a slow answer falls to 1/e; linkerd's.
	decay = 10 * time.Second
	// ordinary is the latency up to which an attempt that ended without an answer says nothing of an endpoint of which none is
	// known; linkerd's for all such.
	ordinary = 30 * time.Millisecond
)

// Observe notes, at time now, an answer's head that came so many nanoseconds after its request was sent. A slower answer than the
// last ones counts at once, a faster one as far as the slower ones are forgotten.
func Observe(l *cluster.Load, latency, now int64) {
	l.AskedAt = 0
	d := float64(latency)
	if l.Latency > d {
		d += (l.Latency - d) * forgotten(now-l.LatencyAt)
	}
	l.Latency, l.LatencyAt = d, max(now, 1)
}

// GaveUp notes, at time now, an attempt that ended without an answer after so many nanoseconds. It only ever makes an endpoint
// slower: one that fails fast is not fast.
func GaveUp(l *cluster.Load, waited, now int64) {
	l.AskedAt = 0
	if l.LatencyAt == 0 && waited <= int64(ordinary) {
		return
	}
	if w := float64(waited); w > decayed(l, now) {
		l.Latency, l.LatencyAt = w, now
	}
}

// latency answers how long an answer takes, as far as is known now: the peak EWMA, which goes on falling while there is no
// answer so that a slow endpoint gets another chance; but no less than the endpoint has kept those waiting that it owes an
// answer, so that one that has turned slow or hangs is known before its first slow answer.
func latency(l *cluster.Load, now int64) float64 {
	d := decayed(l, now)
	if l.AskedAt != 0 && l.InFlight > 0 {
		d = max(d, float64(now-l.AskedAt))
	}
	return d
}

func decayed(l *cluster.Load, now int64) float64 {
	return l.Latency * forgotten(now-l.LatencyAt)
}

// forgotten answers e to the power of -age/decay, right to 10⁻⁸: 2 to a whole number by the exponent's bits, times 2 to a whole number of
// 256ths from a table, times the beginning of a Taylor series. math.Exp takes longer, and a pick needs two.
func forgotten(age int64) float64 {
	y := float64(max(age, 0)) * (math.Log2E * parts / float64(decay))
	if y >= 1000*parts {
		return 0
	}
	n := int64(y)
	x := (y - float64(n)) * (math.Ln2 / parts)
	return math.Float64frombits(math.Float64bits(powers[n&(parts-1)]*(1-x*(1-x*0.5))) - uint64(n/parts)<<52)
}

const parts = 256

// powers are 2 to the power of -i/parts.
var powers = func() (t [parts]float64) {
	for i := range t {
		t[i] = math.Exp2(-float64(i) / parts)
	}
	return t
}()
