package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestFieldsOfStatusFiles(t *testing.T) {
	text := []byte("Name:\tx\nVmRSS:\t    1234 kB\nvoluntary_ctxt_switches:\t56\nnonvoluntary_ctxt_switches:\t7\n")
	for name, want := range map[string]float64{"VmRSS": 1234, "voluntary_ctxt_switches": 56, "nonvoluntary_ctxt_switches": 7, "VmSwap": 0} {
		if got := field(text, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestAProgramsNameMayHoldParenthesesAndBlanks(t *testing.T) {
	if f := statFields([]byte("12 (a) b (c) S 7 0\n")); !slices.Equal(f, []string{"S", "7", "0"}) {
		t.Errorf("got %q", f)
	}
}

func TestTheTreeHasDescendants(t *testing.T) {
	c := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & wait")
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for deadline := time.Now().Add(5 * time.Second); len(pids) < 2 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var err error
		if pids, err = tree(c.Process.Pid); err != nil {
			t.Fatal(err)
		}
	}
	if len(pids) != 2 || !slices.Contains(pids, c.Process.Pid) {
		t.Errorf("process %d has the tree %v; want it and its sleep", c.Process.Pid, pids)
	}
	for _, pid := range pids {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
	_ = c.Wait() // killed
	if _, err := tree(c.Process.Pid); err == nil {
		t.Error("a process that has ended has a tree")
	}
}

func TestOwnUseIsCounted(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// How long a process has to work for that much of CPU time is for the others on the machine to say.
	var used time.Duration
	for began := time.Now(); used < 30*time.Millisecond && time.Since(began) < 20*time.Second; {
		after, err := usageOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		used = after.minus(before).cpu
	}
	if used < 30*time.Millisecond || used > time.Minute {
		t.Errorf("work of at least 30 ms took %v of CPU time", used)
	}
	if kib, err := residentOf(os.Getpid()); err != nil || kib < 1024 {
		t.Errorf("this process has %v KiB, %v", kib, err)
	}
}

func TestOthersAreWhatIsNotOurs(t *testing.T) {
	at := time.Now()
	before := cpuTimes{at: at, busy: time.Second, ours: time.Second}
	n := time.Duration(describe().CPUs)
	for name, tt := range map[string]struct {
		busy, ours time.Duration // of a second
		want       float64
	}{
		"nobody works":                    {0, 0, 0},
		"all is ours":                     {n * time.Second, n * time.Second, 0},
		"half of it is":                   {n * time.Second, n * time.Second / 2, 0.5},
		"clocks that do not quite agree":  {0, 10 * time.Millisecond, 0},
		"others had more than there is":   {2 * n * time.Second, 0, 1},
		"the rest of a machine half idle": {n * time.Second / 2, n * time.Second / 4, 0.25},
	} {
		after := cpuTimes{at: at.Add(time.Second), busy: before.busy + tt.busy, ours: before.ours + tt.ours}
		if got := after.othersSince(before); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
