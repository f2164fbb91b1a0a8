// Package gapfill makes the rows that are missing between two rows of a time series, for streams and batch queries alike.
//
// The idea: what fills a gap depends on the row before it and the row after it and on nothing else. So a stream can take back
// exactly what it has put out when one of the two changes.
//
// A Filler belongs to one goroutine.
//
// It does not find the gaps. Start at Filler.Between.
package gapfill

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Filler makes rows for one plan node.
type Filler struct {
	n     *plan.GapFill
	types []sqltypes.Type
	lines []expr.Program // by column: over value before, value after, part, whole; nil: not interpolated
	ctx   *expr.Ctx
}

// New prepares the expressions.
func New(n *plan.GapFill, ctx *expr.Ctx) (*Filler, error) {
	f := &Filler{n: n, types: plan.Types(n.Input), ctx: ctx}
	f.lines = make([]expr.Program, len(f.types))
	for i, how := range n.Fill {
		if how != plan.FillLine {
			continue
		}
		var err error
		if f.lines[i], err = expr.Compile(line(f.types[i])); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// line is before + (after − before) · part ÷ whole, in numeric for integers, so that nothing is lost before it is rounded.
func line(t sqltypes.Type) expr.Expr {
	in := sqltypes.Numeric
	if t.Phys() == sqltypes.PhysFloat64 {
		in = sqltypes.Float8
	}
	arg := func(i int, from sqltypes.Type) expr.Expr {
		return &expr.Cast{Arg: &expr.Col{Index: i, Ty: from}, Ty: in, Explicit: true}
	}
	op := func(name string, a, b expr.Expr) expr.Expr {
		return &expr.Call{Sig: name + "(" + in.String() + "," + in.String() + ")", Ty: in, Args: []expr.Expr{a, b}}
	}
	before, after := arg(0, t), arg(1, t)
	part, whole := arg(2, sqltypes.Int8), arg(3, sqltypes.Int8)
	return &expr.Cast{Arg: op("+", before, op("/", op("*", op("-", after, before), part), whole)), Ty: t, Explicit: true}
}

// Between calls emit with the rows between row i of a and row j of b, the next in time, in pieces. They have weight w.
func (f *Filler) Between(a *delta.Chunk, i int, b *delta.Chunk, j int, w int64, emit func(*delta.Chunk) error) error {
	from, to := a.Cols[f.n.TimeCol].Ints[i], b.Cols[f.n.TimeCol].Ints[j]
	if to <= from {
		return nil
	}
	missing := (to - 1 - from) / f.n.StepMicros
	for at := int64(0); at < missing; at += delta.BatchRows {
		if err := emit(f.piece(a, i, b, j, at, min(missing-at, delta.BatchRows), w)); err != nil {
			return err
		}
	}
	return nil
}

// piece makes n rows after the first skip.
func (f *Filler) piece(a *delta.Chunk, i int, b *delta.Chunk, j int, skip, n, w int64) *delta.Chunk {
	from, to := a.Cols[f.n.TimeCol].Ints[i], b.Cols[f.n.TimeCol].Ints[j]
	times, parts := make([]int64, n), make([]int64, n)
	for k := range times {
		parts[k] = (skip + int64(k) + 1) * f.n.StepMicros
		times[k] = from + parts[k]
	}
	left, right := make([]int32, n), make([]int32, n)
	for k := range left {
		left[k], right[k] = int32(i), int32(j)
	}
	cols := make([]*delta.Vec, len(f.types))
	for c, t := range f.types {
		switch {
		case c == f.n.TimeCol:
			cols[c] = delta.IntVec(t, times)
		case f.n.Fill[c] == plan.FillLast:
			cols[c] = a.Cols[c].Gather(left)
		case f.n.Fill[c] == plan.FillLine:
			in := []*delta.Vec{a.Cols[c].Gather(left), b.Cols[c].Gather(right), delta.IntVec(sqltypes.Int8, parts),
				delta.Repeat(sqltypes.Int8, to-from, int(n))}
			cols[c] = f.lines[c].Eval(f.ctx, delta.NewChunk(in, nil, int(n)))
			f.ctx.TakeErrs() // what cannot be computed is NULL
		default:
			cols[c] = delta.Repeat(t, nil, int(n))
		}
	}
	var weights []int64
	if w != 1 {
		weights = make([]int64, n)
		for k := range weights {
			weights[k] = w
		}
	}
	return delta.NewChunk(cols, weights, int(n))
}
