package assemble

import (
	"fmt"
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Pods are what the pods of a Service say of their weights. A pod that is not there any more, or that nobody knows any more, keeps its
// weight for as long as it is in a slice, and a wrong value leaves the last right one in force. The zero value knows of none. It
// belongs to its Targets: it is changed between their calls, by their owner.
type Pods struct {
	by    map[string]podWeight
	wrong map[string]string // what is wrong with the value of a pod, by its name
	known bool              // all that there are were listed
	begun bool              // they were once: before that, weights of some would be out of all proportion to those of the rest
	gone  int               // how many are not there
}

// podWeight is small, as there may be many.
type podWeight struct {
	n          uint16 // the last right one
	said       bool   // n was said, and not taken back
	there, met bool   // met while listing
}

// Begin begins a listing: Set for each that there is, and End.
func (p *Pods) Begin() {
	for name, w := range p.by {
		if w.met {
			w.met = false
			p.by[name] = w
		}
	}
}

// Set takes the annotations of a pod as they are now. It reports whether anything changed.
func (p *Pods) Set(name string, annotations map[string]string) (changed bool) {
	weight := ParseWeight(annotations)
	old, was := p.by[name]
	now := podWeight{n: weight.n, said: weight.said, there: true, met: true}
	if weight.wrong != "" {
		now.n, now.said = old.n, old.said
	}
	if was && !old.there {
		p.gone--
	}
	changed = !was || !old.there || now.n != old.n || now.said != old.said || p.wrong[name] != weight.wrong
	if p.by == nil {
		p.by = map[string]podWeight{}
	}
	p.by[name] = now
	switch {
	case weight.wrong == "":
		delete(p.wrong, name)
	case p.wrong == nil:
		p.wrong = map[string]string{name: weight.wrong}
	default:
		p.wrong[name] = weight.wrong
	}
	return changed
}

// Delete says that a pod is not there any more. It reports whether anything changed.
func (p *Pods) Delete(name string) (changed bool) {
	w := p.by[name]
	if !w.there {
		return false
	}
	w.there = false
	p.gone++
	p.by[name] = w
	delete(p.wrong, name)
	return true
}

// End ends a listing: pods that it did not have are not there. It reports whether anything but that changed.
func (p *Pods) End() (changed bool) {
	for name, w := range p.by {
		if !w.met {
			changed = p.Delete(name) || changed
		}
	}
	changed = changed || !p.known
	p.known, p.begun = true, true
	return changed
}

// Lose says that nobody knows any more which pods there are.
func (p *Pods) Lose() {
	for name := range p.by {
		p.Delete(name)
	}
	p.known = false
}

// prune forgets the pods that are not there and in no slice.
func (p *Pods) prune(all []*Slice) {
	if p.gone == 0 {
		return
	}
	in := map[string]bool{}
	for _, s := range all {
		for i := range s.records {
			in[s.records[i].name] = true
		}
	}
	for name, w := range p.by {
		if !w.there && !in[name] {
			delete(p.by, name)
			p.gone--
		}
	}
}

// kindPod is what problems call a pod, as kubectl does.
const kindPod = "Pod"

// someNames is how many pods are named in problems, of which there may be as many as pods.
const someNames = 3

// WeightProblems are what keeps pods from having the weights they are to have, as of the last Update.
func (t *Targets) WeightProblems() (problems []error) {
	p := t.weights.pods
	if t.service.Reason != discovery.Found || p == nil {
		return nil
	}
	const stays = "has the weight that was last known, else that of its EndpointSlice, else 1"
	switch {
	case t.needs.Pods == "":
		return []error{fmt.Errorf("annotation %sweights: the Service has no selector, so nobody knows its pods; each "+stays, rules.Prefix)}
	case !p.known:
		return []error{fmt.Errorf("the pods with %s are not known; each "+stays, t.needs.Pods)}
	}
	var wrong, unknown []string
	for name := range p.wrong {
		wrong = append(wrong, name)
	}
	for _, s := range t.slices {
		for i := range s.records {
			// Those that are about to go are gone from the API before they are from the slice.
			if r := &s.records[i]; r.isPod && r.condition == ready && !p.by[r.name].there {
				unknown = append(unknown, r.name)
			}
		}
	}
	problems = some(problems, wrong, func(name string) error {
		stays := "it says nothing"
		if w := p.by[name]; w.said {
			stays = fmt.Sprintf("the last right one, %d, stays in force", w.n)
		}
		return fmt.Errorf("%s %s/%s: %w; %s", kindPod, t.service.Namespace, name, Weight{wrong: p.wrong[name]}.Problem(), stays)
	})
	return some(problems, unknown, func(name string) error {
		return fmt.Errorf("%s %s/%s is not there, or not known, or has not the labels %s; it "+stays, kindPod, t.service.Namespace, name, t.needs.Pods)
	})
}

// some adds the problems with the first few of pods, and how many more there are like that.
func some(problems []error, pods []string, problem func(name string) error) []error {
	slices.Sort(pods)
	pods = slices.Compact(pods)
	for _, name := range pods[:min(len(pods), someNames)] {
		err := problem(name)
		if more := len(pods) - someNames; more > 0 && name == pods[someNames-1] {
			err = fmt.Errorf("%w (and %d more like this)", err, more)
		}
		problems = append(problems, err)
	}
	return problems
}
