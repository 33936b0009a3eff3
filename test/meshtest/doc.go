// Package meshtest makes small networks out of Linux network namespaces, for tests and for the demo. A Net is a node
// with pods around it: every pod is a namespace with its own loopback, addresses and default route, joined to the node
// by a veth pair, and everything between pods is routed by the node, as point-to-point CNIs do it. So rules put into
// the node's namespace (see Net.Service) act on traffic between pods the way kube-proxy's do.
//
//	n := meshtest.NewNet(t) // skips the test, with a sentence, where namespaces are not permitted
//	client, server := n.Pod("10.77.0.2"), n.Pod("10.77.0.3", "fd77::3")
//	l, err := server.Listen("tcp", "10.77.0.3:80")
//	out, err := client.Command(ctx, "curl", "-s", "http://10.77.0.3").Output()
//
// Outside tests (no *testing.T): Open, Net.AddPod, Net.Close.
//
// Namespaces are anonymous: nothing appears under /run/netns, and the kernel frees everything once the process and its
// children are gone, however they ended. Processes started through Namespace.Command get SIGKILL when the process that
// started them dies. Nothing reaches the machine's own network.
//
// Needed: CAP_SYS_ADMIN and CAP_NET_ADMIN in the current user namespace (root, or root of a user namespace), and the
// programs ip (iproute2) and, for Net.Service, iptables.
//
// Main is for TestMain: it ends the run when goroutines, descriptors or children are left over.
package meshtest
