package admit

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Recorder is what is needed of an events.EventRecorder.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// regarding answers what an event about a pod that does not exist yet is about: its owner, such as the ReplicaSet,
// else the pod by its name.
func regarding(namespace string, pod *corev1.Pod) *corev1.ObjectReference {
	if o := metav1.GetControllerOf(pod); o != nil {
		return &corev1.ObjectReference{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: namespace, Name: o.Name, UID: o.UID}
	}
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name(pod), UID: pod.UID}
}
