package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// drawn is a request with a key in it, of eight digits, that is drawn anew each time it is sent: no cache knows it.
type drawn struct {
	bytes []byte
	key   []byte // the place of the key in bytes; empty where there is none
}

// newDrawn makes a GET, or with body a POST of a JSON text of that many bytes. The key is in a header field, or in JSON at
// /account/id, the last that the text has.
func newDrawn(o options) (drawn, error) {
	const key = "00000000"
	var head bytes.Buffer
	method, body := "GET", ""
	if o.body > 0 {
		method, body = "POST", document(o.body, key)
		if body == "" {
			return drawn{}, fmt.Errorf("--body=%d: a text with a key in it is longer", o.body)
		}
	}
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: loader\r\nAccept: */*\r\n", method, o.path, o.target.Addr())
	if o.header != "" {
		fmt.Fprintf(&head, "%s: %s\r\n", o.header, key)
	}
	if body != "" {
		fmt.Fprintf(&head, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	head.WriteString("\r\n" + body)
	d := drawn{bytes: head.Bytes()}
	if at := bytes.LastIndex(d.bytes, []byte(key)); at >= 0 && (o.header != "" || body != "") {
		d.key = d.bytes[at : at+len(key)]
	}
	return d, nil
}

// document is an order in JSON, with as many lines as there is room for, and text for what remains. It is "" where size is too little.
func document(size int, key string) string {
	const line = `{"article":"A-1042","count":3,"price":12.50,"taxed":true,"discount":null}`
	lines, end := "", `],"account":{"currency":"EUR","id":`+key+`}}`
	begin := func(text string) string {
		return `{"version":2,"created":"2026-01-01T12:00:00Z","note":"` + text + `","lines":[`
	}
	room := size - len(begin("")) - len(end)
	if room < 0 {
		return ""
	}
	for more := line; room >= len(more); more = "," + line {
		lines += more
		room -= len(more)
	}
	return begin(string(bytes.Repeat([]byte("x"), room))) + lines + end
}

// draw writes another key and answers the request.
func (d *drawn) draw(r *rand.Rand) []byte {
	if len(d.key) > 0 {
		n := r.Uint32()
		for i := range d.key {
			d.key[i] = byte('1' + n%9) // a number in JSON begins with no zero
			n /= 9
		}
	}
	return d.bytes
}
