package files

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

var dst = netip.MustParseAddrPort("10.96.0.10:80")

// shop is a manifest of the Service shop/cart at dst, over pods of the given addresses.
func shop(pods ...string) string {
	var endpoints strings.Builder
	for _, pod := range pods {
		fmt.Fprintf(&endpoints, "\n- addresses: [%s]", pod)
	}
	return `apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints:` + endpoints.String() + "\n"
}

// running is a resolver that follows a directory until the test ends.
type running struct {
	*Resolver
	t   *testing.T
	dir string
	log *logBuffer
}

func start(t *testing.T, dir string, opts Options) *running {
	t.Helper()
	log := &logBuffer{}
	opts.Dir, opts.Loops, opts.Log = dir, 1, slog.New(slog.NewTextHandler(log, nil))
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &running{Resolver: r, t: t, dir: dir, log: log}
}

// answers describes what a destination leads to: its endpoints' addresses, or a reason.
func (r *running) answers(dst netip.AddrPort) string {
	a := r.Lookup(dst)
	if a.Target == nil {
		return a.Reason.String()
	}
	defer a.Target.Release()
	var addrs []string
	for _, e := range a.Target.Snapshot().Set.Endpoints {
		addrs = append(addrs, e.Addr.Addr().String())
	}
	return strings.Join(addrs, " ")
}

func (r *running) wait(what string, done func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := meshtest.Poll(ctx, what, func() (bool, error) { return done(), nil }); err != nil {
		r.t.Fatalf("%v; answer %q, problems %q", err, r.answers(dst), r.Status().Problems)
	}
}

func (r *running) waitFor(want string) {
	r.t.Helper()
	r.wait("the answer "+want, func() bool { return r.answers(dst) == want })
}

func (r *running) waitProblem(text string) {
	r.t.Helper()
	r.wait("the problem "+text, func() bool { return strings.Contains(strings.Join(r.Status().Problems, "\n"), text) })
}

func (r *running) write(name, text string) {
	r.t.Helper()
	write(r.t, filepath.Join(r.dir, name), text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// never is a re-scan period that does not come in a test: what is seen is seen by notices.
const never = time.Hour

func TestAnswersFromTheStart(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "shop.yaml"), shop("10.1.0.1", "10.1.0.2"))
	r := start(t, dir, Options{Rescan: never})
	for dst, want := range map[string]string{
		"10.96.0.10:80":          "10.1.0.1 10.1.0.2",
		"[::ffff:10.96.0.10]:80": "10.1.0.1 10.1.0.2", // as an IPv6 socket may say it
		"10.96.0.10:81":          "unknown-port",
		"10.96.0.11:80":          "unknown-service",
	} {
		if got := r.answers(netip.MustParseAddrPort(dst)); got != want {
			t.Errorf("%s: %q, want %q", dst, got, want)
		}
	}
	s := r.Status()
	if s.Source != "files" || !s.Synced || s.Age != 0 || len(s.Targets) != 1 || s.Targets[0].Name != "shop/cart:80" || s.Problems != nil {
		t.Errorf("status %+v", s)
	}
	var resolved []discovery.Answer
	r.Resolve(dst, func(a discovery.Answer) { resolved = append(resolved, a) })
	if len(resolved) != 1 || resolved[0].Target == nil {
		t.Fatalf("Resolve answered %+v", resolved)
	}
	resolved[0].Target.Release()
}

func TestADirectoryThatIsNotThereIsAnError(t *testing.T) {
	_, err := New(Options{Dir: filepath.Join(t.TempDir(), "missing"), Loops: 1})
	if err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("New: %v; want an error that names the directory", err)
	}
}

func TestFollowsChanges(t *testing.T) {
	r := start(t, t.TempDir(), Options{Rescan: never})
	if got := r.answers(dst); got != "unknown-service" {
		t.Fatalf("empty directory: %q", got)
	}
	r.write("shop.yaml", shop("10.1.0.1"))
	r.waitFor("10.1.0.1")
	a := r.Lookup(dst)
	defer a.Target.Release()
	first := a.Target.Snapshot().Set.Endpoints[0]

	// written in place
	r.write("shop.yaml", shop("10.1.0.1", "10.1.0.2"))
	r.waitFor("10.1.0.1 10.1.0.2")
	if s := a.Target.Snapshot(); s.Set.Endpoints[0] != first {
		t.Error("the endpoint that stayed has another pointer")
	}

	// as editors do: a new file beside it is renamed over it, the old one kept as a backup
	r.write(".shop.yaml.swp", "kind: [")
	r.write("shop.new", shop("10.1.0.3"))
	must(t, os.Rename(filepath.Join(r.dir, "shop.yaml"), filepath.Join(r.dir, "shop.yaml~")))
	must(t, os.Rename(filepath.Join(r.dir, "shop.new"), filepath.Join(r.dir, "shop.yaml")))
	r.waitFor("10.1.0.3")
	if a.Target.Removed() {
		t.Error("replacing the file removed the target")
	}

	must(t, os.Remove(filepath.Join(r.dir, "shop.yaml")))
	r.waitFor("unknown-service")
	if !a.Target.Removed() || len(a.Target.Snapshot().Set.Endpoints) != 1 {
		t.Error("the removed target should say so and keep its last endpoints for those who hold it")
	}
}

// A kubelet writes a ConfigMap's files into a new directory and swaps the link ..data; the names in the volume are links
// through it.
func TestFollowsAConfigMapsSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		write(t, filepath.Join(dir, name, "shop.yaml"), text)
		must(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", shop("10.1.0.1"))
	must(t, os.Symlink(filepath.Join("..data", "shop.yaml"), filepath.Join(dir, "shop.yaml")))
	r := start(t, dir, Options{Rescan: never})
	r.waitFor("10.1.0.1")
	version("..2", shop("10.1.0.2"))
	r.waitFor("10.1.0.2")
}

