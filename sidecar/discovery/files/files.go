package files

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// Options are the settings of a Resolver.
type Options struct {
	Dir        string       // of the manifests; it must exist
	Loops      int          // of the process
	Node, Zone string       // where its pod runs; "" is unknown
	Log        *slog.Logger // slog.Default() where it is nil

	// Debounce is how long a file has to be left alone before it is read; 0 is 20 ms. Editors write in several steps.
	Debounce time.Duration
	// Rescan is the time between looks at the directory without a notice; 0 is 10 s.
	Rescan time.Duration
}

// Resolver is discovery from files. Its methods are safe for concurrent use.
type Resolver struct {
	opts     Options
	log      *slog.Logger
	problems *discovery.Problems
	table    atomic.Pointer[discovery.Table]
	lostAt   atomic.Int64 // Unix nanoseconds since when the directory cannot be read; 0 while it can

	mu       sync.Mutex // guards what follows; held while scanning
	dir      directory
	services map[name]*assemble.Targets
	holds    *time.Timer // fires when a hold ends; stopped where there is none
}

var _ discovery.Resolver = (*Resolver)(nil)

// New reads the directory once, so that Lookup answers from the start. A broken file is reported (Status, log), not an
// error; a directory that cannot be read is one.
func New(opts Options) (*Resolver, error) {
	opts.Debounce = cmp.Or(opts.Debounce, 20*time.Millisecond)
	opts.Rescan = cmp.Or(opts.Rescan, 10*time.Second)
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	r := &Resolver{opts: opts, log: opts.Log, problems: discovery.NewProblems(opts.Log),
		dir:      directory{path: opts.Dir, log: opts.Log, files: map[string]*file{}},
		services: map[name]*assemble.Targets{}}
	r.table.Store(&discovery.Table{})
	r.holds = time.AfterFunc(time.Hour, r.again)
	r.holds.Stop()
	if err := r.scan(false); err != nil {
		return nil, fmt.Errorf("discovery from files: %w", err)
	}
	return r, nil
}

// Lookup answers from the manifests as they were last read; it never answers Pending.
func (r *Resolver) Lookup(dst netip.AddrPort) discovery.Answer {
	answer := r.table.Load().Lookup(dst)
	if answer.Reason == discovery.Pending {
		answer.Reason = discovery.UnknownService
	}
	return answer
}

// Resolve calls done with Lookup's answer before it returns.
func (r *Resolver) Resolve(dst netip.AddrPort, done func(discovery.Answer)) { done(r.Lookup(dst)) }

// Status answers the state; Age counts from when the directory could no longer be read.
func (r *Resolver) Status() discovery.Status {
	s := discovery.Status{Source: "files", Synced: true, Targets: r.table.Load().Sorted(), Problems: r.problems.List()}
	if since := r.lostAt.Load(); since != 0 {
		s.Age = time.Since(time.Unix(0, since))
	}
	return s
}

// scan reads what changed and publishes it. The error is also among the problems.
func (r *Resolver) scan(trusting bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	changed, err := r.dir.scan(trusting, now)
	if err != nil {
		r.lostAt.CompareAndSwap(0, now.UnixNano())
		r.problems.Set("", []string{fmt.Sprintf("%v; what its files last said stays in force", err)})
		return err
	}
	r.lostAt.Store(0)
	r.problems.Set("", nil)
	if changed {
		r.publish()
	}
	return nil
}

