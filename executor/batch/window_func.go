package batch

import (
	"context"
	"sort"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// newWindowFunc is the list of all window functions; any other name is an aggregate.
func newWindowFunc(q *query, w *plan.Window, f *plan.WindowFunc, in []sqltypes.Type) (windowFunc, error) {
	switch f.Name {
	case "row_number":
		return intRank(func(p *partition, i int) int64 { return int64(i-p.lo) + 1 }), nil
	case "rank":
		return intRank(func(p *partition, i int) int64 { return int64(p.peerStart(i)-p.lo) + 1 }), nil
	case "dense_rank":
		return intRank(func(p *partition, i int) int64 { return int64(p.peers[i]-p.peers[p.lo]) + 1 }), nil
	case "percent_rank":
		return floatRank(percentRank), nil
	case "cume_dist":
		return floatRank(func(p *partition, i int) float64 {
			return float64(p.peerEnd(i)-p.lo) / float64(p.hi-p.lo)
		}), nil
	case "ntile":
		return &ntile{f.Args[0]}, nil
	case "lag", "lead":
		return &shift{f: f, back: f.Name == "lag"}, nil
	}
	fr := &frame{q: q, spec: f.Frame, order: w.OrderBy, types: in}
	switch f.Name {
	case "first_value", "last_value", "nth_value":
		return &frameValue{f: f, frame: fr}, nil
	}
	return newWindowAgg(q, f, fr, in)
}

// intRank is a window function of a row's place only.
type intRank func(p *partition, i int) int64

func (intRank) prepare(*partition) error { return nil }

func (f intRank) eval(_ context.Context, p *partition, out *delta.Vec) error {
	for i := p.lo; i < p.hi; i++ {
		out.AppendInt(f(p, i))
	}
	return nil
}

// floatRank is the same with a fraction as its result.
type floatRank func(p *partition, i int) float64

func (floatRank) prepare(*partition) error { return nil }

func (f floatRank) eval(_ context.Context, p *partition, out *delta.Vec) error {
	for i := p.lo; i < p.hi; i++ {
		out.AppendFloat(f(p, i))
	}
	return nil
}

func percentRank(p *partition, i int) float64 {
	return expr.PercentRank(int64(p.peerStart(i)-p.lo), int64(p.hi-p.lo))
}

// ntile divides a partition into buckets; their number is that of the partition's first row.
type ntile struct{ arg int }

func (*ntile) prepare(*partition) error { return nil }

func (f *ntile) eval(_ context.Context, p *partition, out *delta.Vec) error {
	v := p.cols[f.arg]
	if v.IsNull(p.lo) {
		for range p.hi - p.lo {
			out.AppendNull()
		}
		return nil
	}
	buckets, n := v.Ints[p.lo], int64(p.hi-p.lo)
	for k := range n {
		tile, err := expr.Ntile(k, n, buckets)
		if err != nil {
			return err
		}
		out.AppendInt(tile)
	}
	return nil
}

// shift is lag and lead: the value some rows away, or a default.
type shift struct {
	f    *plan.WindowFunc
	back bool
	// solid lists the rows of the partition whose value is not NULL; for IGNORE NULLS only.
	solid []int
}

func (*shift) prepare(*partition) error { return nil }

func (f *shift) eval(_ context.Context, p *partition, out *delta.Vec) error {
	v := p.cols[f.f.Args[0]]
	if f.f.IgnoreNulls {
		f.solid = f.solid[:0]
		for i := p.lo; i < p.hi; i++ {
			if !v.IsNull(i) {
				f.solid = append(f.solid, i)
			}
		}
	}
	for i := p.lo; i < p.hi; i++ {
		by := int64(1)
		if len(f.f.Args) > 1 {
			o := p.cols[f.f.Args[1]]
			if o.IsNull(i) {
				out.AppendNull()
				continue
			}
			by = o.Ints[i]
		}
		if f.back {
			by = -by
		}
		switch from, ok := f.source(p, i, by); {
		case ok:
			out.AppendFrom(v, from)
		case len(f.f.Args) > 2:
			out.AppendFrom(p.cols[f.f.Args[2]], i)
		default:
			out.AppendNull()
		}
	}
	return nil
}

// source is the row by rows after row i, if there is one.
func (f *shift) source(p *partition, i int, by int64) (int, bool) {
	if !f.f.IgnoreNulls || by == 0 {
		at := expr.SatAdd(int64(i), by)
		return int(at), at >= int64(p.lo) && at < int64(p.hi)
	}
	k := int64(sort.SearchInts(f.solid, i)) // first row with a value at or after i
	if by > 0 {
		if k < int64(len(f.solid)) && f.solid[k] == i {
			k++
		}
		by--
	}
	at := expr.SatAdd(k, by)
	if at < 0 || at >= int64(len(f.solid)) {
		return 0, false
	}
	return f.solid[at], true
}

// frameValue is first_value, last_value and nth_value.
type frameValue struct {
	f     *plan.WindowFunc
	frame *frame
}

func (f *frameValue) prepare(p *partition) error { return f.frame.prepare(p) }

func (f *frameValue) eval(ctx context.Context, p *partition, out *delta.Vec) error {
	v := p.cols[f.f.Args[0]]
	f.frame.reset(p)
	for i := p.lo; i < p.hi; i++ {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		nth, known, err := f.nth(p, i)
		if err != nil {
			return err
		}
		start, end := f.frame.at(p, i)
		row, ok := 0, false
		if known {
			row, ok = f.pick(v, p, i, start, end, nth)
		}
		if ok {
			out.AppendFrom(v, row)
		} else {
			out.AppendNull()
		}
	}
	return nil
}

// nth is the number, from 1, of the value wanted; it is not known when nth_value's argument is NULL. For last_value it
// counts from the end.
func (f *frameValue) nth(p *partition, i int) (n int64, known bool, err error) {
	if f.f.Name != "nth_value" {
		return 1, true, nil
	}
	v := p.cols[f.f.Args[1]]
	if v.IsNull(i) {
		return 0, false, nil
	}
	if n = v.Ints[i]; n <= 0 {
		return 0, false, sqlerr.New(sqlerr.InvalidArgumentForNthValue, "argument of nth_value must be greater than zero")
	}
	return n, true, nil
}

// pick finds the nth row of the frame.
func (f *frameValue) pick(v *delta.Vec, p *partition, i, start, end int, nth int64) (int, bool) {
	spans, n := f.frame.spans(p, i, start, end)
	if f.f.Name == "last_value" {
		for s := n - 1; s >= 0; s-- {
			for r := spans[s][1] - 1; r >= spans[s][0]; r-- {
				if !f.f.IgnoreNulls || !v.IsNull(r) {
					return r, true
				}
			}
		}
		return 0, false
	}
	for _, s := range spans[:n] {
		if !f.f.IgnoreNulls {
			if size := int64(s[1] - s[0]); nth > size {
				nth -= size
				continue
			}
			return s[0] + int(nth) - 1, true
		}
		for r := s[0]; r < s[1]; r++ {
			if v.IsNull(r) {
				continue
			}
			if nth--; nth == 0 {
				return r, true
			}
		}
	}
	return 0, false
}