func TestABrokenFileKeepsWhatItLastSaid(t *testing.T) {
	r := start(t, t.TempDir(), Options{Rescan: never})
	r.write("other.yaml", strings.NewReplacer("cart", "other", "10.96.0.10", "10.96.0.11").Replace(shop("10.2.0.1")))
	r.write("shop.yaml", shop("10.1.0.1"))
	r.waitFor("10.1.0.1")

	r.write("shop.yaml", strings.Replace(shop("10.1.0.2"), "port: 80}", "port: none}", 1))
	r.waitProblem(`shop.yaml: document 1: Service: spec.ports.port: "none" is not a value of type int32`)
	if got := r.answers(dst); got != "10.1.0.1" {
		t.Errorf("the broken file's Service: %q, want the last endpoints", got)
	}
	// Other files are followed meanwhile.
	r.write("other.yaml", strings.NewReplacer("cart", "other", "10.96.0.10", "10.96.0.11").Replace(shop("10.2.0.2")))
	r.wait("the other file's change", func() bool { return r.answers(netip.MustParseAddrPort("10.96.0.11:80")) == "10.2.0.2" })

	r.write("shop.yaml", shop("10.1.0.2"))
	r.waitFor("10.1.0.2")
	if p := r.Status().Problems; len(p) != 0 {
		t.Errorf("problems are left: %q", p)
	}
	if text := r.log.String(); strings.Count(text, "problem=new") != 1 || strings.Count(text, "problem=gone") != 1 {
		t.Errorf("the problem should be logged once when it comes and once when it goes:\n%s", text)
	}
}

func TestAWrongPolicyKeepsTheLastOneAndFollowsTheEndpoints(t *testing.T) {
	policy := func(value, pod string) string {
		return strings.Replace(shop(pod), "namespace: shop}", "namespace: shop, annotations: {sluice.mesh/policy: "+value+"}}", 1)
	}
	r := start(t, t.TempDir(), Options{Rescan: never})
	r.write("shop.yaml", policy("round-robin", "10.1.0.1"))
	r.waitFor("10.1.0.1")
	r.write("shop.yaml", policy("fastest", "10.1.0.2"))
	r.waitFor("10.1.0.2")
	r.waitProblem(`shop.yaml: document 1: Service shop/cart: metadata.annotations[sluice.mesh/policy]: "fastest": want one of `)
	if s := r.Status().Targets[0].Snapshot(); s.Rules.Policy != "round-robin" {
		t.Errorf("policy %q", s.Rules.Policy)
	}
}

func TestTheFirstOfTwoFilesWins(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), shop("10.1.0.1"))
	write(t, filepath.Join(dir, "b.yaml"), shop("10.1.0.2"))
	write(t, filepath.Join(dir, "c.yaml"), strings.ReplaceAll(shop("10.1.0.3"), "cart", "thief"))
	r := start(t, dir, Options{Rescan: never})
	want := []string{
		"b.yaml: EndpointSlice shop/cart-1: it is in a.yaml already, which is used",
		"b.yaml: Service shop/cart: it is in a.yaml already, which is used",
		"c.yaml: Service shop/thief: spec.clusterIPs: 10.96.0.10 belongs to Service shop/cart (a.yaml) already",
	}
	if got := r.Status().Problems; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r.waitFor("10.1.0.1")
	must(t, os.Remove(filepath.Join(dir, "a.yaml")))
	r.waitFor("10.1.0.2")
}

func TestTheRescanSeesWhatNoticesDoNot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "real.yaml")
	write(t, outside, shop("10.1.0.1"))
	dir := t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(dir, "shop.yaml")))
	r := start(t, dir, Options{Rescan: 30 * time.Millisecond})
	r.waitFor("10.1.0.1")
	write(t, outside, shop("10.1.0.2"))
	r.waitFor("10.1.0.2")
}

func TestTheDirectoryGoesAndComesBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "manifests")
	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "shop.yaml"), shop("10.1.0.1"))
	r := start(t, dir, Options{Rescan: 30 * time.Millisecond})
	must(t, os.Rename(dir, dir+".away"))
	r.waitProblem("no such file or directory; what its files last said stays in force")
	if got := r.answers(dst); got != "10.1.0.1" {
		t.Errorf("without the directory: %q", got)
	}
	r.wait("age", func() bool { return r.Status().Age > 0 })

	must(t, os.Mkdir(dir, 0o755))
	write(t, filepath.Join(dir, "shop.yaml"), shop("10.1.0.2"))
	r.waitFor("10.1.0.2")
	r.wait("no problems and no age", func() bool { s := r.Status(); return s.Age == 0 && len(s.Problems) == 0 })
	// It is the new directory that is followed now, also between re-scans.
	r.write("shop.yaml", shop("10.1.0.3"))
	r.waitFor("10.1.0.3")
}

// Many changes in a row, loops that look up all the time: for the race detector, and for lookups that never see less than
// the Service.
func TestLookupsDuringChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "shop.yaml"), shop("10.1.0.1"))
	r := start(t, dir, Options{Rescan: never, Debounce: time.Millisecond})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if got := r.answers(dst); !strings.HasPrefix(got, "10.1.0.") {
						t.Errorf("answer %q", got)
						return
					}
				}
			}
		})
	}
	for i := range 50 {
		tmp := filepath.Join(dir, "tmp")
		write(t, tmp, shop(fmt.Sprintf("10.1.0.%d", i+2)))
		must(t, os.Rename(tmp, filepath.Join(dir, "shop.yaml")))
	}
	r.waitFor("10.1.0.51")
	close(stop)
	readers.Wait()
}

// logBuffer is a buffer for a logger that others write to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
