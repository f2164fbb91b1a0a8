package batch

import (
	"context"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// limit skips the first rows and ends after some more.
type limit struct {
	q          *query
	n          *plan.Limit
	in         Operator
	skip, left int64
}

// newLimit puts the limit below a projection, so that expressions are computed, and can fail, for rows of the
// result only.
func newLimit(q *query, n *plan.Limit) (Operator, error) {
	if p, ok := n.Input.(*plan.Project); ok {
		below, err := newLimit(q, &plan.Limit{Input: p.Input, Limit: n.Limit, Offset: n.Offset})
		if err != nil {
			return nil, err
		}
		return newProjectOver(q, below, p)
	}
	if top, ok := topOfSort(n); ok {
		return newTopN(q, top)
	}
	in, err := q.buildPlain(n.Input)
	return &limit{q: q, n: n, in: in}, err
}

// maxTop is the number of rows up to which a limit over a sort is done by keeping the first rows only.
const maxTop = 100000

// topOfSort turns a limit by constants over a sort into a top-N.
func topOfSort(n *plan.Limit) (*plan.TopN, bool) {
	s, ok := n.Input.(*plan.Sort)
	if !ok || n.Limit == nil {
		return nil, false
	}
	limit, ok := constRows(n.Limit)
	if !ok {
		return nil, false
	}
	offset := int64(0)
	if n.Offset != nil {
		if offset, ok = constRows(n.Offset); !ok {
			return nil, false
		}
	}
	return &plan.TopN{Input: s.Input, OrderBy: s.Keys, Limit: limit, Offset: offset}, limit <= maxTop && offset <= maxTop
}

// constRows is a constant number of rows that is not negative.
func constRows(e expr.Expr) (int64, bool) {
	c, ok := e.(*expr.Const)
	if !ok {
		return 0, false
	}
	n, ok := c.Val.(int64)
	return n, ok && n >= 0
}

// Open implements Operator.
func (l *limit) Open(ctx context.Context) error {
	var err error
	if l.left, err = l.count(l.n.Limit, math.MaxInt64, sqlerr.InvalidRowCountInLimit, "LIMIT"); err != nil {
		return err
	}
	if l.skip, err = l.count(l.n.Offset, 0, sqlerr.InvalidRowCountInOffset, "OFFSET"); err != nil {
		return err
	}
	return l.in.Open(ctx)
}

// count evaluates a bound; NULL and no bound give the default.
func (l *limit) count(e expr.Expr, otherwise int64, code sqlerr.Code, what string) (int64, error) {
	if e == nil {
		return otherwise, nil
	}
	d, err := l.q.evalConst(e)
	if err != nil {
		return 0, err
	}
	n, ok := d.(int64)
	if !ok {
		return otherwise, nil
	}
	if n < 0 {
		return 0, sqlerr.New(code, "%s must not be negative", what)
	}
	return n, nil
}

// Next implements ChunkIter.
func (l *limit) Next(ctx context.Context) (*delta.Chunk, error) {
	for l.left > 0 {
		ch, err := l.in.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		n := int64(ch.Len())
		if n <= l.skip {
			l.skip -= n
			continue
		}
		lo := l.skip
		hi := n
		if l.left < n-lo {
			hi = lo + l.left
		}
		l.skip, l.left = 0, l.left-(hi-lo)
		if lo == 0 && hi == n {
			return ch, nil
		}
		return ch.WithSel(ch.RowList()[lo:hi]), nil
	}
	return nil, nil
}

// Close implements ChunkIter.
func (l *limit) Close() { l.in.Close() }
