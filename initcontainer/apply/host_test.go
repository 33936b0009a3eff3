package apply

import "testing"

func TestProcIsReadForWhatDecisionsNeed(t *testing.T) {
	const status = "Name:\tsh\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000001000\nCapBnd:\t000001ffffffffff\n"
	h := Host{CapEff: capEff(status)}
	if !h.has(capNetAdmin) || h.has(capNetRaw) || capEff("Name:\tsh\n") != 0 {
		t.Errorf("capabilities are read as %b", h.CapEff)
	}
	const loopback = "00000000000000000000000000000001 01 80 10 80       lo\n"
	const linkLocal = "fe800000000000000042acfffe110002 02 40 20 80     eth0\n"
	const global = "fd770000000000000000000000000002 02 80 00 80     eth0\n"
	for table, want := range map[string]bool{"": false, loopback: false, loopback + linkLocal: false, loopback + linkLocal + global: true} {
		if got := hasIPv6(table); got != want {
			t.Errorf("%q has IPv6: %v", table, got)
		}
	}
	if h := ReadHost(); h.Legacy == nil {
		t.Error("this machine was not read")
	}
}
