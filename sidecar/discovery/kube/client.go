package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

const (
	// A connection on which nothing was read for pingIdle is asked for a sign of life, and given up when none came within
	// pingWait. client-go's defaults are 30 s and 15 s. The price is one small frame per sidecar and pingIdle.
	pingIdle = 10 * time.Second
	pingWait = 5 * time.Second

	// requestTimeout bounds a list, and a watch until its answer begins.
	requestTimeout = 10 * time.Second

	protobuf = runtime.ContentTypeProtobuf
)

// client speaks of four kinds of objects, and of the metadata of pods, only. The generated clientset would link all of them, and a scheme of all kinds
// costs memory in every pod.
type client struct {
	scheme     *runtime.Scheme
	parameters runtime.ParameterCodec
	core       rest.Interface
	discovery  rest.Interface
	apps       rest.Interface
	http       *http.Client
}

func newClient(config *rest.Config) (*client, error) {
	// client-go reads these from nowhere else.
	for name, d := range map[string]time.Duration{
		"HTTP2_READ_IDLE_TIMEOUT_SECONDS": pingIdle,
		"HTTP2_PING_TIMEOUT_SECONDS":      pingWait,
	} {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, strconv.Itoa(int(d/time.Second))); err != nil {
				return nil, err
			}
		}
	}

	c := &client{scheme: runtime.NewScheme()}
	c.scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Service{}, &corev1.ServiceList{}, &corev1.ConfigMap{}, &corev1.ConfigMapList{})
	c.scheme.AddKnownTypes(appsv1.SchemeGroupVersion, &appsv1.StatefulSet{}, &appsv1.StatefulSetList{})
	c.scheme.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{})
	c.scheme.AddKnownTypes(metav1.SchemeGroupVersion, &metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadataList{})
	metav1.AddToGroupVersion(c.scheme, corev1.SchemeGroupVersion)
	metav1.AddToGroupVersion(c.scheme, discoveryv1.SchemeGroupVersion)
	metav1.AddToGroupVersion(c.scheme, appsv1.SchemeGroupVersion)
	c.parameters = runtime.NewParameterCodec(c.scheme)

	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(c.scheme).WithoutConversion()
	config.ContentType = protobuf
	config.AcceptContentTypes = protobuf + "," + runtime.ContentTypeJSON
	config.DisableCompression = true // the server is near, and decompressing costs more than reading
	config.WarningHandler = rest.NoWarnings{}
	config.UserAgent = "sluice-sidecar"
	config.Timeout = 0 // it would end watches
	config.QPS = -1    // no limit: followers are few, and finding out addresses has its own

	var err error
	if c.http, err = rest.HTTPClientFor(config); err != nil {
		return nil, err
	}
	of := func(path string, version schema.GroupVersion) (rest.Interface, error) {
		config := rest.CopyConfig(config)
		config.APIPath, config.GroupVersion = path, &version
		return rest.RESTClientForConfigAndClient(config, c.http)
	}
	if c.core, err = of("/api", corev1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.discovery, err = of("/apis", discoveryv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	if c.apps, err = of("/apis", appsv1.SchemeGroupVersion); err != nil {
		return nil, err
	}
	return c, nil
}

// query is what of one resource is listed or watched.
type query struct {
	api       rest.Interface
	resource  string
	namespace string // "" is all
	metadata  bool   // only the objects' metadata, as PartialObjectMetadata
	options   metav1.ListOptions
}

// These ask for metadata, of a list or of the objects of a watch. A server that knows no such thing answers 406.
const (
	metadataOfList   = protobuf + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1," + runtime.ContentTypeJSON + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	metadataOfObject = protobuf + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1," + runtime.ContentTypeJSON + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
)

// get begins the request.
func (q query) get(c *client, metadata string) *rest.Request {
	request := q.api.Get().NamespaceIfScoped(q.namespace, q.namespace != "").Resource(q.resource).
		VersionedParams(&q.options, c.parameters).MaxRetries(0)
	if q.metadata {
		request.SetHeader("Accept", metadata)
	}
	return request
}

// String answers the words of an access rule, for errors.
func (q query) String() string {
	if q.namespace == "" {
		return q.resource + " of all namespaces"
	}
	return q.resource + " of namespace " + q.namespace
}

// list reads into a list object.
func (c *client) list(ctx context.Context, q query, into runtime.Object) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := q.get(c, metadataOfList).Do(ctx).Into(into)
	if err != nil {
		return fmt.Errorf("list %v: %w", q, err)
	}
	return nil
}

// watch follows a query from a resource version on. Stop it when done.
func (c *client) watch(ctx context.Context, q query, from string, lifetime time.Duration) (watch.Interface, error) {
	seconds := int64(lifetime / time.Second)
	q.options.Watch, q.options.AllowWatchBookmarks = true, true
	q.options.Limit = 0 // of lists
	q.options.ResourceVersion, q.options.TimeoutSeconds = from, &seconds
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(requestTimeout, cancel)
	w, err := q.get(c, metadataOfObject).Watch(ctx)
	if !timer.Stop() && err == nil {
		w.Stop()
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch %v: %w", q, err)
	}
	return &stopping{w, cancel}, nil
}

// stopping is a watch that also ends its request's context.
type stopping struct {
	watch.Interface
	cancel context.CancelFunc
}

func (s *stopping) Stop() {
	s.Interface.Stop()
	s.cancel()
}

// answered reports whether an error is an answer of an API server that works, and not a sign that it is away or busy.
func answered(err error) bool {
	status := apierrors.APIStatus(nil)
	if err == nil || expired(err) {
		return true
	}
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code < 500 && code != http.StatusTooManyRequests
}

// expired reports whether the server has forgotten the resource version, or does not know it yet, as after its data were
// restored from a copy.
func expired(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}
