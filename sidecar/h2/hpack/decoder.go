package hpack

import xhpack "golang.org/x/net/http2/hpack"

// Decoder reads the field blocks of one connection.
type Decoder struct {
	dec    *xhpack.Decoder
	fields []Field
	size   int
	limit  int
}

// NewDecoder makes a decoder whose peer may use a table of tableSize bytes: what we say in SETTINGS_HEADER_TABLE_SIZE, or
// 4096 where we say nothing.
func NewDecoder(tableSize uint32) *Decoder {
	d := &Decoder{}
	d.dec = xhpack.NewDecoder(tableSize, func(f Field) {
		d.size += len(f.Name) + len(f.Value) + 32
		if d.size <= d.limit {
			d.fields = append(d.fields, f)
		}
	})
	return d
}

// Decode reads one whole block and appends its fields to fields. size is that of the list by RFC 9113, section 6.5.2: 32
// and the lengths of name and value for each field. Fields that would make it exceed limit are left out, but still
// counted and still entered into the table, so that the next block can be read. An error means that the two ends have
// lost one another: the connection has to end with COMPRESSION_ERROR.
func (d *Decoder) Decode(fields []Field, block []byte, limit int) (out []Field, size int, err error) {
	d.fields, d.size, d.limit = fields, 0, limit
	_, err = d.dec.Write(block)
	if err == nil {
		err = d.dec.Close()
	}
	out, d.fields = d.fields, nil
	return out, d.size, err
}

// allow changes what the peer may use: for tests, because we never change what we said.
func (d *Decoder) allow(n uint32) { d.dec.SetAllowedMaxDynamicTableSize(n) }
