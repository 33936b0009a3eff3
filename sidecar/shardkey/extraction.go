package shardkey

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// MaxBody is how much of a body is looked at, in bytes, as it comes and, where it is compressed, once more as it is then.
const MaxBody = 64 << 10

// Extraction makes the key of one request. It is meant to be used again, after which it allocates nothing more but for long
// keys; the zero value is ready. It belongs to one goroutine at a time.
type Extraction struct {
	spec  *Spec
	buf   []byte // the parts' texts, one behind the other
	at    [MaxParts]span
	text  []byte // the text of a composite key
	key   Key
	part  int // the part that decided the outcome
	state Outcome
	body  body
}

// span is a part's place in buf.
type span struct {
	from, to int
	found    bool
}

// Begin looks for the key in a request's head. The answer is NeedMore where all that is missing is in the body.
func (x *Extraction) Begin(s *Spec, src Source) Outcome {
	x.spec, x.buf, x.text, x.key = s, x.buf[:0], x.text[:0], Key{}
	clear(x.at[:len(s.parts)])
	x.state = Found
	for i := range s.parts {
		p := &s.parts[i]
		if p.inBody() {
			continue
		}
		from := len(x.buf)
		var o Outcome
		x.buf, o = p.fromHead(x.buf, src)
		if x.take(i, from, o) != Found {
			return x.state
		}
	}
	for i := range s.parts {
		if s.parts[i].inBody() {
			x.state, x.part = NeedMore, i
			x.body.begin(s, src)
			return NeedMore
		}
	}
	return x.finish()
}

// Session takes a session's cookie in a request's head for the key: of several values the first that may be followed, or else the first. It
// reports false where there is none but empty ones. Browsers send all cookies of a name whose paths match, the one with the longest path first.
func (x *Extraction) Session(s *Session, src Source, follow func(value []byte) bool) bool {
	x.spec, x.buf, x.text, x.key = nil, x.buf[:0], x.text[:0], Key{}
	eachCookie(src, s.Name, func(value []byte) bool {
		followed := len(value) > 0 && follow(value)
		if followed || len(x.buf) == 0 {
			x.buf = append(x.buf[:0], value...)
		}
		return !followed
	})
	if len(x.buf) == 0 {
		return false
	}
	x.key = Of(x.buf)
	return true
}

// Body goes on with the body, after NeedMore: prefix is all of it that has come so far, from its first byte and without
// transfer coding, and complete says that there is no more. It may be called for each piece that comes; what was looked at
// once is not looked at again, as far as that can be. At MaxBody bytes the answer is never NeedMore.
func (x *Extraction) Body(prefix []byte, complete bool) Outcome {
	if x.state != NeedMore {
		return x.state
	}
	prefix, cut := prefix[:min(len(prefix), MaxBody)], len(prefix) > MaxBody
	missing := -1
	view, o := x.body.look(prefix, complete && !cut)
	for i := range x.spec.parts {
		p := &x.spec.parts[i]
		if !p.inBody() || x.at[i].found {
			continue
		}
		from, found := len(x.buf), o
		if o == Found {
			x.buf, found = x.body.find(x.buf, p, i, view)
		}
		if found == NeedMore && view.broken {
			found = Bad
		}
		switch {
		case found == NeedMore:
			missing = i
			x.buf = x.buf[:from]
		case x.take(i, from, found) != Found:
			return x.state
		}
	}
	switch {
	case missing < 0:
		return x.finish()
	case len(prefix) >= MaxBody || view.full:
		x.state, x.part = TooLarge, missing
	default:
		x.state, x.part = NeedMore, missing
	}
	return x.state
}

// take normalises the i-th part, which is the end of buf, or ends with what became of it instead.
func (x *Extraction) take(i, from int, o Outcome) Outcome {
	x.state, x.part = o, i
	if o != Found {
		return o
	}
	if k := x.spec.parts[i].kind; x.spec.decode && (k == header || k == cookie) {
		var ok bool
		if x.buf, ok = appendDecoded(x.buf[:from], x.buf[from:], false); !ok { // it never grows, so it may be done in place
			x.state = Bad
			return Bad
		}
	}
	from, to := x.spec.normalize(x.buf, from)
	if from == to {
		x.state = Absent
		return Absent
	}
	x.at[i] = span{from, to, true}
	return Found
}

// normalize takes the white space around buf[from:] away, and makes its letters small, where the Service asks for it. The answer is
// where what is left begins and ends.
func (s *Spec) normalize(buf []byte, from int) (int, int) {
	to := len(buf)
	if s.trim {
		for to > from && space(buf[to-1]) {
			to--
		}
		for from < to && space(buf[from]) {
			from++
		}
	}
	if s.lower {
		for j := from; j < to; j++ {
			if c := buf[j]; c >= 'A' && c <= 'Z' {
				buf[j] = c + 'a' - 'A'
			}
		}
	}
	return from, to
}

func (x *Extraction) finish() Outcome {
	n := len(x.spec.parts)
	text := x.buf[x.at[0].from:x.at[0].to]
	if n > 1 {
		var parts [MaxParts][]byte
		for i := range n {
			parts[i] = x.buf[x.at[i].from:x.at[i].to]
		}
		x.text = Join(x.text, parts[:n]...)
		text = x.text
	}
	x.key = Key{Hash: xxhash.Sum64(text), Text: text}
	x.state = Found
	return Found
}

// Key answers the key, once the answer was Found.
func (x *Extraction) Key() Key { return x.key }

// Place answers where the part of the key was to be that decided the outcome, as the annotation has it.
func (x *Extraction) Place() string {
	if x.spec == nil || x.part >= len(x.spec.parts) {
		return ""
	}
	return x.spec.parts[x.part].text
}

// Release gives memory back that a large key took, and what refers to a request. Call it before an Extraction rests.
func (x *Extraction) Release() {
	const keep = 1 << 10
	if cap(x.buf) > keep {
		x.buf = nil
	}
	if cap(x.text) > keep {
		x.text = nil
	}
	x.spec, x.key = nil, Key{}
	x.body.release()
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// same takes one more value of a part, which is buf[from:] but for the first: Found for the same again, else Several.
func same(buf []byte, from int, value []byte, first bool) ([]byte, Outcome) {
	if first {
		return append(buf, value...), Found
	}
	if bytes.Equal(buf[from:], value) {
		return buf, Found
	}
	return buf, Several
}
