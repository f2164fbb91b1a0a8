package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// scan reads a relation.
type scan struct {
	open func(ctx context.Context) (ChunkIter, error)
	it   ChunkIter // nil: no rows
	// plain: the relation has no weights, whatever its chunks say.
	plain bool
}

func newTableScan(q *query, n *plan.TableScan) *scan {
	return &scan{open: func(ctx context.Context) (ChunkIter, error) {
		if n.Lookup == nil {
			return q.rel.Scan(ctx, n.Table, n.Cols, nil)
		}
		prefixes, err := lookupPrefixes(q, n.Lookup)
		if err != nil || len(prefixes) == 0 {
			return nil, err
		}
		return q.rel.Scan(ctx, n.Table, n.Cols, prefixes)
	}}
}

// lookupPrefixes evaluates the prefixes, without those that hold a NULL, which equal nothing, and without repetitions.
func lookupPrefixes(q *query, lookup [][]expr.Expr) ([][]sqltypes.Datum, error) {
	out := make([][]sqltypes.Datum, 0, len(lookup))
	var seen map[string]bool
	if len(lookup) > 1 {
		seen = make(map[string]bool, len(lookup))
	}
next:
	for _, es := range lookup {
		row := make([]sqltypes.Datum, len(es))
		var id []byte
		for i, e := range es {
			d, err := q.evalConst(e)
			if err != nil {
				return nil, err
			}
			if d == nil {
				continue next
			}
			row[i] = d
			if seen != nil {
				id = sqlio.AppendKeyDatum(id, e.Type(), d)
			}
		}
		if seen != nil {
			if seen[string(id)] {
				continue
			}
			seen[string(id)] = true
		}
		out = append(out, row)
	}
	return out, nil
}

// Open implements Operator.
func (s *scan) Open(ctx context.Context) (err error) {
	s.it, err = s.open(ctx)
	return err
}

// Next implements ChunkIter.
func (s *scan) Next(ctx context.Context) (*delta.Chunk, error) {
	for s.it != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, err := s.it.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		if ch.Len() == 0 {
			continue
		}
		if s.plain && ch.Weights != nil {
			ch = &delta.Chunk{Cols: ch.Cols, Sel: ch.Sel, Rows: ch.Rows}
		}
		return ch, nil
	}
	return nil, nil
}

// Close implements ChunkIter.
func (s *scan) Close() {
	if s.it != nil {
		s.it.Close()
		s.it = nil
	}
}

// values yields a list of rows.
type values struct {
	q    *query
	n    *plan.Values
	next int // next row
}

// Open implements Operator.
func (v *values) Open(context.Context) error { return nil }

// Next implements ChunkIter.
func (v *values) Next(ctx context.Context) (*delta.Chunk, error) {
	if v.next >= len(v.n.Rows) {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rows := v.n.Rows[v.next:min(v.next+delta.BatchRows, len(v.n.Rows))]
	v.next += len(rows)
	out := &delta.Chunk{Cols: make([]*delta.Vec, len(v.n.Out)), Rows: len(rows)}
	for c := range v.n.Out {
		col := &delta.Vec{Type: v.n.Out[c].Type}
		for _, r := range rows {
			d, err := v.q.evalConst(r[c])
			if err != nil {
				return nil, err
			}
			col.AppendDatum(d)
		}
		out.Cols[c] = col
	}
	return out, nil
}

// Close implements ChunkIter.
func (v *values) Close() {}
