package shard

import (
	"math"

	"github.com/golang/geo/s2"
)

// cellAt answers the cell of a level around a place in degrees: s2.CellIDFromLatLng(…).Parent(level), in a third of the time. It reports false
// for what is no latitude and longitude.
func cellAt(lat, lng float64, level int) (s2.CellID, bool) {
	if cell, ok := nearly(lat, lng, level, unsure); ok {
		return cell, true
	}
	at := s2.LatLngFromDegrees(lat, lng)
	if !at.IsValid() {
		return 0, false
	}
	return s2.CellIDFromLatLng(at).Parent(level), true
}

// nearly works a place out with other roundings than the library, and reports false where these might matter: where the place is nearer to the
// edge of a leaf cell than unsure, in leaf cells, so that the library may have it on the other side, or is at the end of what is valid. So its
// answer is the library's, on every processor.
//
// The way is that of S2's definition: a point on the sphere; the face of the cube around it that the point is nearest to; where on the face (u and
// v, from -1 to 1) the line from the centre meets it; these stretched to s and t, so that cells are of more even sizes; as integers of 30 bits; and
// their place on the Hilbert curve.
func nearly(lat, lng float64, level int, unsure float64) (s2.CellID, bool) {
	if !(math.Abs(lat) < 90 && math.Abs(lng) < 180) {
		return 0, false
	}
	z, c := sinCos(lat)
	y, x := sinCos(lng)
	x, y = x*c, y*c
	var face uint64
	var u, v float64
	switch ax, ay, az := math.Abs(x), math.Abs(y), math.Abs(z); {
	case az > ax && az > ay:
		if r := 1 / z; z > 0 {
			face, u, v = 2, -x*r, -y*r
		} else {
			face, u, v = 5, -y*r, -x*r
		}
	case ax > ay:
		if r := 1 / x; x > 0 {
			face, u, v = 0, y*r, z*r
		} else {
			face, u, v = 3, z*r, y*r
		}
	default:
		if r := 1 / y; y > 0 {
			face, u, v = 1, -x*r, z*r
		} else {
			face, u, v = 4, z*r, -x*r
		}
	}
	s, t := stretch(u), stretch(v)
	i, j := uint32(s), uint32(t)
	if s -= float64(i); s < unsure || s > 1-unsure {
		return 0, false
	}
	if t -= float64(j); t < unsure || t > 1-unsure {
		return 0, false
	}
	i, j = i<<2, j<<2
	at, way := uint64(0), uint32(face)&swapped
	steps := uint(level+3) / 4
	for range steps {
		e := uint32(curve[way<<8|i>>28<<4|j>>28])
		at, way = at<<8|uint64(e>>2), e&3
		i, j = i<<4, j<<4
	}
	return s2.CellID(face<<s2.PosBits | at<<(64-8*steps)>>s2.FaceBits).Parent(level), true
}

// unsure leaves one place of 250 to the library. A leaf cell is 2⁻³⁰ of a face. Sines, here and there, are within 2⁻⁴⁹ of each other (most of it
// the library's rounding of π/180), u and v so within 2⁻⁴⁷ (the greatest of x, y and z is 1/√3 at least, and u and v are 1 at most), and s and t
// within 2⁻⁴⁷ too (their slope is 3/4 at most): 2⁻¹⁷ of a leaf cell, of which this is a hundred times.
const unsure = 1. / 1024

// stretch makes u, or v, into leaf cells.
func stretch(u float64) float64 {
	root := math.Sqrt(1+3*math.Abs(u)) * (s2.MaxSize / 2)
	if u >= 0 {
		return root
	}
	return s2.MaxSize - root
}

// sinCos answers the sine and the cosine of degrees from -180 to 180, each within 2⁻⁵⁰: those of the nearest whole number of degrees from a table,
// and those of the rest by the beginnings of their series, whose next terms are below 2⁻⁵⁰.
func sinCos(degrees float64) (sin, cos float64) {
	w := int(degrees + 180.5)
	x := (degrees - float64(w-180)) * (math.Pi / 180)
	xx := x * x
	x -= x * xx * (1./6 - xx*(1./120))
	xx = 1 - xx*(1./2-xx*(1./24))
	sin, cos = sines[w], sines[w+90]
	return sin*xx + cos*x, cos*xx - sin*x
}

// sines are those of -180 to 270 degrees.
var sines = func() (t [451]float64) {
	for i := range t {
		t[i] = math.Sin(float64(i-180) * (math.Pi / 180))
	}
	return t
}()

// The curve goes through the quarters of a square in the order of its corners: (0,0), (0,1), (1,1), (1,0); in each quarter it does so again, by a way that is
// swapped (i for j), or turned (1 for 0), or both, depending on the quarter.
const (
	swapped = 1
	turned  = 2
)

// curve has, by a way and four bits of i and of j, eight bits of the place on the curve, and the way (the lower two bits) by which it goes on.
var curve = func() (t [4 << 8]uint16) {
	for k := range t {
		way, at := k>>8, 0
		for bit := 3; bit >= 0; bit-- {
			i, j := k>>(4+bit)&1, k>>bit&1
			if way&swapped != 0 {
				i, j = j, i
			}
			if way&turned != 0 {
				i, j = 1-i, 1-j
			}
			quarter := i<<1 | i ^ j
			at = at<<2 | quarter
			switch quarter {
			case 0:
				way ^= swapped
			case 3:
				way ^= swapped | turned
			}
		}
		t[k] = uint16(at<<2 | way)
	}
	return t
}()
