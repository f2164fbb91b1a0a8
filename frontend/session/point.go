package session

import (
	"context"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/sqltypes"
)

// pointQuery is a prepared SELECT of one row by its key. It runs without a plan where nothing but committed rows can matter.
type pointQuery struct {
	q    *engine.Point // nil: the statement is none
	rows *pointRows
}

func (s *Session) pointQuery(b bound, env *bind.Env) pointQuery {
	if s.m.Engine == nil || s.txn.stage != nil || b.query == nil || b.locks != "" || len(env.Changes) > 0 {
		return pointQuery{}
	}
	q := s.m.Engine.Point(b.query, env.Catalog)
	if q == nil {
		return pointQuery{}
	}
	return pointQuery{q, &pointRows{s: s, q: q}}
}

// lookup starts a pointQuery; nil where it must run as any other query: within a transaction that has written or that reads at
// one epoch, and while rows of another run of it have not been fetched.
func (s *Session) lookup(p *portal) pgwire.Rows {
	r := p.p.point.rows
	if s.txn.writes != nil || s.txn.stage != nil || s.level() != engine.ReadCommitted || r.busy {
		return nil
	}
	s.txn.queried = true
	r.args, r.busy, r.read, r.n = p.args, true, false, 0
	return r
}

// pointRows is the result of a pointQuery, the same for all of its runs.
type pointRows struct {
	s          *Session
	q          *engine.Point
	args       []sqltypes.Datum
	busy, read bool
	n          int
}

// Next implements pgwire.Rows.
func (r *pointRows) Next(ctx context.Context) (*delta.Chunk, error) {
	if r.read {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.read = true
	c, err := r.s.m.Engine.Lookup(ctx, r.q, r.args, r.s.minPos())
	if c != nil {
		r.n = 1
	}
	return c, err
}

// Tag implements pgwire.Rows.
func (r *pointRows) Tag() string {
	if r.n == 1 {
		return "SELECT 1"
	}
	return "SELECT 0"
}

// Close implements pgwire.Rows.
func (r *pointRows) Close() { r.busy = false }
