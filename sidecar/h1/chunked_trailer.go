package h1

func (c *Chunks) trailerLimit() int {
	if c.limit > 0 {
		return c.limit
	}
	return DefaultHeadLimit
}

// trailer follows the trailer section, whose lines obey the rules of a head's fields, from offset i of b to the next
// change of state.
func (c *Chunks) trailer(b []byte, i int) (int, Reason) {
	ch := b[i]
	switch c.state {
	case atTrailer:
		switch {
		case ch == '\r':
			c.state = atEndLF
		case ch == '\n':
			return i, BareLF
		case ch == ':':
			return i, EmptyFieldName
		case ch == ' ' || ch == '\t':
			return i, ObsFold
		case class[ch]&classToken == 0:
			return i, BadFieldName
		case c.fields == MaxFields:
			return i, TooManyFields
		default:
			c.fields++
			c.nameLen = 0
			c.state = atTrailerName
			return i, reasonNone
		}
	case atTrailerName:
		for ; i < len(b) && class[b[i]]&classToken != 0; i++ {
			if c.nameLen < len(c.name) {
				c.name[c.nameLen] = b[i]
			}
			c.nameLen++
		}
		if i == len(b) {
			return i, reasonNone
		}
		switch b[i] {
		case ':':
			if c.mode == strict && c.changesFraming() {
				return i, BadTrailer
			}
			c.state = atTrailerValue
		case ' ', '\t':
			return i, SpaceBeforeColon
		case '\r':
			return i, MissingColon
		case '\n':
			return i, BareLF
		default:
			return i, BadFieldName
		}
	case atTrailerValue:
		if i = plain(b, i, ' '); i == len(b) {
			return i, reasonNone
		}
		switch b[i] {
		case '\t':
		case '\r':
			c.state = atTrailerLF
		case '\n':
			return i, BareLF
		default:
			return i, BadFieldValue
		}
	case atTrailerLF:
		if ch != '\n' {
			return i, BareCR
		}
		c.state = atTrailer
	}
	return i + 1, reasonNone
}

// changesFraming reports whether the trailer's name is one of which a server that merges trailers into the head would
// take another body length.
func (c *Chunks) changesFraming() bool {
	switch c.nameLen {
	case 14:
		return equalFold(c.name[:14], "content-length")
	case 17:
		return equalFold(c.name[:17], "transfer-encoding")
	}
	return false
}
