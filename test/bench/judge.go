package main

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// sample is one measurement of a peer in a round of a case.
type sample struct {
	Case   string  `json:"case"`
	Peer   string  `json:"peer"`
	Round  int     `json:"round"`
	Values values  `json:"values,omitempty"`
	Others float64 `json:"others"` // share of the machine that others used meanwhile, 0 to 1
	Load   float64 `json:"loadAverage"`
	Error  string  `json:"error,omitempty"`
}

// limits say when a machine is too noisy to conclude.
type limits struct {
	Moved float64 `json:"moved"` // how far HAProxy's own figure may move between rounds: 0.2 is 20 %
	// Others is the share of the machine that others may use, 0 to 1; half of it where latency is measured. CPU time bears
	// more: what a thread uses changes little by its having to wait, and HAProxy's own figure tells when it does.
	Others float64 `json:"others"`
	// Rounds are as many as were asked for; 0 is as many as were made. More are made where too few of them count.
	Rounds int `json:"rounds,omitempty"`
}

// figure is what rounds make of a peer's metric.
type figure struct {
	Median     float64 `json:"median"`
	Min        float64 `json:"min"`
	Max        float64 `json:"max"`
	Ratio      float64 `json:"ratio,omitempty"` // to HAProxy in the same round: the median of the rounds; 0 is unknown
	RatioWorst float64 `json:"ratioWorst,omitempty"`
	Apart      *apart  `json:"apart,omitempty"` // of what a proxy adds to none
}

// apart is how far a figure is above HAProxy's of the same round. No proxy's figure is in both and goes out, however much it is.
type apart struct {
	Median float64 `json:"median"`
	Most   float64 `json:"most"`
	Rounds int     `json:"rounds"`
	Above  int     `json:"above"` // rounds in which it is above
}

func apartOf(all []float64) *apart {
	if len(all) == 0 {
		return nil
	}
	a := &apart{Median: median(all), Most: slices.Max(all), Rounds: len(all)}
	for _, x := range all {
		if x > 0 {
			a.Above++
		}
	}
	return a
}

// sure reports whether two thirds of the rounds are on the median's side.
func (a *apart) sure() bool {
	agree := a.Above
	if a.Median <= 0 {
		agree = a.Rounds - a.Above
	}
	return 3*agree >= 2*a.Rounds
}

// outcome is a case's result: figures by peer and metric, from the rounds that count.
type outcome struct {
	Case    string                       `json:"case"`
	Rounds  int                          `json:"rounds"` // that were made
	Kept    []int                        `json:"kept"`   // that count
	Noise   string                       `json:"noise,omitempty"`
	Figures map[string]map[string]figure `json:"figures"`
}

// judge takes a case's samples. Rounds in which HAProxy's own figure is off are left out, as are rounds in which others
// used much of the machine. Noise says why nothing can be concluded, or is empty.
func judge(c testcase, samples []sample, lim limits) outcome {
	o := outcome{Case: c.name, Figures: make(map[string]map[string]figure)}
	byRound := make(map[int]map[string]values)
	others := make(map[int][]float64)
	for _, s := range samples {
		if s.Case != c.name {
			continue
		}
		if byRound[s.Round] == nil {
			byRound[s.Round] = make(map[string]values)
		}
		if s.Values != nil {
			byRound[s.Round][s.Peer] = s.Values
		}
		others[s.Round] = append(others[s.Round], s.Others)
	}
	o.Rounds = len(byRound)
	addDifferences(c, byRound)
	o.Kept, o.Noise = quiet(c, byRound, others, lim)
	shown := o.Kept
	if o.Noise != "" { // the figures are shown, and not judged
		shown = keys(byRound)
	}
	list := make(map[string]map[string][]float64)
	ratios := make(map[string]map[string][]float64)
	differences := make(map[string]map[string][]float64)
	put := func(m map[string]map[string][]float64, peer, key string, v float64) {
		if m[peer] == nil {
			m[peer] = make(map[string][]float64)
		}
		m[peer][key] = append(m[peer][key], v)
	}
	for _, r := range shown {
		for peer, v := range byRound[r] {
			for key, x := range v {
				put(list, peer, key, x)
				base, ok := byRound[r][haproxy][key]
				if _, added := strings.CutPrefix(key, addedPrefix); added && ok {
					put(differences, peer, key, x-base)
				} else if base > 0 {
					put(ratios, peer, key, x/base)
				}
			}
		}
	}
	for peer, metrics := range list {
		o.Figures[peer] = make(map[string]figure)
		for key, all := range metrics {
			f := figure{Median: median(all), Min: slices.Min(all), Max: slices.Max(all), Apart: apartOf(differences[peer][key])}
			if r := ratios[peer][key]; len(r) > 0 {
				f.Ratio, f.RatioWorst = median(r), slices.Max(r)
			}
			o.Figures[peer][key] = f
		}
	}
	return o
}

