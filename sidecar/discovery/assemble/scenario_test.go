package assemble

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

var update = flag.Bool("update", false, "write what the scenarios answer into their files")

// A scenario file is a list of steps with an empty line between them: what the API says, a line of dashes, and what is
// published then. A step's lines are
//
//	# a sentence why
//	service addrs=IP,IP ports=NAME/NUMBER/APPPROTOCOL,… policy=NAME weights=LIST selector=LABEL:VALUE affinity=ClientIP traffic=Local type=TYPE proxy=NAME
//	no service
//	slice NAME [type=IPv6] [born=SECONDS] [weight=WEIGHT] ports=NAME:NUMBER,… POD@ADDRESS[#UID][!CONDITION] …
//	no slice NAME
//	pod NAME [weight=WEIGHT]
//	no pod NAME
//	pods
//	no pods
//
// Without UID a pod's is uid-POD; CONDITION is ready (default), terminating (serving, not ready), down, gone (terminating
// and not serving), nil (no conditions said) or manual (no pod behind it).
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld()
			var out strings.Builder
			for i, step := range strings.Split(strings.TrimRight(string(in), "\n"), "\n\n") {
				commands, _, _ := strings.Cut(step, "\n----")
				if i > 0 {
					out.WriteString("\n")
				}
				out.WriteString(commands + "\n----\n" + w.step(t, commands))
			}
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if out.String() != string(in) {
				t.Errorf("got:\n%s\nwant:\n%s", out.String(), in)
			}
		})
	}
}

// world is a Service, its slices, and what was published of them so far.
type world struct {
	service  Service
	slices   map[string]*Slice
	targets  Targets
	held     map[netip.AddrPort]*discovery.Target
	printed  map[netip.AddrPort]*discovery.Snapshot
	seen     map[*cluster.Endpoint]bool
	problems []error
}

func newWorld() *world {
	return &world{slices: map[string]*Slice{}, targets: Targets{Loops: 1},
		held: map[netip.AddrPort]*discovery.Target{}, printed: map[netip.AddrPort]*discovery.Snapshot{},
		seen: map[*cluster.Endpoint]bool{}}
}

func (w *world) all() []*Slice {
	var all []*Slice
	for _, s := range w.slices {
		all = append(all, s)
	}
	return all
}

func (w *world) step(t *testing.T, commands string) string {
	w.problems = nil
	for _, line := range strings.Split(commands, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			w.command(t, strings.Fields(line))
		}
	}
	changed := w.targets.Update(w.service, w.all())
	var out strings.Builder
	for _, p := range slices.Concat(w.problems, w.targets.WeightProblems()) {
		fmt.Fprintf(&out, "problem: %v\n", p)
	}
	if changed {
		out.WriteString("table made anew\n")
	}
	table := &discovery.Table{Targets: map[netip.AddrPort]*discovery.Target{}, Addrs: map[netip.Addr]discovery.Reason{}}
	w.targets.AddTo(table)
	var addrs []netip.Addr
	for addr := range table.Addrs {
		addrs = append(addrs, addr)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	for _, addr := range addrs {
		fmt.Fprintf(&out, "%v: %v\n", addr, table.Addrs[addr])
	}
	var dsts []netip.AddrPort
	for dst := range w.held {
		dsts = append(dsts, dst)
	}
	for dst := range table.Targets {
		if w.held[dst] == nil {
			dsts = append(dsts, dst)
		}
	}
	slices.SortFunc(dsts, netip.AddrPort.Compare)
	for _, dst := range dsts {
		if old := w.held[dst]; old != nil && old != table.Targets[dst] {
			fmt.Fprintf(&out, "%v: removed=%v\n", dst, old.Removed())
			delete(w.held, dst)
			delete(w.printed, dst)
		}
		if table.Targets[dst] != nil {
			w.held[dst] = table.Targets[dst]
			w.print(&out, dst)
		}
	}
	return out.String()
}

// print writes a target's snapshot; + marks endpoints whose pointer was never seen before.
func (w *world) print(out *strings.Builder, dst netip.AddrPort) {
	target := w.held[dst]
	s := target.Snapshot()
	if s == w.printed[dst] {
		fmt.Fprintf(out, "%v: unchanged\n", dst)
		return
	}
	w.printed[dst] = s
	fmt.Fprintf(out, "%v: %s %q %v %s generation %d", dst, target.Name, target.PortName, s.Protocol, s.Rules.Policy, s.Set.Generation)
	if s.Set.Terminating {
		out.WriteString(" terminating")
	}
	out.WriteString("\n")
	for i, e := range s.Set.Endpoints {
		mark := " "
		if !w.seen[e] {
			mark = "+"
		}
		w.seen[e] = true
		fmt.Fprintf(out, "  %s %s %v %q", mark, e.Name, e.Addr, e.UID)
		if s.Set.Weights != nil {
			fmt.Fprintf(out, " weight %d", s.Set.Weights[i])
		}
		out.WriteString("\n")
	}
}

