// Package scatter sends one request to many endpoints at once and makes one answer of theirs, a list in JSON. It is for what people and
// programs ask of all pods now and then (clear a cache, count what is there), not for the requests that a Service lives of: it
// runs on goroutines beside the loops, over net/http, with a connection of its own for each endpoint.
//
// Each endpoint gets the request once at most, whatever its method: nothing is sent again. An endpoint that cannot be reached, or does not
// answer in time, is listed with the reason.
package scatter
