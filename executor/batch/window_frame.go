package batch

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// frame finds, for the rows of a partition one after the other, the rows that a function sees.
//
// Both ends of a frame only ever move forward from row to row, because offsets are the same for all rows; pointers
// that advance find them in constant time.
type frame struct {
	q     *query
	spec  plan.Frame
	order []plan.SortKey
	types []sqltypes.Type
	// ROWS and GROUPS: the offsets.
	startRows, endRows int64
	// RANGE with offsets: the order column, in the type of the bounds, and the bounds of each row.
	key                  *delta.Vec
	startBound, endBound *delta.Vec
	cmp                  comparer

	start, end int // of the last row asked for; reset at a partition's begin
}

// prepare evaluates the offsets, once the input is known.
func (f *frame) prepare(p *partition) error {
	if f.spec.Mode == 'A' {
		return f.prepareRange(p)
	}
	var err error
	if f.startRows, err = f.rowOffset(f.spec.Start, "starting"); err != nil {
		return err
	}
	f.endRows, err = f.rowOffset(f.spec.End, "ending")
	return err
}

func hasOffset(b plan.FrameBound) bool { return b.Kind == plan.Preceding || b.Kind == plan.Following }

func (f *frame) rowOffset(b plan.FrameBound, which string) (int64, error) {
	if !hasOffset(b) {
		return 0, nil
	}
	d, err := f.q.evalConst(b.Offset)
	if err != nil {
		return 0, err
	}
	return expr.RowsOffset(d, which)
}

// prepareRange computes key ± offset for all rows.
func (f *frame) prepareRange(p *partition) error {
	if !hasOffset(f.spec.Start) && !hasOffset(f.spec.End) {
		return nil
	}
	if len(f.order) != 1 {
		return sqlerr.New(sqlerr.WindowingError,
			"RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column")
	}
	f.key = p.cols[f.order[0].Col]
	var err error
	if hasOffset(f.spec.Start) {
		if f.startBound, err = f.bound(p, f.spec.Start, "starting"); err != nil {
			return err
		}
	}
	if hasOffset(f.spec.End) {
		if f.endBound, err = f.bound(p, f.spec.End, "ending"); err != nil {
			return err
		}
	}
	f.cmp = comparer{class: classOf(f.key.Type)}
	return nil
}

// bound computes one bound for all rows; key becomes comparable with it.
func (f *frame) bound(p *partition, b plan.FrameBound, which string) (*delta.Vec, error) {
	d, err := f.q.evalConst(b.Offset)
	if err != nil {
		return nil, err
	}
	minus := (b.Kind == plan.Preceding) != f.order[0].Desc
	key := &expr.Col{Index: f.order[0].Col, Ty: p.cols[f.order[0].Col].Type}
	rb, err := expr.NewRangeBound(key, d, b.Offset.Type(), minus, which)
	if err != nil {
		return nil, err
	}
	n := 0
	if len(p.cols) > 0 {
		n = p.cols[0].Len()
	}
	ch := &delta.Chunk{Cols: p.cols, Rows: n}
	v := rb.Eval(f.q.c, ch)
	if rb.CastsKey(key.Ty) {
		prog, err := expr.Compile(&expr.Cast{Arg: key, Ty: rb.Type})
		if err != nil {
			return nil, err
		}
		f.key = prog.Eval(f.q.c, ch)
	}
	return v, f.q.check()
}

// reset begins a partition.
func (f *frame) reset(p *partition) { f.start, f.end = p.lo, p.lo }

// at moves to row i and returns its frame, without regard to EXCLUDE; empty when start >= end.
func (f *frame) at(p *partition, i int) (start, end int) {
	f.start = max(f.start, f.bounded(p, i, f.spec.Start, f.startRows, f.startBound, false, f.start))
	f.end = max(f.end, f.bounded(p, i, f.spec.End, f.endRows, f.endBound, true, f.end))
	return f.start, f.end
}

// bounded finds one end: the first row inside for a start, the first row behind for an end. from is where the
// previous row's was.
func (f *frame) bounded(p *partition, i int, b plan.FrameBound, n int64, bounds *delta.Vec, isEnd bool, from int) int {
	switch b.Kind {
	case plan.UnboundedPreceding:
		return p.lo
	case plan.UnboundedFollowing:
		return p.hi
	case plan.CurrentRow:
		switch {
		case f.spec.Mode == 'R' && isEnd:
			return i + 1
		case f.spec.Mode == 'R':
			return i
		case isEnd:
			return p.peerEnd(i)
		}
		return p.peerStart(i)
	}
	if b.Kind == plan.Preceding {
		n = -n
	}
	switch f.spec.Mode {
	case 'R':
		if isEnd {
			n = expr.SatAdd(n, 1)
		}
		return int(min(max(expr.SatAdd(int64(i), n), int64(p.lo)), int64(p.hi)))
	case 'G':
		if isEnd {
			n = expr.SatAdd(n, 1)
		}
		return p.groupAt(expr.SatAdd(int64(p.peers[i]), n))
	}
	return f.rangeBound(p, i, bounds, isEnd, from)
}

// groupAt is the first row of group g, cut to the partition.
func (p *partition) groupAt(g int64) int {
	first, last := int64(p.peers[p.lo]), int64(p.peers[p.hi-1])
	switch {
	case g <= first:
		return p.lo
	case g > last:
		return p.hi
	}
	return int(p.groupStart[g])
}

// rangeBound finds an end of a RANGE frame with an offset. The frame of a NULL is its peers.
func (f *frame) rangeBound(p *partition, i int, bounds *delta.Vec, isEnd bool, from int) int {
	if f.key.IsNull(i) {
		if isEnd {
			return p.peerEnd(i)
		}
		return p.peerStart(i)
	}
	o := f.order[0]
	for k := max(from, p.lo); k < p.hi; k++ {
		if f.key.IsNull(k) {
			if o.NullsFirst {
				continue // before all values
			}
			return k
		}
		c := f.cmp.compare(f.key, k, bounds, i)
		if o.Desc {
			c = -c
		}
		if c > 0 || c == 0 && !isEnd {
			return k
		}
	}
	return p.hi
}

// spans applies EXCLUDE to the frame start … end-1 of row i: at most three ranges of rows, in order.
func (f *frame) spans(p *partition, i, start, end int) (out [3][2]int, n int) {
	add := func(lo, hi int) {
		lo, hi = max(lo, start), min(hi, end)
		if lo < hi {
			out[n] = [2]int{lo, hi}
			n++
		}
	}
	switch f.spec.Exclude {
	case 'C':
		add(start, i)
		add(i+1, end)
	case 'G':
		add(start, p.peerStart(i))
		add(p.peerEnd(i), end)
	case 'T':
		add(start, p.peerStart(i))
		add(i, i+1)
		add(p.peerEnd(i), end)
	default:
		add(start, end)
	}
	return out, n
}
