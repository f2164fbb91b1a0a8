package batch

import (
	"context"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// windowAgg is an aggregate over frames. The state follows the frame: rows that enter are added and, where the
// aggregate can take rows back, rows that leave are subtracted. An aggregate that cannot starts anew when rows leave,
// except that one with mergeable states (min, max) keeps a tree of them and merges O(log n) nodes a frame.
type windowAgg struct {
	q     *query
	f     *plan.WindowFunc
	fn    *expr.AggFunc
	frame *frame
	types []sqltypes.Type

	args  []*delta.Vec
	pass  []bool // rows for which FILTER is true; nil: all
	minus []int64
	rows  []int32 // 0, 1, 2 …: the row numbers of the input
	zeros []uint32
	state aggState
	tree  *stateTree
	held  holding
	// What the state holds: rows lo … hi-1.
	lo, hi int
}

// aggState is the state of one aggregate for one group.
type aggState struct {
	fixed expr.States
	obj   expr.AggObject
}

func newWindowAgg(q *query, f *plan.WindowFunc, fr *frame, in []sqltypes.Type) (windowFunc, error) {
	fn, err := q.agg(f.Sig)
	if err != nil {
		return nil, err
	}
	return &windowAgg{q: q, f: f, fn: fn, frame: fr, types: pick(in, f.Args),
		held: holding{mem: q.mem}}, nil
}

func (a *windowAgg) prepare(p *partition) error {
	if err := a.frame.prepare(p); err != nil {
		return err
	}
	n := p.hi
	if err := a.held.set(int64(n) * 17); err != nil { // what follows, at most
		return err
	}
	a.args = pick(p.cols, a.f.Args)
	a.rows, a.zeros = make([]int32, n), make([]uint32, n)
	for i := range a.rows {
		a.rows[i] = int32(i)
	}
	if a.f.Filter >= 0 {
		v := p.cols[a.f.Filter]
		a.pass = make([]bool, n)
		for i := range a.pass {
			a.pass[i] = v.Bools[i] && !v.IsNull(i)
		}
	}
	if a.fn.Invertible && a.moves() {
		a.minus = make([]int64, n)
		for i := range a.minus {
			a.minus[i] = -1
		}
	}
	if a.fn.Fixed != nil {
		a.state.fixed = expr.States{Blocks: [][]byte{make([]byte, a.fn.Fixed.Width)}, Width: a.fn.Fixed.Width}
	}
	return nil
}

// moves reports whether a frame's begin can move.
func (a *windowAgg) moves() bool { return a.frame.spec.Start.Kind != plan.UnboundedPreceding }

// release implements releaser.
func (a *windowAgg) release() {
	a.rows, a.zeros, a.minus, a.pass, a.tree = nil, nil, nil, nil, nil
	a.held.release()
}

func (a *windowAgg) eval(ctx context.Context, p *partition, out *delta.Vec) error {
	a.frame.reset(p)
	a.clear(p.lo)
	a.tree = nil
	if fix := a.fn.Fixed; fix != nil && fix.Merge != nil && !a.fn.Ordered &&
		(a.frame.spec.Exclude != 0 || a.moves() && !a.fn.Invertible) && p.hi-p.lo > 16 {
		treeBytes := int64(2 * (p.hi - p.lo) * fix.Width)
		err := a.held.mem.take(treeBytes)
		defer func() { _ = a.held.mem.take(-treeBytes) }() // giving back never fails
		if err != nil {
			return err
		}
		a.tree = a.newTree(p)
	}
	for i := p.lo; i < p.hi; i++ {
		if i%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		start, end := a.frame.at(p, i)
		if err := a.fill(ctx, p, i, start, max(start, end)); err != nil {
			return err
		}
		if err := a.result(out); err != nil {
			return err
		}
	}
	return nil
}

// fill makes the state that of the rows start … end-1, less what EXCLUDE takes away.
func (a *windowAgg) fill(ctx context.Context, p *partition, i, start, end int) error {
	if a.frame.spec.Exclude != 0 || a.tree != nil {
		a.clear(start)
		spans, n := a.frame.spans(p, i, start, end)
		for _, s := range spans[:n] {
			if a.tree != nil {
				a.tree.mergeInto(a.state.fixed.Blocks[0], s[0]-p.lo, s[1]-p.lo)
			} else if err := a.addRange(ctx, s[0], s[1], nil); err != nil {
				return err
			}
		}
		return nil
	}
	switch {
	case start == a.lo:
	case start >= a.hi || a.minus == nil:
		a.clear(start)
	default:
		if err := a.addRange(ctx, a.lo, start, a.minus); err != nil {
			return err
		}
		a.lo = start
	}
	if end > a.hi {
		if err := a.addRange(ctx, a.hi, end, nil); err != nil {
			return err
		}
		a.hi = end
	}
	return nil
}

// clear makes the state that of no rows; the next row is at.
func (a *windowAgg) clear(at int) {
	if a.fn.Fixed != nil {
		clear(a.state.fixed.Blocks[0])
	} else {
		a.state.obj = a.fn.New(a.types)
	}
	a.lo, a.hi = at, at
}

// addRange folds rows in; with weights of −1, out.
func (a *windowAgg) addRange(ctx context.Context, lo, hi int, weights []int64) error {
	const step = 4096
	for ; lo < hi; lo += step {
		if hi-lo > step && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.add(a.rows[lo:min(hi, lo+step)], weights); err != nil {
			return err
		}
	}
	return nil
}

func (a *windowAgg) add(rows []int32, weights []int64) error {
	if a.pass != nil {
		kept := make([]int32, 0, len(rows))
		for _, r := range rows {
			if a.pass[r] {
				kept = append(kept, r)
			}
		}
		rows = kept
	}
	if len(rows) == 0 {
		return nil
	}
	if f := a.fn.Fixed; f != nil {
		f.Update(&a.state.fixed, a.zeros[:len(rows)], a.args, rows, weights)
		return nil
	}
	w := int64(1)
	if weights != nil {
		w = -1
	}
	for _, r := range rows {
		if a.fn.IgnoresNulls && len(a.args) > 0 && a.args[0].IsNull(int(r)) {
			continue
		}
		if err := a.state.obj.Add(a.q.c, a.args, int(r), w); err != nil {
			return err
		}
	}
	return nil
}

func (a *windowAgg) result(out *delta.Vec) error {
	if f := a.fn.Fixed; f != nil {
		f.Result(a.q.c, &a.state.fixed, a.zeros[:1], out)
		return nil
	}
	return a.state.obj.Result(a.q.c, out)
}

// stateTree is a segment tree over the states of single rows: node i is the merge of nodes 2i and 2i+1, leaves are
// nodes n … 2n-1. Any range is the merge of O(log n) nodes. Only for aggregates that do not ask for an order.
type stateTree struct {
	n     int
	width int
	nodes []byte
	merge func(dst, src []byte)
}

func (a *windowAgg) newTree(p *partition) *stateTree {
	fix, n := a.fn.Fixed, p.hi-p.lo
	t := &stateTree{n: n, width: fix.Width, nodes: make([]byte, 2*n*fix.Width), merge: fix.Merge}
	leaves := &expr.States{Blocks: [][]byte{t.nodes[n*t.width:]}, Shift: 31, Width: t.width}
	var rows []int32
	var slots []uint32
	for i := range n {
		if r := p.lo + i; a.pass == nil || a.pass[r] {
			rows, slots = append(rows, int32(r)), append(slots, uint32(i))
		}
	}
	if len(rows) > 0 {
		fix.Update(leaves, slots, a.args, rows, nil)
	}
	for i := n - 1; i > 0; i-- {
		t.merge(t.node(i), t.node(2*i))
		t.merge(t.node(i), t.node(2*i+1))
	}
	return t
}

func (t *stateTree) node(i int) []byte { return t.nodes[i*t.width : (i+1)*t.width] }

// mergeInto merges the states of rows lo … hi-1 into dst.
func (t *stateTree) mergeInto(dst []byte, lo, hi int) {
	for l, r := lo+t.n, hi+t.n; l < r; l, r = l/2, r/2 {
		if l&1 == 1 {
			t.merge(dst, t.node(l))
			l++
		}
		if r&1 == 1 {
			r--
			t.merge(dst, t.node(r))
		}
	}
}
