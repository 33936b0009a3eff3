package shard

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/golang/geo/s2"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func mustTable(t *testing.T, kind Kind, data map[string]string) *Table {
	t.Helper()
	table, err := ParseTable(kind, data)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTables(t *testing.T) {
	data := map[string]string{
		"acme": "web-1",
		"table": "# customers\n\nbig corp\tweb-2\nacme-eu 0\n" +
			"eu/ web-0\neu/vienna/ web-2\n" +
			"gone web-9\n",
	}
	other := map[string]string{"acme": "web-1", "*": "web-2"}
	for _, c := range []struct {
		what, spec string
		data       map[string]string
		key, want  string
		why        Why
	}{
		{"a key of its own entry", "lookup", data, "acme", "web-1", Owned},
		{"a key of a line, with a space in it", "lookup", data, "big corp", "web-2", Owned},
		{"an owner by ordinal", "lookup", data, "acme-eu", "web-0", Owned},
		{"an owner that is not there", "lookup", data, "gone", "web-9", Down},
		{"a key that is not there", "lookup", data, "nobody", "", NoEntry},
		{"letters' case counts", "lookup", data, "Acme", "", NoEntry},
		{"every other key", "lookup", other, "nobody", "web-2", Owned},
		{"the longest prefix", "prefix-lookup", data, "eu/vienna/1010", "web-2", Owned},
		{"a shorter prefix", "prefix-lookup", data, "eu/graz", "web-0", Owned},
		{"a prefix that is all of the key", "prefix-lookup", data, "acme", "web-1", Owned},
		{"a prefix that ends within a word", "prefix-lookup", data, "acme-europe", "web-0", Owned},
		{"no prefix", "prefix-lookup", data, "ac", "", NoEntry},
	} {
		spec := mustSpec(t, c.spec)
		m := New(spec, Input{Set: setOf(replicas(4)...), Table: mustTable(t, spec.Kind, c.data)})
		o := m.Owner(keyOf(c.key))
		name := ""
		if o.Member != nil {
			name = o.Member.Name
		}
		if name != c.want || o.Why != c.why || (o.Endpoint != nil) != (c.why == Owned) {
			t.Errorf("%s: %q is %q, %v; want %q, %v", c.what, c.key, name, o.Why, c.want, c.why)
		}
	}
}

func TestTablesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		what string
		kind Kind
		data map[string]string
		want string
	}{
		{"a key twice", Lookup, map[string]string{"a": "x", "table": "a y"}, `entry "table", line 1: key "a" is there twice`},
		{"a line without an owner", Lookup, map[string]string{"table": "b x\na"}, `line 2: "a": want a key and its owner`},
		{"an entry without an owner", Lookup, map[string]string{"a": " "}, `entry "a": owner "": want a pod's name`},
		{"an entry of several words", Lookup, map[string]string{"a": "x y"}, `owner "x y"`},
		{"a long key", Lookup, map[string]string{"table": strings.Repeat("k", 257) + " x"}, "longer than 256 bytes"},
		{"a short owner, whole", Lookup, map[string]string{"a": strings.Repeat("ü", 40)}, `owner "` + strings.Repeat("ü", 40) + `": want`},
		{"a long owner, its beginning", Lookup, map[string]string{"a": strings.Repeat("ü", 1<<19)}, `owner "` + strings.Repeat("ü", 40) + `"…: want`},
		{"a long line, its beginning", Lookup, map[string]string{"table": "a b\n" + strings.Repeat("k", 1<<20)},
			`line 2: "` + strings.Repeat("k", 40) + `"…: want a key and its owner`},
		{"a long owner of a line", Lookup, map[string]string{"table": "a " + strings.Repeat("/", 1<<20)}, `line 1: owner "//`},
		{"a long cell", S2, map[string]string{"table": strings.Repeat("4", 250) + " x"}, `is no token of an S2 cell`},
		{"a cell that is none", S2, map[string]string{"zz": "x"}, `key "zz" is no token of an S2 cell`},
	} {
		if _, err := ParseTable(c.kind, c.data); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: an error of %d bytes", c.what, len(err.Error()))
		}
	}
}

