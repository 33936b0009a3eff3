package balancer

import "github.com/sluice-mesh/sluice/sidecar/cluster"

// random draws by weight and looks at no load.
type random struct{ *group }

func (p random) pick(r *Request) *cluster.Endpoint {
	i := p.draw(r, -1, maxDraws)
	if i < 0 {
		if i, _ = p.scan(r); i < 0 {
			return nil
		}
	}
	return p.endpoints[i]
}
