package h1

// Nth answers the value of the nth field line, from 0 on, of a name, which is in lower case and may hold any character that names may.
func (r *Request) Nth(name string, n int) (value []byte, ok bool) {
	for i := range r.Fields {
		if f := &r.Fields[i]; len(f.Name) == len(name) && named(f.Name, name) {
			if n == 0 {
				return f.Value, true
			}
			n--
		}
	}
	return nil, false
}

// named compares a field's name with one in lower case of the same length.
func named(b []byte, lower string) bool {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