// publish brings targets and table up to date with the files.
func (r *Resolver) publish() {
	all, problems := r.merge()
	gone := maps.Clone(r.services)
	changed := false
	for n, s := range all.services {
		targets := r.services[n]
		if targets == nil {
			targets = &assemble.Targets{Loops: r.opts.Loops, Node: r.opts.Node, Zone: r.opts.Zone}
			r.services[n] = targets
		}
		delete(gone, n)
		needs := targets.Needs(s, all.slices[n])
		targets.Given = all.give(n, needs, targets.Given.Pods)
		changed = targets.Update(s, all.slices[n]) || changed
		if now := targets.Needed(); now != needs { // what was needed is not there any more, and so something else is
			targets.Given = all.give(n, now, targets.Given.Pods)
			changed = targets.Update(s, all.slices[n]) || changed
		}
		for _, err := range slices.Concat(targets.Problems(), targets.WeightProblems()) {
			problems = append(problems, fmt.Sprintf("Service %v: %v", n, err))
		}
	}
	for n, targets := range gone {
		changed = targets.Update(assemble.Service{}, nil) || changed
		delete(r.services, n)
	}
	r.problems.Set("files", problems)
	r.arm()
	if !changed {
		return
	}
	table := &discovery.Table{Targets: map[netip.AddrPort]*discovery.Target{}, Addrs: map[netip.Addr]discovery.Reason{}}
	for _, targets := range r.services {
		targets.AddTo(table)
	}
	r.table.Store(table)
	r.log.Info("discovery: manifests read", "dir", r.opts.Dir, "services", len(all.services), "targets", len(table.Targets))
}

// merged is what all files say together.
type merged struct {
	services map[name]assemble.Service
	slices   map[name][]*assemble.Slice // by Service
	sets     map[name]*shard.StatefulSet
	data     map[name]map[string]string // of ConfigMaps
	pods     map[name]pod
}

// merge puts the files together, in the order of their names. Of two objects of one name, and of two Services with one
// address, the first is used and the second is a problem.
func (r *Resolver) merge() (all merged, problems []string) {
	all = merged{map[name]assemble.Service{}, map[name][]*assemble.Slice{}, map[name]*shard.StatefulSet{}, map[name]map[string]string{}, map[name]pod{}}
	type object struct {
		kind string
		name name
	}
	type owner struct {
		service name
		file    string
	}
	files := map[object]string{}
	owners := map[netip.Addr]owner{}
	for _, path := range slices.Sorted(maps.Keys(r.dir.files)) {
		f := r.dir.files[path]
		problems = append(problems, f.problems...)
		first := func(kind string, n name) bool {
			is, ok := files[object{kind, n}]
			if ok {
				problems = append(problems, fmt.Sprintf("%s: %s %v: it is in %s already, which is used", path, kind, n, is))
			} else {
				files[object{kind, n}] = path
			}
			return !ok
		}
		for _, s := range f.manifest.services {
			n := name{s.Namespace, s.Name}
			if !first("Service", n) {
				continue
			}
			s.Addrs = slices.DeleteFunc(slices.Clone(s.Addrs), func(addr netip.Addr) bool {
				first, taken := owners[addr]
				if taken {
					problems = append(problems, fmt.Sprintf("%s: Service %v: spec.clusterIPs: %v belongs to Service %v (%s) already",
						path, n, addr, first.service, first.file))
				} else {
					owners[addr] = owner{n, path}
				}
				return taken
			})
			all.services[n] = s
		}
		for _, s := range f.manifest.slices {
			if first("EndpointSlice", s.self) {
				all.slices[s.service] = append(all.slices[s.service], s.slice)
			}
		}
		for _, s := range f.manifest.sets {
			if first("StatefulSet", s.self) {
				all.sets[s.self] = s.set
			}
		}
		for _, c := range f.manifest.data {
			if first("ConfigMap", c.self) {
				all.data[c.self] = c.data
			}
		}
		for _, p := range f.manifest.pods {
			if first("Pod", p.self) {
				all.pods[p.self] = p
			}
		}
	}
	for n := range all.slices {
		if _, ok := all.services[n]; !ok {
			r.log.Debug("discovery: EndpointSlices of a Service that is in no file", "service", n.String())
		}
	}
	return all, problems
}

// Run follows the directory until ctx ends, and answers nil then.
func (r *Resolver) Run(ctx context.Context) error {
	r.follow(ctx)
	r.holds.Stop()
	return nil
}
