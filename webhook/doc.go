// Package webhook assembles the webhook: admission of Pods (admit, around inject), of Services' annotations and of the
// ConfigMaps that are their tables (admit), its own certificates (certs), the read access of opted-in namespaces (access),
// what it has to know of the cluster (facts), and a look at pods that were missed (report).
//
// Every replica answers admission requests and needs nothing of the others for it. One, the leader, writes: it
// rotates certificates, keeps the binding of read access, and reports. A cluster without a leader for a while goes on
// injecting.
//
// A request's way: API server (which has filtered by label) → TLS with the leaf of certs.Server → admit.Pods →
// facts → inject.Pod → JSON patch. One about a ConfigMap, which may be large, passes few first.
package webhook