// addedPrefix begins the names of what a proxy adds to none.
const addedPrefix = "added_"

// addDifferences adds to every peer's values what it adds to those without a proxy.
func addDifferences(c testcase, byRound map[int]map[string]values) {
	for _, peers := range byRound {
		base := peers[direct]
		if base == nil {
			continue
		}
		for peer, v := range peers {
			for _, key := range c.added {
				if peer != direct {
					v[addedPrefix+key] = v[key] - base[key]
				}
			}
		}
	}
}

// quiet answers the rounds that count: the largest group in which HAProxy's figure moved by at most lim.Moved, of rounds in
// which others left enough of the machine. They must be two thirds of the rounds that were asked for, half of those that were made, and at
// least two.
func quiet(c testcase, byRound map[int]map[string]values, others map[int][]float64, lim limits) (kept []int, noise string) {
	all := keys(byRound)
	if c.noise == "" && !c.latency && !c.quiet {
		return all, ""
	}
	asked := len(all)
	if lim.Rounds > 0 {
		asked = min(asked, lim.Rounds)
	}
	need := max((2*asked+2)/3, (len(all)+1)/2, min(2, len(all)))
	if c.latency {
		lim.Others /= 2
	}
	var calm []int
	for _, r := range all {
		if median(others[r]) <= lim.Others && !c.hindered(byRound[r][sluice]) && !c.restless(byRound, r) {
			calm = append(calm, r)
		}
	}
	if len(calm) < need {
		why := sentence("others used more than %.0f %% of the machine", lim.Others*100)
		if len(c.machine)+len(c.added) > 0 {
			why += ", or it was slow without the proxy,"
		}
		return nil, sentence("%s in %d of %d rounds", why, len(all)-len(calm), len(all))
	}
	if c.noise == "" {
		return calm, ""
	}
	var with []int
	for _, r := range calm {
		if byRound[r][haproxy][c.noise] > 0 {
			with = append(with, r)
		}
	}
	figureOf := func(r int) float64 { return byRound[r][haproxy][c.noise] }
	slices.SortFunc(with, func(a, b int) int { return cmp.Compare(figureOf(a), figureOf(b)) })
	for i := range with {
		j := i
		for j < len(with) && figureOf(with[j]) <= figureOf(with[i])*(1+lim.Moved) {
			j++
		}
		if j-i > len(kept) {
			kept = slices.Clone(with[i:j])
		}
	}
	if len(with) == 0 {
		return nil, "HAProxy, which the others are compared with, was not measured"
	}
	if len(kept) < need {
		return nil, sentence("HAProxy's own figure moved from %.4g to %.4g between rounds, by more than %.0f %%",
			figureOf(with[0]), figureOf(with[len(with)-1]), lim.Moved*100)
	}
	slices.Sort(kept)
	return kept, ""
}

// hindered reports whether the machine or the servers were too slow for a round to tell anything of the proxy.
func (c testcase) hindered(v values) bool {
	for key, most := range c.machine {
		if v[key] > most {
			return true
		}
	}
	return false
}

// restless reports whether a request without a proxy took more than twice as long in a round as in the quickest one: what a proxy adds to that
// is chance. The last of a thousand always is.
func (c testcase) restless(byRound map[int]map[string]values, round int) bool {
	for _, key := range c.added {
		if key == "p999" {
			continue
		}
		least := math.Inf(1)
		for _, peers := range byRound {
			if x := peers[direct][key]; x > 0 {
				least = min(least, x)
			}
		}
		if byRound[round][direct][key] > 2*least {
			return true
		}
	}
	return false
}

func keys[V any](m map[int]V) (k []int) {
	for r := range m {
		k = append(k, r)
	}
	slices.Sort(k)
	return k
}

// median answers the middle value, or the mean of the two in the middle; NaN for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
