package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// apiServer speaks as much of the Kubernetes API as list and watch of Services, EndpointSlices, StatefulSets, ConfigMaps and the metadata of Pods need,
// over real sockets: resource versions, pages, bookmarks, 410 Gone, refusals, and it can be killed and started again at the same
// address. Its memory outlives its death, as etcd does.
type apiServer struct {
	t    *testing.T
	tls  bool
	addr string
	http *httptest.Server

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	version  int
	oldest   int // events up to here are forgotten
	objects  map[string]object
	events   []event
	refuse   func(verb, resource, namespace string) int // an HTTP status, or 0
	hang     chan struct{}                              // requests wait for it, if it is not nil
	requests []string
	watches  int // that are open

	protobuf bool // metadata is answered in it; set before it is asked
}

// object is a Service, an EndpointSlice, a StatefulSet, a ConfigMap or a Pod.
type object interface {
	metav1.Object
}

type event struct {
	version int
	kind    string // ADDED, MODIFIED, DELETED, BOOKMARK
	object  object
}

func newAPIServer(t *testing.T, tls bool) *apiServer {
	a := &apiServer{t: t, addr: meshtest.HoldPort(t).String(), tls: tls, changed: make(chan struct{}), version: 100, objects: map[string]object{}}
	a.put(service("default", "kubernetes", "10.96.0.1"))
	a.start()
	t.Cleanup(func() {
		if a.http != nil {
			a.kill()
		}
	})
	return a
}

func (a *apiServer) start() {
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.http = &httptest.Server{Listener: l, Config: &http.Server{Handler: a}, EnableHTTP2: true}
	if a.tls {
		a.http.StartTLS()
	} else {
		a.http.Start()
	}
}

// kill ends all connections at once and answers no more.
func (a *apiServer) kill() {
	a.http.Listener.Close()
	a.http.CloseClientConnections()
	a.http.Config.Close()
	a.http.Close()
	a.http = nil
}

// config is how to reach it.
func (a *apiServer) config() *rest.Config {
	c := &rest.Config{Host: "http://" + a.addr}
	if a.tls {
		c.Host, c.TLSClientConfig.Insecure = "https://"+a.addr, true
	}
	c.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext // client-go shares transports that look the same
	return c
}

// put makes or changes an object.
func (a *apiServer) put(o object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind := "ADDED"
	if _, ok := a.objects[keyOf(o)]; ok {
		kind = "MODIFIED"
	}
	a.objects[keyOf(o)] = a.record(kind, o)
}

// remove deletes an object.
func (a *apiServer) remove(o object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.objects, keyOf(o))
	a.record("DELETED", o)
}

// bookmark tells all watches the newest version.
func (a *apiServer) bookmark() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range empty {
		a.version++
		a.record("BOOKMARK", o)
	}
}

// forget makes all versions so far too old to be watched from.
func (a *apiServer) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	a.oldest, a.events = a.version, nil
}

func (a *apiServer) record(kind string, o object) object {
	a.version++
	o = clone(o)
	o.SetResourceVersion(strconv.Itoa(a.version))
	a.events = append(a.events, event{a.version, kind, o})
	a.wake()
	return o
}

func (a *apiServer) wake() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// setRefuse changes what is refused.
func (a *apiServer) setRefuse(refuse func(verb, resource, namespace string) int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse = refuse
}

// setHang makes all further requests wait, until the function it answers is called.
func (a *apiServer) setHang() (release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	hang := make(chan struct{})
	a.hang = hang
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.hang = nil
		close(hang)
	}
}

// took answers the requests since the last call, sorted.
func (a *apiServer) took() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests := a.requests
	a.requests = nil
	slices.Sort(requests)
	return requests
}

func (a *apiServer) openWatches() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watches
}

func clone(o object) object {
	switch o := o.(type) {
	case *corev1.Service:
		return o.DeepCopy()
	case *discoveryv1.EndpointSlice:
		return o.DeepCopy()
	case *appsv1.StatefulSet:
		return o.DeepCopy()
	case *corev1.ConfigMap:
		return o.DeepCopy()
	case *corev1.Pod:
		return o.DeepCopy()
	}
	panic("unknown kind")
}

func resourceOf(o object) string {
	return strings.ToLower(typeOf(o).Kind) + "s"
}

func typeOf(o object) metav1.TypeMeta {
	switch o.(type) {
	case *corev1.Service:
		return metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	case *corev1.ConfigMap:
		return metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}
	case *corev1.Pod:
		return metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	case *appsv1.StatefulSet:
		return metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}
	}
	return metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"}
}

// empty are objects of all kinds.
var empty = []object{&corev1.Service{}, &discoveryv1.EndpointSlice{}, &appsv1.StatefulSet{}, &corev1.ConfigMap{}, &corev1.Pod{}}

