// Package inject decides what becomes of a pod, and adds the proxy to it: pod in, pod and Decision out. It knows no
// cluster and no clock, changes nothing it was given, and is safe for concurrent use.
//
// Native sidecars (KEP-753) go first:
//
//	initContainers: sluice-init, sluice-proxy (restartPolicy: Always), the application's …
//	containers:     the application's …
//
// so that the application's init containers are served too, the proxy is ready before anything of the application
// starts (startupProbe), is stopped after everything of it, and does not keep a Job from completing. Where the cluster
// does not know native sidecars:
//
//	initContainers: the application's …, sluice-init
//	containers:     sluice-proxy (postStart waits until it is ready), the application's …
//
// because rules laid before the application's init containers run would send their traffic to a proxy that is not there.
package inject
