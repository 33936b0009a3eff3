// Package shardkey makes keys of requests: what a Service names in sluice.mesh/shard-key, read from the head or from the first
// bytes of the body, of HTTP/1 and HTTP/2 alike. Package shard says who owns a key.
//
//	spec, err := Parse("header:account-id", "")  // once for each change of the annotations
//
//	o := x.Begin(spec, source)                   // for each request; x is an Extraction that is used again and again
//	for o == NeedMore {                          // only where spec.NeedsBody()
//		… read more of the body, and keep it to send …
//		o = x.Body(bodySoFar, ended)
//	}
//	if o == Found { owner := m.Owner(x.Key()) }
//
// What becomes of a request without a key is the Service's to say; every Outcome has a word for metrics. Body never needs more
// than MaxBody bytes, and only reads them: what is sent on is what came.
//
// # What a key is
//
//   - header:NAME: the field's value as it is, case and commas included, without white space around it. gRPC's metadata are
//     headers; the padding of its binary ones does not count.
//   - cookie:NAME: the cookie's value without quotation marks around it.
//   - query:NAME: the parameter's value, decoded as forms are: %41 is A, + is a space. Parameters are parted by & alone.
//   - path:/accounts/{key}: a segment of the path, decoded: %2F is a slash in the key, + a plus. * stands for any segment, text
//     beside {key} has to be there, and the path may go on behind: /accounts/7/orders has the key 7. Nothing is resolved or
//     cleaned: dot segments and empty ones are segments.
//   - json:/account/id: what the JSON pointer (RFC 6901) leads to in the body: a string, a number, true or false. A number's
//     text is canonical, so 42, 42.0 and "42" are one key; a string is what it says, so "042" is another. Of members with one
//     name the first counts. Nothing behind the value is read. gzip is read through; the type of the body is not asked for.
//   - grpc:1.2: field 2 of the message that is field 1 of the first message of a gRPC call; gzip is read through. Numbers are
//     those of int32, int64, bool and enum fields (a uint64 of 2⁶³ or more is negative, and a sint is what is on the wire), or
//     fixed32 and fixed64. Zero and "" are not on the wire and so Absent. Of fields with one number the first counts.
//   - source-ip: the address of the client, which is the pod beside the sidecar.
//
// An empty value is Absent. The same value twice is one key; different ones are Several. Several parts are one key: Join.
package shardkey