func keyOf(o object) string { return resourceOf(o) + "/" + o.GetNamespace() + "/" + o.GetName() }

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	resource, namespace := parts[len(parts)-1], ""
	if i := slices.Index(parts, "namespaces"); i >= 0 {
		namespace = parts[i+1]
	}
	query := r.URL.Query()
	verb := "list"
	if query.Get("watch") != "" {
		verb = "watch"
	}
	selector := query.Get("fieldSelector") + query.Get("labelSelector")

	a.mu.Lock()
	a.requests = append(a.requests, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", verb, namespace, resource, selector)))
	hang, refuse := a.hang, a.refuse
	a.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return
		}
	}
	if refuse != nil {
		if code := refuse(verb, resource, namespace); code != 0 {
			a.fail(w, code, verb, resource)
			return
		}
	}
	if resource == "pods" && !strings.Contains(r.Header.Get("Accept"), metadataAs[verb]) {
		a.t.Errorf("%s pods: accepts %q, and so whole pods", verb, r.Header.Get("Accept"))
	}
	match := a.matcher(query.Get("fieldSelector"), query.Get("labelSelector"), resource, namespace)
	if verb == "watch" {
		a.watch(w, r, match)
		return
	}
	a.list(w, match, resource, query.Get("limit"), query.Get("continue"))
}

func (a *apiServer) fail(w http.ResponseWriter, code int, verb, resource string) {
	reason := map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 410: metav1.StatusReasonExpired}[code]
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(status(code, reason, fmt.Sprintf("%s is forbidden: User \"sa\" cannot %s resource", resource, verb)))
}

func status(code int, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: int32(code), Reason: reason, Message: message}
}

func (a *apiServer) matcher(fieldSelector, labelSelector, resource, namespace string) func(object) bool {
	byField, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		a.t.Error(err)
	}
	byLabel, err := labels.Parse(labelSelector)
	if err != nil {
		a.t.Error(err)
	}
	return func(o object) bool {
		set := fields.Set{"metadata.name": o.GetName()}
		if s, ok := o.(*corev1.Service); ok {
			set["spec.clusterIP"] = s.Spec.ClusterIP
		}
		return resourceOf(o) == resource && (namespace == "" || o.GetNamespace() == namespace) &&
			byField.Matches(set) && byLabel.Matches(labels.Set(o.GetLabels()))
	}
}

func (a *apiServer) list(w http.ResponseWriter, match func(object) bool, resource, limit, from string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := strconv.Atoi(limit)
	if err != nil {
		n = 1 << 30
	}
	list := map[string]any{}
	for _, o := range empty {
		if resourceOf(o) == resource {
			list["apiVersion"], list["kind"] = typeOf(o).APIVersion, typeOf(o).Kind+"List"
		}
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.Itoa(a.version)}
	items := []object{}
	for _, key := range slices.Sorted(maps.Keys(a.objects)) {
		o := a.objects[key]
		if key <= from || !match(o) {
			continue
		}
		if len(items) == n {
			meta.Continue = keyOf(items[n-1])
			break
		}
		items = append(items, o)
	}
	if resource == "pods" {
		a.listMetadata(w, meta, items)
		return
	}
	list["metadata"], list["items"] = meta, items
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(list)
}

func (a *apiServer) watch(w http.ResponseWriter, r *http.Request, match func(object) bool) {
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	w.Header().Set("Content-Type", "application/json")
	if a.protobuf && strings.HasSuffix(r.URL.Path, "/pods") {
		w.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf;stream=watch")
	}
	w.(http.Flusher).Flush()
	send := func(kind string, o any) {
		json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": o})
		w.(http.Flusher).Flush()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watches++
	defer func() { a.watches-- }()
	for {
		if from < a.oldest {
			send("ERROR", status(410, metav1.StatusReasonExpired, "too old resource version"))
			return
		}
		for _, e := range a.events {
			o := e.object
			if e.version <= from || e.kind != "BOOKMARK" && !match(o) {
				continue
			}
			switch o := o.(type) {
			case *corev1.Service:
				o.TypeMeta = typeOf(o)
			case *discoveryv1.EndpointSlice:
				o.TypeMeta = typeOf(o)
			case *appsv1.StatefulSet:
				o.TypeMeta = typeOf(o)
			case *corev1.ConfigMap:
				o.TypeMeta = typeOf(o)
			}
			if e.kind != "BOOKMARK" || strings.HasSuffix(r.URL.Path, resourceOf(o)) {
				if pod, ok := o.(*corev1.Pod); ok {
					a.sendMetadata(w, e.kind, pod)
				} else {
					send(e.kind, o)
				}
			}
			from = e.version
		}
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-r.Context().Done():
			a.mu.Lock()
			return
		}
		a.mu.Lock()
	}
}

// service makes a Service with the port http/80.
func service(namespace, name string, ips ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	s.Spec.ClusterIP, s.Spec.ClusterIPs = ips[0], ips
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80}}
	return s
}

// slice makes an EndpointSlice of ready endpoints on port 8080.
func slice(namespace, service, name string, addrs ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}}}
	if len(addrs) > 0 && strings.Contains(addrs[0], ":") {
		s.AddressType = discoveryv1.AddressTypeIPv6
	}
	port, portName := int32(8080), "http"
	s.Ports = []discoveryv1.EndpointPort{{Name: &portName, Port: &port}}
	for _, addr := range addrs {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr}})
	}
	return s
}
