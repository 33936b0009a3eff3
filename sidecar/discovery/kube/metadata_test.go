package kube

import (
	"bytes"
	"encoding/json"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	proto "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
)

// The apiServer answers Pods as metadata only, in JSON or protobuf, as a real one does when it is asked so.

// metadataAs is what is asked for, by verb.
var metadataAs = map[string]string{
	"list":  ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
	"watch": ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
}

var metadataScheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(s); err != nil {
		panic(err)
	}
	return s
}()

// metadataIn encodes an object as a real server would.
func (a *apiServer) metadataIn(o runtime.Object) []byte {
	if !a.protobuf {
		data, err := json.Marshal(o)
		if err != nil {
			a.t.Error(err)
		}
		return data
	}
	var b bytes.Buffer
	if err := proto.NewSerializer(metadataScheme, metadataScheme).Encode(o, &b); err != nil {
		a.t.Error(err)
	}
	return b.Bytes()
}

func metadataOf(o *corev1.Pod) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: *o.ObjectMeta.DeepCopy()}
}

func (a *apiServer) listMetadata(w http.ResponseWriter, meta metav1.ListMeta, items []object) {
	list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"},
		ListMeta: meta, Items: []metav1.PartialObjectMetadata{}}
	for _, o := range items {
		list.Items = append(list.Items, metadataOf(o.(*corev1.Pod)))
	}
	w.Header().Set("Content-Type", "application/json")
	if a.protobuf {
		w.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf")
	}
	w.Write(a.metadataIn(list))
}

// sendMetadata sends an event of a watch.
func (a *apiServer) sendMetadata(w http.ResponseWriter, kind string, pod *corev1.Pod) {
	m := metadataOf(pod)
	event := metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: a.metadataIn(&m)}}
	if a.protobuf {
		data, err := event.Marshal()
		if err != nil {
			a.t.Error(err)
		}
		proto.LengthDelimitedFramer.NewFrameWriter(w).Write(data)
	} else {
		json.NewEncoder(w).Encode(event)
	}
	w.(http.Flusher).Flush()
}
