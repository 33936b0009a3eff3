package attack

// malformed are answers that must not be taken for ones (RFC 9113, section 8.1.1).
var malformed = []Server{
	bad("no :status", literal("server", "x")),
	bad("two of :status", append(answer("200"), answer("200")...)),
	bad("a :status of letters", answer("abc")),
	bad("a pseudo-header field behind another field", append(literal("server", "x"), answer("200")...)),
	bad("a request's pseudo-header field", answer("200", literal(":path", "/"))),
	bad("an uppercase name", answer("200", literal("Server", "x"))),
	bad("an empty name", answer("200", literal("", "x"))),
	bad("a line break in a value", answer("200", literal("server", "x\r\nset-cookie: a=b"))),
	bad("a NUL in a value", answer("200", literal("server", "x\x00"))),
	bad("a length that is too long", answer("200", literal("content-length", "100"))),
	bad("a length that is too short", answer("200", literal("content-length", "2"))),
	bad("two lengths", answer("200", literal("content-length", "6"), literal("content-length", "7"))),
	{Name: "malformed: transfer-encoding", Want: Either, Codes: illegal, run: headThenAnswer(answer("200", literal("transfer-encoding", "chunked")))},
	{Name: "malformed: connection", Want: Either, Codes: illegal, run: headThenAnswer(answer("200", literal("connection", "close")))},
	{Name: "malformed: DATA before HEADERS", Want: Fails, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteData(id, true, []byte(Answer))
		return false
	}},
	{Name: "malformed: trailers that do not end the stream", Want: Fails, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.headers(id, literal("x-sum", "1"), false, true)
		c.WriteData(id, true, []byte(Answer))
		return false
	}},
	{Name: "malformed: a pseudo-header field in trailers", Want: Fails, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteData(id, false, []byte(Answer))
		c.headers(id, literal(":status", "200"), true, true)
		return false
	}},
	{Name: "malformed: 101", Want: Fails, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("101"), false, true)
		return false
	}},
	{Name: "malformed: 103 that ends the stream", Want: Fails, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("103"), true, true)
		return false
	}},
}

func headThenAnswer(block []byte) func(c *Conn, id uint32, _ int) bool {
	return func(c *Conn, id uint32, _ int) bool {
		c.headers(id, block, false, true)
		c.WriteData(id, true, []byte(Answer))
		return false
	}
}

func bad(what string, block []byte) Server {
	return Server{Name: "malformed: " + what, Want: Fails, Codes: illegal, run: headThenAnswer(block)}
}