// BenchmarkParseTable1MiB reads tables as large as ConfigMaps may be. The webhook reads one, and the one before it, while kubectl
// apply waits.
func BenchmarkParseTable1MiB(b *testing.B) {
	for _, c := range []struct {
		kind Kind
		line func(i int) string
	}{
		{Lookup, func(i int) string { return fmt.Sprintf("k%d %d\n", i, i%100) }},
		{PrefixLookup, func(i int) string { return fmt.Sprintf("%s%d web-%d\n", strings.Repeat("k", i%240), i, i) }}, // all lengths
		{S2, func(i int) string { return s2.CellIDFromFacePosLevel(0, uint64(i)<<40, s2.MaxLevel).ToToken() + " 1\n" }},
	} {
		b.Run(c.kind.String(), func(b *testing.B) {
			var text strings.Builder
			for i := 0; ; i++ {
				line := c.line(i)
				if text.Len()+len(line) > 1<<20 {
					break
				}
				text.WriteString(line)
			}
			data := map[string]string{"table": text.String()}
			b.SetBytes(1 << 20)
			for b.Loop() {
				if _, err := ParseTable(c.kind, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A table's owners are found again when pods come and go, and a table that is down fails over.
func TestATablesOwnersComeAndGo(t *testing.T) {
	spec := mustSpec(t, "lookup")
	table := mustTable(t, Lookup, map[string]string{"a": "web-1", "b": "2"})
	all := replicas(3)
	m := New(spec, Input{Set: setOf(), Table: table})
	if o := m.Owner(keyOf("a")); o.Why != Down || o.Member.Name != "web-1" {
		t.Errorf("without pods: %+v", o)
	}
	m = m.Next(Input{Set: setOf(all...), Table: table})
	for key, want := range map[string]*cluster.Endpoint{"a": all[1], "b": all[2]} {
		if o := m.Owner(keyOf(key)); o.Endpoint != want {
			t.Errorf("%s: %+v", key, o)
		}
	}
	m = m.Next(Input{Set: setOf(all[0], all[2]), Table: table})
	if order := m.Successors(nil, keyOf("a"), 5); len(order) != 3 || order[0].Member.Name != "web-1" || order[0].Why != Down {
		t.Errorf("order with web-1 down: %+v", order)
	}
	m = m.Next(Input{Set: setOf(all[0], all[2])})
	if o := m.Owner(keyOf("a")); o.Why != NoTable {
		t.Errorf("without its table: %+v", o)
	}
}

// An ordinal is the pod's of one StatefulSet. Where nobody says of which, all members with ordinals have to be of the same.
func TestATablesOrdinalsAreOfOneStatefulSet(t *testing.T) {
	web, all := replicas(3), []*cluster.Endpoint{pod("canary-1", 11), pod("canary-2", 12)}
	mixed := append(all, web...)
	for _, text := range []string{"lookup", "prefix-lookup", "s2"} {
		spec := mustSpec(t, text)
		data, key := map[string]string{"k": "1", "n": "canary-1"}, "k"
		if spec.ByTable = spec.Kind == S2; spec.ByTable {
			data, key = map[string]string{"*": "1"}, "48.2,16.4"
		}
		named := spec
		named.StatefulSet = "web"
		table := mustTable(t, spec.Kind, data)
		for _, c := range []struct {
			what string
			spec Spec
			in   Input
			want string // with a question mark where nobody knows, and an exclamation mark where the owner is down
		}{
			{"members of one", spec, Input{Set: setOf(web...)}, "web-1"},
			{"members of two", spec, Input{Set: setOf(mixed...)}, "?"},
			{"one is said", spec, Input{Set: setOf(mixed...), OrdinalsOf: "web"}, "web-1"},
			{"the other is said", spec, Input{Set: setOf(mixed...), OrdinalsOf: "canary"}, "canary-1"},
			{"its pod is not there", spec, Input{Set: setOf(all...), OrdinalsOf: "web"}, "web-1!"},
			{"nobody is there", spec, Input{Set: setOf(), OrdinalsOf: "web"}, "web-1!"},
			{"it is not known, though all members are of one", spec, Input{Set: setOf(web...), OrdinalsUnknown: true}, "?"},
			{"it is named", named, Input{Set: setOf(mixed...), StatefulSet: &StatefulSet{Name: "web", Replicas: 3}}, "web-1"},
			{"its pod is away", named, Input{Set: setOf(all...), StatefulSet: &StatefulSet{Name: "web", Replicas: 3}}, "web-1!"},
			{"it has no such replica", named, Input{Set: setOf(mixed...), StatefulSet: &StatefulSet{Name: "web", Replicas: 1}}, "web-1!"},
			{"no member has an ordinal", spec, Input{Set: setOf(pods(2)...)}, "1!"},
		} {
			c.in.Table = table
			for before, m := range map[string]*Map{"nothing": New(c.spec, c.in), "web": New(spec, Input{Set: c.in.Set, Table: table, OrdinalsOf: "web"}).NextAs(c.spec, c.in),
				"canary": New(spec, Input{Set: c.in.Set, Table: table, OrdinalsOf: "canary"}).NextAs(c.spec, c.in)} {
				o := m.Owner(keyOf(key))
				got := "?"
				switch {
				case o.Member == nil && o.Why != NoStatefulSet:
					got = o.Why.String()
				case o.Member != nil && o.Why == Down:
					got = o.Member.Name + "!"
				case o.Member != nil:
					got = o.Member.Name
				}
				if got != c.want || (o.Endpoint != nil) != (o.Member != nil && o.Why == Owned) {
					t.Errorf("%s, %s, after %s: %s, want %s", text, c.what, before, got, c.want)
				}
			}
		}
	}
}

// Sidecars that know different StatefulSets behind the same table can be told apart.
func TestTheFingerprintIsOfWhomATableMeans(t *testing.T) {
	spec := mustSpec(t, "lookup")
	all := append(replicas(2), pod("canary-1", 11))
	of := func(in Input, owner string) uint64 {
		in.Table = mustTable(t, Lookup, map[string]string{"k": owner})
		return New(spec, in).Fingerprint()
	}
	seen := map[uint64]string{}
	for what, in := range map[string]Input{"unknown": {Set: setOf(all...), OrdinalsUnknown: true}, "web": {Set: setOf(all...), OrdinalsOf: "web"},
		"canary": {Set: setOf(all...), OrdinalsOf: "canary"}} {
		got := of(in, "1")
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s are both %x", what, other, got)
		}
		seen[got] = what
		if by := of(in, "web-1"); by != of(Input{Set: setOf(all...)}, "web-1") {
			t.Errorf("%s: a table of names has another fingerprint", what)
		}
	}
	if a, b := of(Input{Set: setOf(replicas(2)...)}, "1"), of(Input{Set: setOf(replicas(2)...), OrdinalsOf: "web"}, "1"); a != b {
		t.Errorf("what the members say themselves makes a difference: %x and %x", a, b)
	}
}

func TestCells(t *testing.T) {
	m := New(mustSpec(t, "s2,level=10"), Input{Set: setOf(pods(50)...)})
	near, far := 0, 0
	for i := range 50 {
		lat, lng := 48.0+float64(i)/20, 16.0+float64(i)/10
		cell := s2.CellIDFromLatLng(s2.LatLngFromDegrees(lat, lng)).Parent(10)
		o := m.Owner(keyOf(cellText(cell.LatLng())))
		within := cell.ChildBeginAtLevel(20).LatLng() // somewhere else in the cell
		if m.Owner(keyOf(cellText(within))).Member == o.Member {
			near++
		}
		if m.Owner(keyOf(cellText(cell.EdgeNeighbors()[0].LatLng()))).Member == o.Member {
			far++
		}
	}
	if near != 50 || far > 10 {
		t.Errorf("of 50 cells %d have one owner for two places within, and %d share theirs with a neighbour; want 50 and few", near, far)
	}
	for _, bad := range []string{"", "48.2", "48.2;16.3", "91,0", "0,181", "NaN,0", "0x10,0", "a,b", "48.2,16.3,1", "1_0,0"} {
		if o := m.Owner(keyOf(bad)); o.Why != NoPlace || o.Member != nil {
			t.Errorf("%q: %+v", bad, o)
		}
	}
}

func TestTheSmallestCellOfATableCounts(t *testing.T) {
	vienna := s2.CellIDFromLatLng(s2.LatLngFromDegrees(48.2082, 16.3738))
	table := mustTable(t, S2, map[string]string{
		vienna.Parent(5).ToToken(): "web-0", vienna.Parent(10).ToToken(): "web-1", "*": "web-2",
	})
	m := New(mustSpec(t, "s2"), Input{Set: setOf(replicas(3)...), Table: table})
	for place, want := range map[string]string{
		"48.2082,16.3738":   "web-1",
		"48.75,16.9":        "web-0",
		" -33.9 , 151.2 ":   "web-2",
		"4.82082e1,+1.64e1": "web-1",
	} {
		if o := m.Owner(keyOf(place)); o.Member == nil || o.Member.Name != want {
			t.Errorf("%s: %+v, want %s", place, o.Member, want)
		}
	}
}

// Tables of cells of any levels, one in the other or not, against all of a place's cells from the smallest on.
func TestTheSmallestCellIsFoundAtAnyLevel(t *testing.T) {
	r := seedOf(t)
	for range 300 {
		// A whole table is around one place, so that many of its cells are within others.
		lat, lng := anyPlace(r)
		lat, lng = max(-89, min(89, lat)), max(-179, min(179, lng))
		data, cells := map[string]string{}, map[s2.CellID]string{}
		for range r.IntN(6) {
			cell, _ := libraryCell(lat+r.Float64()/1000, lng+r.Float64()/1000, r.IntN(s2.MaxLevel+1))
			cells[cell] = fmt.Sprint("web-", r.IntN(3))
			data[cell.ToToken()] = cells[cell]
		}
		spec := mustSpec(t, "s2")
		spec.Level, spec.ByTable = r.IntN(s2.MaxLevel+1), true
		m := New(spec, Input{Set: setOf(replicas(3)...), Table: mustTable(t, S2, data)})
		for range 20 {
			a, b := lat+r.Float64()/1000, lng+r.Float64()/1000
			want := ""
			for level := s2.MaxLevel; level >= 0 && want == ""; level-- {
				cell, _ := libraryCell(a, b, level)
				want = cells[cell]
			}
			o, hash := m.own(keyOf(fmt.Sprintf("%v,%v", a, b)))
			got := ""
			if o.Member != nil {
				got = o.Member.Name
			}
			cell, _ := libraryCell(a, b, spec.Level)
			if got != want || hash != cellHash(cell) {
				t.Fatalf("%v,%v is %q's, fails over by %x; want %q, %x, of %q", a, b, got, hash, want, cellHash(cell), data)
			}
		}
	}
}

func cellText(at s2.LatLng) string {
	return fmt.Sprintf("%.7f,%.7f", at.Lat.Degrees(), at.Lng.Degrees())
}

// FuzzParseTable finds that each key of a table that parses has the owner that its line says.
func FuzzParseTable(f *testing.F) {
	f.Add("a web-1\n# b\n* 2\n\nlong key\tweb-3")
	f.Add("a 1\na 2")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := ParseTable(Lookup, map[string]string{"table": text})
		if err != nil {
			return
		}
		m := New(Spec{Kind: Lookup, Slots: DefaultSlots}, Input{Set: setOf(), Table: table})
		for line := range strings.Lines(text) {
			words := strings.Fields(line)
			if len(words) != 2 || strings.HasPrefix(words[0], "#") || words[0] == "*" {
				continue
			}
			if o := m.Owner(keyOf(words[0])); o.Member == nil || !sameOwner(o.Member, words[1]) {
				t.Fatalf("%q of %q: %+v", words[0], text, o.Member)
			}
		}
	})
}

func sameOwner(m *Member, owner string) bool {
	n, err := strconv.Atoi(owner)
	return m.Name == owner || err == nil && m.Ordinal == n
}

// Sidecars whose tables say different things can be told apart; how a table says it makes no difference.
func TestTheFingerprintIsOfTheTableToo(t *testing.T) {
	type data = map[string]string
	for text, c := range map[string]struct{ same, others []data }{
		"lookup": {
			same: []data{
				{"acme": "web-1", "b": "2", "*": "web-0"},
				{"table": "# moved\n\nb 2\n* web-0\nacme\tweb-1\n"},
				{"b": "02", "table": "acme web-1\n*  web-0"},
			},
			others: []data{
				{},
				{"acme": "web-1", "b": "2"},
				{"acme": "web-1", "b": "2", "*": "web-1"},
				{"acme": "web-2", "b": "2", "*": "web-0"},
				{"acme": "2", "b": "web-1", "*": "web-0"}, // their owners for each other's
				{"acme": "web-1", "c": "2", "*": "web-0"},
				{"acme": "web-1", "b": "2", "c": "2", "*": "web-0"},
				{"acme": "web-1", "b": "web-2", "*": "web-0"},
				{"web-0": "web-0"},
				{"web-1": "web-1"},
			},
		},
		"s2": {
			same:   []data{{"476d07": "web-0", "476d079": "1"}, {"table": "476d0790 1\n476d070000 web-0\n"}, {"476D07": "web-0", "476d079": "1"}},
			others: []data{{"476d07": "web-0"}, {"476d07": "web-0", "476d07b": "1"}, {"476d07": "1", "476d079": "web-0"}, {"476d07": "web-0", "476d079": "1", "*": "1"}},
		},
	} {
		spec := mustSpec(t, text)
		fingerprint := func(d data) uint64 {
			return New(spec, Input{Set: setOf(replicas(3)...), Table: mustTable(t, spec.Kind, d)}).Fingerprint()
		}
		want := fingerprint(c.same[0])
		for _, d := range c.same {
			if got := fingerprint(d); got != want {
				t.Errorf("%s: %q is %x, want %x as of %q", text, d, got, want, c.same[0])
			}
		}
		seen := map[uint64]data{want: c.same[0]}
		for _, d := range c.others {
			got := fingerprint(d)
			if as, ok := seen[got]; ok {
				t.Errorf("%s: %q and %q are both %x", text, d, as, got)
			}
			seen[got] = d
		}
	}
	// It is the table's that is in force, after a change too.
	m := New(mustSpec(t, "lookup"), Input{Set: setOf(replicas(3)...), Table: mustTable(t, Lookup, data{"a": "web-0"})})
	before := m.Fingerprint()
	in := m.in
	in.Table = mustTable(t, Lookup, data{"a": "web-1"})
	if m = m.Next(in); m.Fingerprint() == before {
		t.Errorf("%x before and after", before)
	}
}
