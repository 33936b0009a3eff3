package balancer

// random draws by weight and looks at no load.
type random struct{ *group }

func (p random) pick(r *Request) int {
	i := p.draw(r, -1, maxDraws)
	if i < 0 {
		i, _ = p.scan(r)
	}
	return i
}
