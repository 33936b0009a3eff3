// Package assemble turns a Kubernetes Service and its EndpointSlices into what the proxy balances over: for each
// address and TCP port of the Service a protocol, a policy and the endpoints that may be picked. It opens nothing, waits
// for nothing and logs nothing; kube and files feed it and publish what it answers.
//
// What is kept of the API's objects is small (Service, Slice), so that the objects themselves can go. Input is checked
// all the same as if nobody had done so before: files are written by hand.
package assemble
