package shardkey

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/testing/protopack"
)

// frame makes a gRPC message of bytes.
func frame(compressed bool, message []byte) []byte {
	b := []byte{0}
	if compressed {
		b[0] = 1
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(message))), message...)
}

var grpcHead = head{lines: []string{"content-type: application/grpc+proto"}}

func TestKeysInProtobuf(t *testing.T) {
	type m = protopack.Message
	inner := protopack.LengthPrefix{protopack.Tag{Number: 1, Type: protopack.BytesType}, protopack.String("x"),
		protopack.Tag{Number: 2, Type: protopack.VarintType}, protopack.Varint(42)}
	field := func(n protopack.Number, typ protopack.Type) protopack.Tag { return protopack.Tag{Number: n, Type: typ} }
	var x Extraction
	for _, c := range []struct {
		what, path string
		message    m
		want       string
	}{
		{"a string", "1", m{field(1, protopack.BytesType), protopack.String("acme")}, "acme"},
		{"an integer", "3", m{field(1, protopack.BytesType), protopack.String("acme"), field(3, protopack.VarintType), protopack.Varint(7)}, "7"},
		{"a negative integer", "1", m{field(1, protopack.VarintType), protopack.Varint(-7)}, "-7"},
		{"the largest unsigned integer is minus one", "1", m{field(1, protopack.VarintType), protopack.Uvarint(1<<64 - 1)}, "-1"},
		{"32 bits", "1", m{field(1, protopack.Fixed32Type), protopack.Uint32(1<<32 - 1)}, "4294967295"},
		{"64 bits", "1", m{field(1, protopack.Fixed64Type), protopack.Uint64(1<<64 - 1)}, "18446744073709551615"},
		{"in a message", "1.2", m{field(1, protopack.BytesType), inner}, "42"},
		{"in the second of that number", "1.2", m{field(1, protopack.BytesType), protopack.LengthPrefix{}, field(1, protopack.BytesType), inner}, "42"},
		{"deeper", "5.1.2", m{field(5, protopack.BytesType), protopack.LengthPrefix{field(1, protopack.BytesType), inner}}, "42"},
		{"behind fields of all types", "9.2", m{field(1, protopack.VarintType), protopack.Varint(-1), field(2, protopack.Fixed32Type), protopack.Uint32(1),
			field(3, protopack.Fixed64Type), protopack.Uint64(1), field(4, protopack.StartGroupType), field(9, protopack.BytesType), inner,
			field(5, protopack.StartGroupType), field(5, protopack.EndGroupType), field(4, protopack.EndGroupType), field(9, protopack.BytesType), inner}, "42"},
		{"the first of a number counts", "1", m{field(1, protopack.VarintType), protopack.Varint(1), field(1, protopack.VarintType), protopack.Varint(2)}, "1"},
		{"a field whose type is no message", "1.2", m{field(1, protopack.VarintType), protopack.Varint(1), field(1, protopack.BytesType), inner}, "42"},

		{"not there", "4", m{field(1, protopack.VarintType), protopack.Varint(1)}, "<absent>"},
		{"not in that message", "1.4", m{field(1, protopack.BytesType), inner, field(4, protopack.VarintType), protopack.Varint(1)}, "<absent>"},
		{"an empty string", "1", m{field(1, protopack.BytesType), protopack.String("")}, "<absent>"},
		{"an empty message", "1", m{}, "<absent>"},

		{"a group", "4", m{field(4, protopack.StartGroupType), field(4, protopack.EndGroupType)}, "<bad>"},
		{"a field number of zero", "1", m{protopack.Raw{0, 0}}, "<bad>"},
		{"a wire type that there is not", "1", m{protopack.Raw{0x16}}, "<bad>"},
		{"a group that ends and did not begin", "1", m{protopack.Raw{0x14}}, "<bad>"},
		{"a group that another ends", "1", m{protopack.Raw{0x13, 0x1c}}, "<bad>"},
		{"a length beyond the message", "1", m{protopack.Raw{0x0a, 5, 'a'}}, "<bad>"},
		{"a length beyond the message around it", "1.1", m{protopack.Raw{0x0a, 2, 0x0a, 1, 'a'}}, "<bad>"},
		{"a number that breaks off", "1", m{protopack.Raw{0x08, 0x80}}, "<bad>"},
		{"a number of eleven bytes", "1", m{protopack.Raw(append([]byte{0x08}, bytes.Repeat([]byte{0x80}, 10)...)), protopack.Raw{0}}, "<bad>"},
		{"a number of more than 64 bits", "1", m{protopack.Raw(append([]byte{0x08}, bytes.Repeat([]byte{0xff}, 9)...)), protopack.Raw{2}}, "<bad>"},
	} {
		s, body := mustParse(t, "grpc:"+c.path, ""), frame(false, c.message.Marshal())
		if got := keyOf(&x, s, &grpcHead, string(body)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if got := piecewise(&x, s, &grpcHead, body, 1); got != c.want {
			t.Errorf("%s, byte by byte: %q, want %q", c.what, got, c.want)
		}
	}
}

func with(lines ...string) head {
	return head{lines: append([]string{"content-type: application/grpc"}, lines...)}
}

func TestGRPCsFrames(t *testing.T) {
	message := protopack.Message{protopack.Tag{Number: 1, Type: protopack.BytesType}, protopack.String("acme"),
		protopack.Tag{Number: 2, Type: protopack.BytesType}, protopack.String(strings.Repeat("x", 2*MaxBody))}.Marshal()
	short := message[:6]
	late := append(bytes.Clone(message[6:]), short...)
	var x Extraction
	for _, c := range []struct {
		what string
		head head
		body []byte
		want string
	}{
		{"a key at the front of a long message", with(), frame(false, message), "acme"},
		{"a key behind what may be read", with(), frame(false, late), "<too-large>"},
		{"gzip", with("grpc-encoding: gzip"), frame(true, zip(string(short))), "acme"},
		{"a key at the front of a long message in gzip", with("grpc-encoding: gzip"), frame(true, zip(string(message))), "acme"},
		{"a key behind what may be inflated", with("grpc-encoding: gzip"), frame(true, zip(string(late))), "<too-large>"},
		{"a message that is not compressed, though others may be", with("grpc-encoding: gzip"), frame(false, short), "acme"},
		{"another message behind it", with(), append(frame(false, short), frame(false, message)...), "acme"},
		{"an encoding that is not read", with("grpc-encoding: zstd"), frame(true, short), "<unreadable>"},
		{"compressed, and nobody says how", with(), frame(true, short), "<unreadable>"},
		{"a length beyond a message in gzip", with("grpc-encoding: gzip"), frame(true, zip("\x0a\x7fab")), "<bad>"},
		{"a field that is passed and ends beyond a message in gzip", with("grpc-encoding: gzip"), frame(true, zip("\x12\x7fab")), "<bad>"},
		{"no gzip", with("grpc-encoding: gzip"), frame(true, short), "<bad>"},
		{"a flag that there is not", with(), append([]byte{2}, frame(false, short)[1:]...), "<bad>"},
		{"no message", with(), nil, "<absent>"},
		{"an empty message", with(), frame(false, nil), "<absent>"},
		{"a head that breaks off", with(), []byte{0, 0}, "<bad>"},
		{"a message that breaks off", with(), frame(false, short)[:9], "<bad>"},
		{"gRPC-Web", head{lines: []string{"content-type: application/grpc-web+proto"}}, frame(false, short), "acme"},
		{"gRPC-Web in base64", head{lines: []string{"content-type: application/grpc-web-text"}}, frame(false, short), "<absent>"},
		{"no gRPC", head{lines: []string{"content-type: application/json"}}, frame(false, short), "<absent>"},
	} {
		s := mustParse(t, "grpc:1", "")
		if got := keyOf(&x, s, &c.head, string(c.body)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		if got := piecewise(&x, s, &c.head, c.body, 1+len(c.body)/300); got != c.want {
			t.Errorf("%s, in pieces: %q, want %q", c.what, got, c.want)
		}
	}
}

// How long a message is nobody knows before all of it was inflated, and so a length within it may turn out to be too large later.
func TestALengthWithinGzipThatWasBelieved(t *testing.T) {
	var x Extraction
	s := mustParse(t, "grpc:1.1", "")
	h := with("grpc-encoding: gzip")
	for _, message := range []string{"\x0a\x7f\x12\x01a", "\x0a\x7f\x12\x01a\x12", "\x12\x7fab", "\x23\x12\x7fab"} {
		body := frame(true, zip(message)) // all of it can be inflated before gzip's last eight bytes
		for n := range len(body) {
			x.Begin(s, &h)
			if o := x.Body(body[:n], false); o != NeedMore && o != Bad {
				t.Errorf("%q, %d bytes of it: %v", message, n, o)
			}
			if o := x.Body(body, true); o != Bad {
				t.Errorf("%q, whole after %d bytes: %v, want bad", message, n, o)
			}
		}
	}
}

// A stream whose client sends one message and waits for the answer must not wait for us.
func TestAMessageThatIsWholeIsLookedAt(t *testing.T) {
	var x Extraction
	s := mustParse(t, "grpc:1", "")
	h := head{lines: []string{"content-type: application/grpc", "grpc-encoding: gzip"}}
	body := frame(true, zip("\x0a\x04acme"))
	x.Begin(s, &h)
	for n := 1; n < len(body) && x.Body(body[:n], false) == NeedMore; n++ {
	}
	if o := x.Body(body, false); o != Found || string(x.Key().Text) != "acme" {
		t.Errorf("%v, %q", o, x.Key().Text)
	}
}

// FuzzProtobuf compares with the protobuf module, whole and in pieces.
func FuzzProtobuf(f *testing.F) {
	f.Add([]byte("\x0a\x04acme"), "1", uint8(2))
	f.Add([]byte("\x0a\x04\x10\x07\x0a\x00"), "1.2", uint8(1))
	f.Add([]byte("\x1b\x23\x24\x1c\x0a\x02\x10\x07"), "1.2", uint8(3))
	f.Fuzz(func(t *testing.T, message []byte, path string, n uint8) {
		s, err := Parse("grpc:"+path, "")
		if err != nil || len(s.parts) != 1 || len(message) > 4096 {
			return
		}
		var x Extraction
		body := frame(false, message)
		got := keyOf(&x, s, &grpcHead, string(body))
		if again := piecewise(&x, s, &grpcHead, body, int(n)+1); again != got {
			t.Fatalf("%s of %x: %q, and in pieces of %d %q", path, message, got, n+1, again)
		}
		if !sound(message, s.parts[0].fields) {
			return
		}
		if want := naiveField(message, s.parts[0].fields); got != want {
			t.Errorf("%s of %x: %q, want %q", path, message, got, want)
		}
	})
}

// sound says whether a message can be read to its end, and those at the path too.
func sound(b []byte, fields []uint64) bool {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 || number > maxField { // which the module lets pass, up to 2³¹-1
			return false
		}
		size := protowire.ConsumeFieldValue(number, typ, b[n:])
		if size < 0 || len(b) > 60 && typ == protowire.StartGroupType { // groups may be nested deeper for them
			return false
		}
		if uint64(number) == fields[0] && len(fields) > 1 && typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b[n:])
			if !sound(v, fields[1:]) {
				return false
			}
		}
		b = b[n+size:]
	}
	return true
}

