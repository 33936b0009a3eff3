package meshtest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
)

// The node's address on every veth, the same everywhere as point-to-point CNIs have it (link-local, RFC 3927 and
// RFC 4291, section 2.5.6).
const (
	gateway4 = "169.254.1.1"
	gateway6 = "fe80::1"
)

// Net is a node and its pods. Its methods are safe for concurrent use.
type Net struct {
	Node *Namespace // routes between the pods; rules like kube-proxy's go here

	mu   sync.Mutex
	pods []*Pod
}

// Pod is a namespace with an interface eth0 that leads to the node.
type Pod struct {
	*Namespace
	Addrs []netip.Addr // in the order they were given
}

// Open makes a network without pods. The caller closes it.
func Open() (*Net, error) {
	node, err := OpenNamespace()
	if err != nil {
		return nil, err
	}
	n := &Net{Node: node}
	err = node.Do(func() error {
		return errors.Join(
			sysctl("net/ipv4/ip_forward", "1"),
			sysctl("net/ipv6/conf/all/disable_ipv6", "0"),
			sysctl("net/ipv6/conf/default/disable_ipv6", "0"),
			sysctl("net/ipv6/conf/all/forwarding", "1"))
	})
	// Somewhere for other addresses to go: they leave by an interface without anybody behind it, so that rules for
	// forwarded packets see them, and are lost there.
	for _, args := range []string{"link add out type veth peer name nowhere", "link set nowhere up",
		"link set out arp off up", "route add default dev out", "-6 route add default dev out"} {
		err = errors.Join(err, node.ip(strings.Fields(args)...))
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// AddPod adds a pod with the addresses, IPv4 or IPv6, at least one. A prefix length ("10.77.0.2/24") is accepted and
// means nothing: pods are single routes, and everything else is reached through the node.
func (n *Net) AddPod(addrs ...string) (*Pod, error) {
	parsed, err := parseAddrs(addrs)
	if err != nil {
		return nil, err
	}
	ns, err := OpenNamespace()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	pod := &Pod{Namespace: ns, Addrs: parsed}
	n.pods = append(n.pods, pod)
	return pod, n.wire(pod, fmt.Sprintf("pod%d", len(n.pods)))
}

// wire joins the pod to the node; link is the node's end.
func (n *Net) wire(pod *Pod, link string) error {
	err := pod.Do(func() error {
		return errors.Join(
			sysctl("net/ipv6/conf/all/disable_ipv6", "0"),
			sysctl("net/ipv6/conf/default/disable_ipv6", "0"))
	})
	if err != nil {
		return err
	}
	onNode := func(args string) { err = errors.Join(err, n.Node.ip(strings.Fields(args)...)) }
	inPod := func(args string) { err = errors.Join(err, pod.ip(strings.Fields(args)...)) }

	onNode("link add " + link + " type veth peer name eth0 netns " + pod.Path())
	onNode("addr add " + gateway4 + "/32 dev " + link)
	onNode("addr add " + gateway6 + "/64 dev " + link + " nodad")
	onNode("link set " + link + " up")
	inPod("link set eth0 up")
	has4, has6 := false, false
	for _, a := range pod.Addrs {
		if a.Is4() {
			has4 = true
			inPod(fmt.Sprintf("addr add %s/32 dev eth0", a))
			onNode(fmt.Sprintf("route replace %s/32 dev %s", a, link))
		} else {
			has6 = true
			inPod(fmt.Sprintf("addr add %s/128 dev eth0 nodad", a))
			onNode(fmt.Sprintf("-6 route replace %s/128 dev %s", a, link))
		}
	}
	if has4 {
		inPod("route add default via " + gateway4 + " dev eth0 onlink")
	}
	if has6 {
		inPod("-6 route add default via " + gateway6 + " dev eth0")
	}
	return err
}

func parseAddrs(addrs []string) ([]netip.Addr, error) {
	if len(addrs) == 0 {
		return nil, errors.New("meshtest: a pod needs at least one address")
	}
	var parsed []netip.Addr
	for _, s := range addrs {
		host, _, _ := strings.Cut(s, "/")
		a, err := netip.ParseAddr(host)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return nil, fmt.Errorf("meshtest: pod address %q: want an IPv4 or IPv6 address", s)
		}
		parsed = append(parsed, a)
	}
	return parsed, nil
}

// Close removes the network. Processes in it that were started through Command are killed by the kernel.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	err := n.Node.Close()
	for _, p := range n.pods {
		err = errors.Join(err, p.Close())
	}
	return err
}

// TestNet is a Net that belongs to a test: what goes wrong ends the test.
type TestNet struct {
	*Net
	t testing.TB
}

// NewNet makes a network for the test and removes it at the test's end. Where that is not permitted it skips the test.
func NewNet(t testing.TB) *TestNet {
	t.Helper()
	if err := Permitted(); err != nil {
		if os.Getenv("SLUICE_NO_SKIP") != "" {
			t.Fatalf("SLUICE_NO_SKIP is set, and this test needs network namespaces: %v", err)
		}
		t.Skipf("this test needs network namespaces: %v", err)
	}
	n, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return &TestNet{Net: n, t: t}
}

// Pod is AddPod for tests.
func (n *TestNet) Pod(addrs ...string) *Pod {
	n.t.Helper()
	p, err := n.AddPod(addrs...)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}
