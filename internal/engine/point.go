package engine

import (
	"context"

	"github.com/millrace/millrace/executor/job"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// Point is a query that reads one row by its whole key, with all that is the same each time it runs: no plan is copied, built or
// opened for one row. One goroutine uses it, for one run at a time.
type Point struct {
	rel    *catalog.Relation
	layout job.Layout
	params []int             // of each key column: the parameter, from 0; −1: its constant
	consts []sqltypes.Datum  // of each key column
	keys   []*delta.Vec      // the key as a row of the relation; nil where a column is not in the key
	cols   []*delta.Vec      // what the query returns, in its order
	want   []*delta.Vec      // the same as columns of the relation
	out    delta.Chunk       // of cols
	buf    []byte            // the key
	pos    uint64            // what the row must be as new as
	will   func(uint64) bool // reports whether an epoch is new enough
}

// Point prepares a query; nil when it is not one of a row by its key.
func (e *Engine) Point(n plan.Node, rels *catalog.Snapshot) *Point {
	var exprs []expr.Expr
	if p, ok := n.(*plan.Project); ok {
		n, exprs = p.Input, p.Exprs
	}
	scan, ok := n.(*plan.TableScan)
	if !ok || len(scan.Lookup) != 1 {
		return nil
	}
	rel := rels.Relations[scan.Table]
	if rel == nil || len(rel.Key) == 0 || len(scan.Lookup[0]) != len(rel.Key) {
		return nil
	}
	p := &Point{rel: rel, layout: job.NewLayout(rel), keys: make([]*delta.Vec, len(rel.Columns)), want: make([]*delta.Vec, len(rel.Columns))}
	p.will = func(epoch uint64) bool { return p.pos == 0 || e.dml.posOf(epoch) >= p.pos }
	if !p.setKey(scan.Lookup[0]) || !p.setColumns(scan.Cols, exprs) {
		return nil
	}
	return p
}

func (p *Point) setKey(lookup []expr.Expr) bool {
	for i, k := range p.rel.Key {
		switch x := lookup[i].(type) {
		case *expr.Param:
			p.params, p.consts = append(p.params, x.Index-1), append(p.consts, nil)
		case *expr.Const:
			p.params, p.consts = append(p.params, -1), append(p.consts, x.Val)
		default:
			return false
		}
		p.keys[k.Col] = &delta.Vec{Type: p.rel.Columns[k.Col].Type}
	}
	for _, c := range p.rel.Dist {
		if p.keys[c] == nil {
			return false
		}
	}
	return true
}

// setColumns takes the columns that are scanned, and the expressions over them, which must be such columns. nil: all of them.
func (p *Point) setColumns(scanned []int, exprs []expr.Expr) bool {
	cols := scanned
	if exprs != nil {
		cols = nil
		for _, e := range exprs {
			c, ok := e.(*expr.Col)
			if !ok {
				return false
			}
			cols = append(cols, scanned[c.Index])
		}
	}
	for _, c := range cols {
		if p.want[c] == nil {
			p.want[c] = &delta.Vec{Type: p.rel.Columns[c].Type}
		}
		p.cols = append(p.cols, p.want[c])
	}
	p.out = delta.Chunk{Cols: p.cols, Rows: 1}
	return true
}

// Lookup runs a Point. The chunk, nil when there is no such row, is valid until the next run. minPos is Query.MinPos.
func (e *Engine) Lookup(ctx context.Context, p *Point, args []sqltypes.Datum, minPos uint64) (*delta.Chunk, error) {
	full, ok := p.key(args)
	if !ok {
		return nil, nil
	}
	p.pos = max(minPos, e.startPos)
	value, found, current, err := e.tables.Get(p.rel.ID, full, p.will)
	if err == nil && !current {
		value, found, err = e.waitLookup(ctx, p.rel.ID, full, minPos)
	}
	if err != nil || !found {
		return nil, err
	}
	for _, v := range p.want {
		if v != nil {
			v.Reset()
		}
	}
	if _, err := p.layout.Decode(value, p.want); err != nil {
		return nil, err
	}
	return &p.out, nil
}

// waitLookup reads the key as soon as the relation has what it must hold.
func (e *Engine) waitLookup(ctx context.Context, id catalog.ID, full []byte, minPos uint64) ([]byte, bool, error) {
	view, err := e.View(ctx, []catalog.ID{id}, minPos)
	if err != nil {
		return nil, false, err
	}
	defer view.Close()
	return view.Get(id, full)
}

// key encodes the key that the arguments give; false when a part of it is NULL, which equals nothing.
func (p *Point) key(args []sqltypes.Datum) ([]byte, bool) {
	for i, k := range p.rel.Key {
		d := p.consts[i]
		if n := p.params[i]; n >= 0 {
			d = args[n]
		}
		if d == nil {
			return nil, false
		}
		v := p.keys[k.Col]
		v.Reset()
		v.AppendDatum(d)
	}
	p.buf = key.AppendPrefix(p.buf[:0], uint32(p.rel.ID), p.layout.VNode(p.keys, 0))
	p.buf = row.AppendKey(p.buf, p.keys, p.layout.Key, 0)
	return p.buf, true
}
