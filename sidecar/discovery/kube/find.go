package kube

import (
	"context"
	"errors"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
)

const (
	// secondaryPage is how many Services are decoded at a time while all are listed; one takes about 2 KB.
	secondaryPage = 250
	// secondaryAge is how long the secondary addresses that were found are believed.
	secondaryAge = time.Minute
	// singleStackAge is how long it is believed that there are none of an address family, which is all that the Services
	// have: an address is secondary only where the primary one is of the other family. It is long as clusters seldom become
	// dual-stack; until it is noticed, connections to a secondary address pass through.
	singleStackAge = 10 * time.Minute

	// findQPS and findBurst bound the lists that finding out addresses makes: a process that calls every address of a range
	// must not become a load for the API server. What is over the limit passes through.
	findQPS   = 20
	findBurst = 100
)

// found is the Service that has an address.
type found struct {
	name    types.NamespacedName
	service *corev1.Service // as of version; nil where it still has to be listed
	version string
}

var (
	// errNoService says that no Service has the address.
	errNoService = errors.New("no Service has this address")
	errBusy      = errors.New("too many addresses are being found out")
)

// find asks the API server whose address it is.
func (r *Resolver) find(ctx context.Context, addr netip.Addr) (found, error) {
	var list corev1.ServiceList
	q := query{api: r.client.core, resource: "services",
		options: metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.clusterIP", addr.String()).String()}}
	if err := r.ask(ctx, q, &list); err != nil {
		return found{}, err
	}
	for i := range list.Items {
		s := &list.Items[i]
		if s.Spec.Type != corev1.ServiceTypeExternalName {
			return found{types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, s, list.ResourceVersion}, nil
		}
	}
	name, err := r.secondary.find(ctx, r, addr)
	return found{name: name}, err
}

// ask lists beside the gate: a new connection may try a server that is thought to be away. The gate learns from it.
func (r *Resolver) ask(ctx context.Context, q query, list *corev1.ServiceList) error {
	if !r.limit.TryAccept() {
		return errBusy
	}
	err := r.client.list(ctx, q, list)
	if r.ctx.Err() != nil {
		return err
	}
	r.gate.learn(err, false)
	if answered(err) {
		r.answered("access", err)
	}
	if err == nil {
		r.permitted()
	}
	return err
}

// secondaries are the addresses of dual-stack Services that the field selector does not find: all but each Service's
// first. They are remembered from one list of all Services.
type secondaries struct {
	lock   chan struct{} // a mutex that can be waited for with a context
	listed time.Time     // when the list was begun
	by     map[netip.Addr]types.NamespacedName
	v4, v6 bool // what the addresses of all Services are
}

// find answers the Service of a secondary address, and lists all of them when that was not done for a while.
func (s *secondaries) find(ctx context.Context, r *Resolver, addr netip.Addr) (types.NamespacedName, error) {
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
	case <-ctx.Done():
		return types.NamespacedName{}, ctx.Err()
	}
	if time.Since(s.listed) > s.age(addr) {
		if err := s.list(ctx, r); err != nil {
			return types.NamespacedName{}, err
		}
	}
	if name, ok := s.by[addr]; ok {
		return name, nil
	}
	return types.NamespacedName{}, errNoService
}

// age answers how long the last list is believed for an address.
func (s *secondaries) age(addr netip.Addr) time.Duration {
	if addr.Is4() && s.v4 && !s.v6 || addr.Is6() && s.v6 && !s.v4 {
		return singleStackAge
	}
	return secondaryAge
}

// list goes through all Services page by page, and keeps what is secondary.
func (s *secondaries) list(ctx context.Context, r *Resolver) error {
	begun := time.Now()
	by := map[netip.Addr]types.NamespacedName{}
	v4, v6 := false, false
	q := query{api: r.client.core, resource: "services", options: metav1.ListOptions{Limit: secondaryPage}}
	for {
		var page corev1.ServiceList
		if err := r.ask(ctx, q, &page); err != nil {
			return err
		}
		for i := range page.Items {
			service, _ := assemble.ParseService(&page.Items[i])
			for _, addr := range service.Addrs {
				v4, v6 = v4 || addr.Is4(), v6 || addr.Is6()
			}
			for _, addr := range service.Addrs[min(1, len(service.Addrs)):] {
				by[addr] = types.NamespacedName{Namespace: service.Namespace, Name: service.Name}
			}
		}
		if q.options.Continue = page.Continue; page.Continue == "" {
			s.listed, s.by, s.v4, s.v6 = begun, by, v4, v6
			return nil
		}
	}
}