func naiveField(b []byte, fields []uint64) string {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		b = b[n:]
		size := protowire.ConsumeFieldValue(number, typ, b)
		if uint64(number) == fields[0] {
			v, _ := protowire.ConsumeBytes(b)
			switch {
			case len(fields) > 1 && typ == protowire.BytesType:
				if found := naiveField(v, fields[1:]); found != "<absent>" || endsThere(v, fields[1:]) {
					return found
				}
			case len(fields) > 1:
			case typ == protowire.VarintType:
				i, _ := protowire.ConsumeVarint(b)
				return strconv.FormatInt(int64(i), 10)
			case typ == protowire.Fixed32Type:
				i, _ := protowire.ConsumeFixed32(b)
				return strconv.FormatUint(uint64(i), 10)
			case typ == protowire.Fixed64Type:
				i, _ := protowire.ConsumeFixed64(b)
				return strconv.FormatUint(i, 10)
			case typ == protowire.StartGroupType:
				return "<bad>"
			case len(v) == 0:
				return "<absent>"
			default:
				return string(v)
			}
		}
		b = b[size:]
	}
	return "<absent>"
}

// endsThere says whether there is such a field, which then is empty.
func endsThere(b []byte, fields []uint64) bool {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(number, typ, b[n:])
		if uint64(number) == fields[0] {
			v, _ := protowire.ConsumeBytes(b[n:])
			if len(fields) == 1 || typ == protowire.BytesType && endsThere(v, fields[1:]) {
				return true
			}
		}
		b = b[n+size:]
	}
	return false
}
