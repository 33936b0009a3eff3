package balancer

// column is one of the equally likely columns of Walker's alias method: its first part stands for the endpoint of the same index,
// the rest for another. So one random number draws by weight, whatever the number of endpoints.
type column struct {
	until uint32 // in 2⁻³² of the column
	other uint32
}

// newColumns lays weights, none of them 0, out in columns (Vose 1991). It takes time in proportion to their number.
func newColumns(weights []uint32) []column {
	n := uint64(len(weights))
	var total uint64
	for _, w := range weights {
		total += uint64(w)
	}
	// A column holds total; endpoint i has n × its weight to lay out.
	columns := make([]column, n)
	rest := make([]uint64, n)
	low, high := make([]uint32, 0, n), make([]uint32, 0, n)
	for i, w := range weights {
		rest[i] = uint64(w) * n
		columns[i] = column{1<<32 - 1, uint32(i)}
		if rest[i] < total {
			low = append(low, uint32(i))
		} else {
			high = append(high, uint32(i))
		}
	}
	for len(low) > 0 && len(high) > 0 {
		l, h := low[len(low)-1], high[len(high)-1]
		low = low[:len(low)-1]
		columns[l] = column{uint32(float64(rest[l]) / float64(total) * (1 << 32)), h}
		if rest[h] -= total - rest[l]; rest[h] < total {
			high = high[:len(high)-1]
			low = append(low, h)
		}
	}
	return columns
}

// drawColumn turns a random number into an index.
func drawColumn(columns []column, random uint64) int {
	i := int(random >> 32 * uint64(len(columns)) >> 32)
	if c := columns[i]; uint32(random) >= c.until {
		return int(c.other)
	}
	return i
}
