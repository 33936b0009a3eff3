package scatter

import (
	"strings"
	"testing"
)

func TestStatusOfTheWhole(t *testing.T) {
	for name, c := range map[string]struct {
		statuses []int // 0 is no answer
		want     int
	}{
		"all well":               {[]int{200, 204, 201}, 200},
		"one":                    {[]int{200}, 200},
		"one not":                {[]int{200, 500}, 207},
		"one without an answer":  {[]int{200, 0}, 207},
		"errors only":            {[]int{503, 503}, 207},
		"a redirection":          {[]int{200, 302}, 207},
		"no answer at all":       {[]int{0, 0}, 502},
		"nobody to ask":          {nil, 502},
		"an error and no answer": {[]int{404, 0}, 207},
	} {
		a := Answer{Pods: []Pod{}}
		for _, s := range c.statuses {
			a.Pods = append(a.Pods, Pod{Status: s})
		}
		if a.overall(); a.Status != c.want {
			t.Errorf("%s: %d, want %d", name, a.Status, c.want)
		}
	}
}

func TestBodiesInJSON(t *testing.T) {
	a := Answer{Service: "default/web:80", Status: 207, Pods: []Pod{{Pod: "web-0", Endpoint: "10.0.0.1:80", Status: 200}, {Pod: "web-1"}, {Pod: "web-2"}}}
	a.Pods[0].put([]byte("héllo \"you\" <&>\n"), 17, []byte{1, 2}, true)
	a.Pods[1].put([]byte{0xff, 0}, 2, []byte{3}, true)
	a.Pods[2].put(nil, 1<<20, []byte{4}, false)
	want := `{"service":"default/web:80","status":207,"pods":[` +
		`{"pod":"web-0","endpoint":"10.0.0.1:80","status":200,"seconds":0,"body":"héllo \"you\" <&>\n","size":17,"sha256":"0102"},` +
		`{"pod":"web-1","endpoint":"","seconds":0,"base64":"/wA=","size":2,"sha256":"03"},` +
		`{"pod":"web-2","endpoint":"","seconds":0,"size":1048576,"sha256":"04"}]}` + "\n"
	if got := string(a.JSON()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if b := a.JSON(); !strings.HasSuffix(string(b), "\n") {
		t.Error("no end of line")
	}
}
