package discovery

import "testing"

func TestWatchersAreToldOfEachSnapshot(t *testing.T) {
	target := NewTarget("default", "web", "", 80, &Snapshot{})
	var a, b []*Snapshot
	stopA := target.Watch(func() { a = append(a, target.Snapshot()) })
	first, second, third := &Snapshot{}, &Snapshot{}, &Snapshot{}
	target.Publish(first)
	stopB := target.Watch(func() { b = append(b, target.Snapshot()) })
	target.Publish(second)
	stopA()
	stopA() // once more changes nothing
	target.Publish(third)
	stopB()
	target.Publish(first)
	if len(a) != 2 || a[0] != first || a[1] != second {
		t.Errorf("the first one saw %d snapshots, want the two before its end", len(a))
	}
	if len(b) != 2 || b[0] != second || b[1] != third {
		t.Errorf("the second one saw %d snapshots, want the two while it watched", len(b))
	}
	if n := len(target.watchers.all); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}
