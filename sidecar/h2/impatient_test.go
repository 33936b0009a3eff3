package h2

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
)

// A caller whose calls run out of time now and then is no flood, however many there are.
func TestAClientWhoseTimeRunsOutNowAndThen(t *testing.T) {
	_, c, s := pair(t, nil)
	for i := range uint32(3 * rapidBurst) {
		id := 4*i + 3
		c.get(id)
		s.want(asked("GET", id)+" end", "")
		c.WriteRSTStream(id, http2.ErrCodeCancel)
		s.want("RST_STREAM "+fmt.Sprint(id)+" CANCEL", "")
		c.get(id + 2)
		s.want(asked("GET", id+2)+" end", "")
		s.ok(id+2, true)
		c.want("HEADERS "+fmt.Sprint(id+2)+" :status=200 end", "the connection lives")
	}
}
