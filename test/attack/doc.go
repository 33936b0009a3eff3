// Package attack misbehaves in HTTP/2: as a client towards a server (Clients), and as a server towards a client (Servers). It knows nothing
// of what is between the two; test/conformance puts the proxy there and counts what innocent clients see meanwhile.
//
// Each attack has a name, what it is known as, and how it has to end. Frames are written with golang.org/x/net/http2's Framer, or as
// raw bytes where that knows better than to write them.
package attack
