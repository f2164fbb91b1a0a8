package sqltls

import (
	"context"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres sets up a connection that was made with sslmode=disable. Over a Unix socket there is no TLS, whatever the mode says, as in libpq.
func (c *Options) Postgres(p *pgconn.Config) error {
	p.TLSConfig, p.Fallbacks = nil, nil
	if strings.HasPrefix(p.Host, "/") {
		return nil
	}
	t, err := c.Config(p.Host)
	if err != nil || t == nil {
		return err
	}
	p.TLSConfig = t
	if !c.Needed() {
		p.Fallbacks = []*pgconn.FallbackConfig{{Host: p.Host, Port: p.Port}}
		return nil
	}
	dial := p.DialFunc
	p.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &asking{Conn: conn}, nil
	}
	return nil
}

// asking is a connection on which the first byte of the server is its answer to whether it speaks TLS. The driver's error about a no is a text only.
type asking struct {
	net.Conn
	answered bool
}

// Read implements net.Conn.
func (c *asking) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.answered && n > 0 {
		if c.answered = true; b[0] == 'N' {
			return 0, ErrNoTLS
		}
	}
	return n, err
}
