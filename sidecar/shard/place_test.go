package shard

import (
	"bytes"
	"flag"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/golang/geo/s2"
)

var places = flag.Int("places", 200_000, "how many places are compared with the library's")

// libraryCell is the library's own answer.
func libraryCell(lat, lng float64, level int) (s2.CellID, bool) {
	at := s2.LatLngFromDegrees(lat, lng)
	if !at.IsValid() {
		return 0, false
	}
	return s2.CellIDFromLatLng(at).Parent(level), true
}

// nudge goes up to n steps of a float64's last bit up or down.
func nudge(r *rand.Rand, v float64, n int) float64 {
	to := math.Inf(2*r.IntN(2) - 1)
	for range r.IntN(n + 1) {
		v = math.Nextafter(v, to)
	}
	return v
}

// anyPlace answers a place that may be anywhere; most are where rounding matters.
func anyPlace(r *rand.Rand) (lat, lng float64) {
	switch r.IntN(8) {
	case 0:
		return r.Float64()*180 - 90, r.Float64()*360 - 180
	case 1: // of a few digits
		ten := math.Pow10(r.IntN(5))
		return math.Round((r.Float64()*180-90)*ten) / ten, math.Round((r.Float64()*360-180)*ten) / ten
	case 2: // where faces and the greatest cells meet, poles, the date line, and beyond
		return nudge(r, float64(r.IntN(9)-4)*22.5, 3), nudge(r, float64(r.IntN(17)-8)*22.5, 3)
	case 3:
		corner := math.Atan(math.Sqrt(0.5)) * 180 / math.Pi // a corner of the cube
		return nudge(r, math.Copysign(corner, r.Float64()-0.5), 5), nudge(r, float64(2*r.IntN(4)-3)*45, 5)
	case 4: // nearly, and just beyond, the ends
		return math.Copysign(nudge(r, 90, 4), r.Float64()-0.5), math.Copysign(nudge(r, 180, 4), r.Float64()-0.5)
	case 5: // nearly nothing
		return math.Copysign(math.Pow10(-r.IntN(330)), r.Float64()-0.5), math.Copysign(math.Pow10(-r.IntN(330)), r.Float64()-0.5)
	}
	// On an edge of a cell, or at its corner.
	leaf, _ := libraryCell(r.Float64()*180-90, r.Float64()*360-180, s2.MaxLevel)
	cell, k := s2.CellFromCellID(leaf.Parent(r.IntN(s2.MaxLevel+1))), r.IntN(4)
	a, b := cell.Vertex(k), cell.Vertex((k+1)%4)
	at := s2.LatLngFromPoint(s2.Interpolate([]float64{0, 1, r.Float64()}[r.IntN(3)], a, b))
	return nudge(r, at.Lat.Degrees(), 8), nudge(r, at.Lng.Degrees(), 8)
}

// A cell is the library's: else a key near a cell's edge moved. With places at random it is found without the library.
func TestCellsAreThoseOfTheLibrary(t *testing.T) {
	r := seedOf(t)
	narrow := 0
	for range *places {
		lat, lng := anyPlace(r)
		level := r.IntN(s2.MaxLevel + 1)
		want, valid := libraryCell(lat, lng, level)
		if got, ok := cellAt(lat, lng, level); got != want || ok != valid {
			t.Fatalf("%v,%v at level %d: %v, %v; want %v, %v", lat, lng, level, got, ok, want, valid)
		}
		// It would be even if one were sure much nearer to edges; and would not if one always were.
		if got, ok := nearly(lat, lng, level, unsure/64); ok && got != want {
			t.Fatalf("%v,%v at level %d: %v, without doubt; want %v", lat, lng, level, got, want)
		}
		if got, ok := nearly(lat, lng, level, 0); ok && got != want {
			narrow++
		}
	}
	if narrow < *places/1000 {
		t.Errorf("only %d of %d places were where rounding matters", narrow, *places)
	}
	doubts := 0
	for range 100_000 {
		if _, ok := nearly(r.Float64()*180-90, r.Float64()*360-180, 12, unsure); !ok {
			doubts++
		}
	}
	if doubts > 600 {
		t.Errorf("%d of 100,000 places were in doubt, want 400", doubts)
	}
}

// naivePlace reads a place as people would.
func naivePlace(text string) (lat, lng float64, ok bool) {
	a, b, ok := strings.Cut(text, ",")
	read := func(s string) float64 {
		s = strings.TrimSpace(s)
		v, err := strconv.ParseFloat(s, 64)
		ok = ok && err == nil && len(s) <= 32 && strings.Trim(s, "0123456789.+-eE") == ""
		return v
	}
	return read(a), read(b), ok
}

func TestPlacesAreReadAsWritten(t *testing.T) {
	r := seedOf(t)
	texts := []string{"0,0", "-0,-0", "-0,180", "0,-180", "90,180", "-90,-180", "90,0", "-90,0", "90.0000000000000000,180.00", "48.2082,16.3738", " 48.2 , 16.3 ",
		"+48.2,+16.3", "4.82e1,1.63E+1", "48.,.5", "-.5,-5.", "123456789012345,1", "48.123456789012345678901234567890,16.12345678901234567890",
		"0000000000000048.2,16.3", "90.00000000000001,0", "0,180.00000000000003", "90.1,0", "0,181", "-91,0", "0,-180.1", "", ",", "1", "1,", ",1", "1,2,3", "1,,2", "-,1",
		".,1", "1,.", "1.2.3,1", "1,1.2.3", "--1,1", "1-,1", "1,1-", "a,1", "1,b", "0x1,1", "1_0,1", "NaN,1", "1,Inf", "1 2,1", "1e999,1", "1e-999,1",
		"99999999999999999999999999999999999999999,1", "48.2\n,16.3", "48.2;16.3"}
	for range *places / 4 {
		lat, lng := anyPlace(r)
		if digits := r.IntN(20); r.IntN(2) == 0 {
			texts = append(texts, strconv.FormatFloat(lat, 'f', digits, 64)+","+strconv.FormatFloat(lng, 'f', digits, 64))
		} else {
			texts = append(texts, strconv.FormatFloat(lat, 'g', -1, 64)+","+strconv.FormatFloat(lng, 'f', -1, 64))
		}
	}
	for _, text := range texts {
		lat, lng, ok := naivePlace(text)
		var want s2.CellID
		if ok {
			want, ok = libraryCell(lat, lng, s2.MaxLevel)
		}
		if got, valid := cellOf([]byte(text), s2.MaxLevel); got != want || valid != ok {
			t.Fatalf("%q: %v, %v; want %v, %v", text, got, valid, want, ok)
		}
	}
	alphabet := []byte("0123456789..,,-+eE 5")
	for range *places / 4 { // what is no number is none here either
		text := make([]byte, r.IntN(9))
		for i := range text {
			text[i] = alphabet[r.IntN(len(alphabet))]
		}
		lat, lng, ok := naivePlace(string(text))
		if ok {
			_, ok = libraryCell(lat, lng, 0)
		}
		if _, valid := cellOf(bytes.Clone(text), 0); valid != ok {
			t.Fatalf("%q is a place: %v, want %v", text, valid, ok)
		}
	}
}