func (w *world) command(t *testing.T, words []string) {
	switch words[0] + " " + words[min(1, len(words)-1)] {
	case "no service":
		w.service = Service{}
		return
	case "no slice":
		delete(w.slices, words[2])
		return
	case "no pod":
		w.targets.Given.Pods.Delete(words[2])
		return
	case "pods pods":
		w.targets.Given.Pods.End()
		return
	case "no pods":
		w.targets.Given.Pods.Lose()
		return
	}
	var problems []error
	switch words[0] {
	case "pod":
		annotations := map[string]string{}
		if len(words) > 2 {
			key, value, _ := strings.Cut(words[2], "=")
			annotations["sluice.mesh/"+key] = value
		}
		w.targets.Given.Pods.Set(words[1], annotations)
	case "service":
		w.service, problems = ParseService(serviceOf(t, words[1:]))
	case "slice":
		s := sliceOf(t, words[1:])
		w.slices[s.Name], problems = ParseSlice(s)
	default:
		t.Fatalf("unknown command %q", words)
	}
	w.problems = append(w.problems, problems...)
}

func serviceOf(t *testing.T, words []string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "addrs":
			s.Spec.ClusterIPs = strings.Split(value, ",")
			s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
		case "addr": // as an API server before dual stack, or a person, writes it
			s.Spec.ClusterIP = value
		case "ports":
			for _, p := range strings.Split(value, ",") {
				part := strings.Split(p, "/")
				port := corev1.ServicePort{Name: part[0], Port: int32(number(t, part[1]))}
				if len(part) > 2 && (part[2] == "UDP" || part[2] == "SCTP") {
					port.Protocol = corev1.Protocol(part[2])
				} else if len(part) > 2 {
					app := strings.Join(part[2:], "/")
					port.AppProtocol = &app
				}
				s.Spec.Ports = append(s.Spec.Ports, port)
			}
		case "policy", "weights":
			s.Annotations = map[string]string{"sluice.mesh/" + key: value}
		case "selector":
			label, is, _ := strings.Cut(value, ":")
			s.Spec.Selector = map[string]string{label: is}
		case "affinity":
			s.Spec.SessionAffinity = corev1.ServiceAffinity(value)
		case "traffic":
			policy := corev1.ServiceInternalTrafficPolicy(value)
			s.Spec.InternalTrafficPolicy = &policy
		case "type":
			s.Spec.Type = corev1.ServiceType(value)
		case "proxy":
			s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": value}
		default:
			t.Fatalf("unknown word %q", word)
		}
	}
	return s
}

func sliceOf(t *testing.T, words []string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4,
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: words[0]}}
	for _, word := range words[1:] {
		if pod, rest, ok := strings.Cut(word, "@"); ok {
			s.Endpoints = append(s.Endpoints, endpointOf(t, pod, rest))
			continue
		}
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "type":
			s.AddressType = discoveryv1.AddressType(value)
		case "weight", "wieght":
			s.Annotations = map[string]string{"sluice.mesh/" + key: value}
		case "born":
			s.CreationTimestamp = metav1.NewTime(time.Unix(int64(number(t, value)), 0))
		case "ports":
			for _, p := range strings.Split(value, ",") {
				name, rest, _ := strings.Cut(p, ":")
				n, protocol, _ := strings.Cut(rest, "/")
				var port discoveryv1.EndpointPort
				if name != "-" {
					port.Name = &name
				}
				if n != "" {
					v := int32(number(t, n))
					port.Port = &v
				}
				if protocol != "" {
					v := corev1.Protocol(protocol)
					port.Protocol = &v
				}
				s.Ports = append(s.Ports, port)
			}
		default:
			t.Fatalf("unknown word %q", word)
		}
	}
	return s
}

func endpointOf(t *testing.T, pod, rest string) discoveryv1.Endpoint {
	rest, condition, _ := strings.Cut(rest, "!")
	addr, uid, ok := strings.Cut(rest, "#")
	if !ok {
		uid = "uid-" + pod
	}
	e := discoveryv1.Endpoint{Addresses: strings.Split(addr, ","),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod, UID: types.UID(uid)}}
	say := func(ready, serving, terminating bool) {
		e.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
	}
	switch condition {
	case "", "ready":
		say(true, true, false)
	case "terminating":
		say(false, true, true)
	case "down":
		say(false, false, false)
	case "gone":
		say(false, false, true)
	case "nil":
	case "manual":
		e.TargetRef = nil
	default:
		t.Fatalf("unknown condition %q", condition)
	}
	return e
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
