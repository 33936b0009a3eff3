package retry

import "testing"

func TestBudget(t *testing.T) {
	const second = int64(1e9)
	b := Budget{Settings: Settings{Ratio: 0.2, PerSecond: 10, Burst: 5}}
	now := second
	take := func() (n int) {
		for b.Has(now) {
			if !b.Withdraw(now) {
				t.Fatal("a retry that was there was not granted")
			}
			n++
		}
		if b.Withdraw(now) {
			t.Fatal("a retry that was not there was granted")
		}
		return n
	}
	if n := take(); n != 5 {
		t.Errorf("at the start %d retries were granted, want the burst of 5", n)
	}
	for range 10 {
		b.Deposit()
	}
	if n := take(); n != 2 {
		t.Errorf("after 10 requests %d retries were granted, want 2", n)
	}
	now += second / 10
	if n := take(); n != 1 {
		t.Errorf("after a tenth of a second %d retries were granted, want 1", n)
	}
	now += 100 * second
	if n := take(); n != 5 {
		t.Errorf("after a long time %d retries were granted, want the burst of 5", n)
	}
	var none Budget
	none.Deposit()
	if none.Has(now) || none.Withdraw(now) {
		t.Error("a budget without settings granted a retry")
	}
}

// All requests fail: what goes upstream stays within the offered load plus the budget.
func TestRetriesStayWithinTheBudget(t *testing.T) {
	b := Budget{Settings: Defaults()}
	const perSecond, seconds = 1000, 30
	retries := 0
	for i := range perSecond * seconds {
		b.Deposit()
		for range 3 {
			if !b.Withdraw(1 + int64(i)*1e9/perSecond) {
				break
			}
			retries++
		}
	}
	most := 0.2*perSecond*seconds + 10*seconds + b.Burst
	if float64(retries) > most || float64(retries) < 0.95*(most-b.Burst) {
		t.Errorf("%d retries of %d requests, want at most %.0f and not much fewer", retries, perSecond*seconds, most)
	}
}
