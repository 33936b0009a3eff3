package main

import (
	"fmt"
	"net/netip"

	"github.com/sluice-mesh/sluice/test/manifest"
)

// Besides everything, the rig that has Services has three with addresses of their own in 127.0.0.0/8, all of which are the namespace's.
const (
	declaredAddr = "127.96.0.10:8080" // HTTP/2 by declaration, with the server of serverAddr as its endpoint
	severalIP    = "127.96.0.11"      // three endpoints
	severalHTTP  = 8090               // and their ports
	severalGRPC  = 8091
	severalAging = 8092
	lonelyAging  = 8093 // of everything: one endpoint
	bulkPort     = 8094
	bulkGRPC     = 8095
	agedIP       = "127.96.0.12" // one endpoint, whose clients are asked to come again each second
	agedGRPC     = 8096
)

// severalPods are the endpoints of the Service that has several.
var severalPods = []string{"127.77.0.1", "127.77.0.2", "127.77.0.3"}

func declared() manifest.Service {
	a := netip.MustParseAddrPort(declaredAddr)
	return manifest.Service{Name: "declared", ClusterIPs: []netip.Addr{a.Addr()},
		Ports:     []manifest.Port{{Name: "main", AppProtocol: "kubernetes.io/h2c", Port: a.Port(), Target: firstServer}},
		Endpoints: []manifest.Endpoint{{Pod: "pod-0", Addr: netip.MustParseAddr("127.0.0.1")}}}
}

func several() manifest.Service {
	s := manifest.Service{Name: "several", ClusterIPs: []netip.Addr{netip.MustParseAddr(severalIP)}}
	for _, p := range []uint16{severalHTTP, severalGRPC, severalAging} {
		s.Ports = append(s.Ports, manifest.Port{Name: fmt.Sprintf("p%d", p), Port: p, Target: p})
	}
	for i, a := range severalPods {
		s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: fmt.Sprintf("several-%d", i), Addr: netip.MustParseAddr(a)})
	}
	return s
}

func aged() manifest.Service {
	return manifest.Service{Name: "aged", ClusterIPs: []netip.Addr{netip.MustParseAddr(agedIP)},
		Annotations: map[string]string{"sluice.mesh/max-stream-age": "1s"},
		Ports:       []manifest.Port{{Port: agedGRPC, Target: agedGRPC}},
		Endpoints:   []manifest.Endpoint{{Pod: "aged-0", Addr: netip.MustParseAddr("127.0.0.1")}}}
}
