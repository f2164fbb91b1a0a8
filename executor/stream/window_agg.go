package stream

import (
	"bytes"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// windowAgg is an aggregate over frames. Its state follows the frame: rows that enter are added and, where the
// aggregate can take rows back, rows that leave are subtracted. Further jumps merge the sums that the map keeps.
//
// A state is a function of the rows in the frame and their order, however it came about; else what is computed to be
// taken back would not be what was shown.
type windowAgg struct {
	w     *window
	f     *windowFunc
	fn    *expr.AggFunc
	types []sqltypes.Type // of the arguments
	sum   int             // place in windowSums; −1: states cannot be merged
	minus []int64
	zeros []uint32
	rows  []int32
	// The arguments and FILTER of the batch being evaluated.
	batchArgs   []*delta.Vec
	batchFilter *delta.Vec
	// Rows around the batch that its frames leave, and those that they enter.
	left, entered rowsAround
}

// rowsAround are rows lo … hi−1, which lie outside the batch.
type rowsAround struct {
	lo, hi int64
	r      *rowReader
	args   []*delta.Vec
	filter *delta.Vec
}

// aggRun is the state of rows lo … hi−1.
type aggRun struct {
	states expr.States // one, of an aggregate with fixed states
	obj    expr.AggObject
	lo, hi int64
	is     bool
	queue  *aggQueue
}

func (r *aggRun) fixed() []byte { return r.states.Blocks[0] }

func newWindowAgg(w *window, f *windowFunc) (*windowAgg, error) {
	fn, ok := expr.AggBySig(f.n.Sig)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", f.n.Sig)
	}
	a := &windowAgg{w: w, f: f, fn: fn, sum: -1}
	for _, c := range f.n.Args {
		a.types = append(a.types, w.types[c])
	}
	return a, nil
}

// merges reports whether states of neighbouring rows can be merged.
func (a *windowAgg) merges() bool {
	if a.fn.Fixed != nil {
		return a.fn.Fixed.Merge != nil && !a.fn.Ordered
	}
	_, ok := a.fn.New(a.types).(expr.AggMerger)
	return ok
}

func (a *windowAgg) empty() aggRun {
	if a.fn.Fixed != nil {
		return aggRun{states: expr.States{Blocks: [][]byte{make([]byte, a.fn.Fixed.Width)}, Width: a.fn.Fixed.Width}}
	}
	return aggRun{obj: a.fn.New(a.types)}
}

func (a *windowAgg) merge(dst *aggRun, src aggRun) {
	if a.fn.Fixed != nil {
		a.fn.Fixed.Merge(dst.fixed(), src.fixed())
	} else {
		dst.obj.(expr.AggMerger).Merge(src.obj)
	}
}

// eval implements windowKernel.
func (a *windowAgg) eval(s *winSide, st *winState, out *delta.Vec) error {
	starts, ends := a.f.frame.bounds(s)
	a.batchArgs, a.batchFilter = a.args(a.w.vecs), a.filter(a.w.vecs)
	if err := a.readAround(s, starts, ends); err != nil {
		return err
	}
	for i := range s.at {
		start, end := starts[i], max(starts[i], ends[i])
		if i > 0 && a.f.frame.exclude == 0 && start == starts[i-1] && end == max(starts[i-1], ends[i-1]) {
			out.AppendFrom(out, out.Len()-1)
			continue
		}
		if err := a.fill(s, &st.agg, i, start, end); err != nil {
			return err
		}
		a.result(s, &st.agg, out)
	}
	return nil
}

func (a *windowAgg) result(s *winSide, run *aggRun, out *delta.Vec) {
	if a.fn.Fixed != nil {
		a.fn.Fixed.Result(a.w.env.Ctx, &run.states, slotZero, out)
		return
	}
	n := out.Len()
	if err := run.obj.Result(a.w.env.Ctx, out); err != nil {
		if out.Len() == n {
			out.AppendNull()
		}
		a.w.env.fail(s.sign(), sqlerr.From(err))
	}
}

var slotZero = []uint32{0}

// nearRows is up to how many rows are added and subtracted one by one where sums could be merged. Tests change it.
var nearRows int64 = 128

// fill makes the state that of rows start … end−1, less what EXCLUDE takes away from row i's frame.
func (a *windowAgg) fill(s *winSide, run *aggRun, i int, start, end int64) error {
	if a.f.frame.exclude != 0 {
		*run = a.empty()
		spans, n := a.f.frame.spans(s, i, start, end)
		for _, sp := range spans[:n] {
			if err := a.fold(s, run, sp[0], sp[1]); err != nil {
				return err
			}
		}
		return nil
	}
	drop, grow := start-run.lo, end-run.hi
	follows := run.is && drop >= 0 && grow >= 0 && start <= run.hi
	near := a.sum < 0 || drop+grow <= nearRows
	switch {
	case follows && drop == 0 && near:
	case follows && a.fn.Invertible && near && drop < end-start+nearRows:
		if err := a.add(s, run, run.lo, start, -1); err != nil {
			return err
		}
	case follows && !a.fn.Invertible && a.sum >= 0 && near && end-start <= queueRows:
		return a.slide(s, run, start, end)
	default:
		*run = a.empty()
		run.lo, run.hi, run.is = start, end, true
		return a.fold(s, run, start, end)
	}
	err := a.add(s, run, run.hi, end, 1)
	run.lo, run.hi, run.queue = start, end, nil
	return err
}

// readAround reads the rows outside the batch that enter or leave frames from row to row, all at once.
func (a *windowAgg) readAround(s *winSide, starts, ends []int64) error {
	a.left.hi, a.entered.hi = 0, 0
	last := len(s.at) - 1
	if last < 1 || a.f.frame.exclude != 0 {
		return nil
	}
	first, end := s.at[0], s.at[last]+1
	if a.fn.Invertible {
		if err := a.readInto(&a.left, s, starts[0], min(starts[last], first)); err != nil {
			return err
		}
	}
	return a.readInto(&a.entered, s, max(ends[0], end), ends[last])
}

// aroundRows is up to how many rows are read ahead. It is less than what a batch's frames enter and leave only if they jump.
const aroundRows = 4 * delta.BatchRows

func (a *windowAgg) readInto(x *rowsAround, s *winSide, lo, hi int64) error {
	if hi-lo < 2 || hi-lo > aroundRows {
		return nil
	}
	if x.r == nil {
		x.r = newRowReader(a.w.types, a.columns())
	}
	x.r.reset()
	err := a.w.rows.Fold(s.ver, s.pk, lo, hi, nil, func(k, val []byte, copies int64) error {
		for range copies {
			if err := x.r.add(entryImage(k, val), 1); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		x.lo, x.hi, x.args, x.filter = lo, hi, a.args(x.r.vecs), a.filter(x.r.vecs)
	}
	return err
}

// add folds rows from … to−1 in, or with sign −1 out.
func (a *windowAgg) add(s *winSide, run *aggRun, from, to, sign int64) error {
	for from < to {
		n := to
		i := int64(-1) // place in the batch
		if len(s.at) > 0 {
			switch first, end := s.at[0], s.at[0]+int64(len(s.at)); {
			case from < first:
				n = min(to, first)
			case from < end:
				i, n = from-first, min(to, end)
			}
		}
		var err error
		if x := a.around(from, n); x != nil && i < 0 {
			err = a.update(s, run, x.args, x.filter, x.r.list()[from-x.lo:n-x.lo], nil, sign)
		} else if i >= 0 {
			err = a.update(s, run, a.batchArgs, a.batchFilter, s.ents[i:i+n-from], nil, sign)
		} else {
			err = a.scan(s, run, from, n, sign, nil)
		}
		if err != nil {
			return err
		}
		from = n
	}
	return nil
}

// around returns what holds rows from … to−1; nil: nothing does.
func (a *windowAgg) around(from, to int64) *rowsAround {
	for _, x := range []*rowsAround{&a.left, &a.entered} {
		if x.hi > 0 && x.lo <= from && to <= x.hi {
			return x
		}
	}
	return nil
}

// fold folds rows in, by whole sums where there are some.
func (a *windowAgg) fold(s *winSide, run *aggRun, from, to int64) error {
	if a.sum < 0 || to-from <= nearRows {
		return a.add(s, run, from, to, 1)
	}
	return a.scan(s, run, from, to, 1, func(sum any) { a.merge(run, sum.([]aggRun)[a.sum]) })
}

// scan reads rows from the map; with merge, it is given the sums of what need not be read.
func (a *windowAgg) scan(s *winSide, run *aggRun, from, to, sign int64, merge func(sum any)) error {
	var bad error
	r := newRowReader(a.w.types, a.columns())
	flush := func() {
		if r.n > 0 && bad == nil {
			bad = a.update(s, run, a.args(r.vecs), a.filter(r.vecs), r.list(), r.weights, sign)
			r.reset()
		}
	}
	node := merge
	if merge != nil {
		node = func(sum any) {
			flush()
			merge(sum)
		}
	}
	err := a.w.rows.Fold(s.ver, s.pk, from, to, node, func(k, val []byte, copies int64) error {
		if r.n >= delta.BatchRows {
			flush()
		}
		return r.add(entryImage(k, val), copies)
	})
	flush()
	if err == nil {
		err = bad
	}
	return err
}

// columns are those that the aggregate reads.
func (a *windowAgg) columns() []int {
	out := slices.Clone(a.f.n.Args)
	if a.f.n.Filter >= 0 {
		out = append(out, a.f.n.Filter)
	}
	return out
}

func (a *windowAgg) args(vecs []*delta.Vec) []*delta.Vec {
	out := make([]*delta.Vec, len(a.f.n.Args))
	for i, c := range a.f.n.Args {
		out[i] = vecs[c]
	}
	return out
}

// filter is the column of FILTER; nil: there is none.
func (a *windowAgg) filter(vecs []*delta.Vec) *delta.Vec {
	if a.f.n.Filter < 0 {
		return nil
	}
	return vecs[a.f.n.Filter]
}

// update folds rows into a state, each with its weight (nil: 1) times sign.
func (a *windowAgg) update(s *winSide, run *aggRun, args []*delta.Vec, filter *delta.Vec, rows []int32, weights []int64, sign int64) error {
	if filter != nil {
		a.rows = a.rows[:0]
		for _, r := range rows {
			if filter.Bools[r] && !filter.IsNull(int(r)) {
				a.rows = append(a.rows, r)
			}
		}
		rows = a.rows
	}
	if len(rows) == 0 {
		return nil
	}
	if a.fn.Fixed != nil {
		a.updateFixed(run, args, rows, weights, sign)
		return nil
	}
	for _, r := range rows {
		if a.fn.IgnoresNulls && len(args) > 0 && args[0].IsNull(int(r)) {
			continue
		}
		w := sign
		if weights != nil {
			w *= weights[r]
		}
		if err := run.obj.Add(a.w.env.Ctx, args, int(r), w); err != nil && s != nil {
			a.w.env.fail(s.sign(), sqlerr.From(err))
		}
	}
	return nil
}

func (a *windowAgg) updateFixed(run *aggRun, args []*delta.Vec, rows []int32, weights []int64, sign int64) {
	if len(a.zeros) < len(rows) {
		a.zeros = make([]uint32, len(rows)+delta.BatchRows)
	}
	if sign < 0 {
		last := int(slices.Max(rows))
		for len(a.minus) <= last {
			a.minus = append(a.minus, -1)
		}
		if weights != nil {
			weights = slices.Clone(weights)
			for i := range weights {
				weights[i] = -weights[i]
			}
		} else {
			weights = a.minus
		}
	}
	a.fn.Fixed.Update(&run.states, a.zeros[:len(rows)], args, rows, weights)
}

// settled implements windowKernel: the states of what lies before the segment, behind it, or of all, are the same.
func (a *windowAgg) settled(g *segment) bool {
	if a.f.frame.exclude != 0 || a.sum < 0 {
		return false
	}
	var runs [2]aggRun
	for v, s := range a.w.sides {
		from, to := int64(0), s.size
		switch {
		case !a.f.reach.tail:
			to = g.pos[v]
		case !a.f.reach.head:
			from = g.pos[v] + g.len
		}
		runs[v] = a.empty()
		if a.fold(nilSide(s), &runs[v], from, to) != nil {
			return false
		}
	}
	a.w.env.Ctx.TakeErrs()
	return a.same(&runs[state.Before], &runs[state.Now])
}

// nilSide is the version without a batch.
func nilSide(s *winSide) *winSide {
	c := *s
	c.at, c.ents = nil, nil
	return &c
}

// settledNow implements windowKernel.
func (a *windowAgg) settledNow(before, now *winState) bool {
	return a.f.frame.exclude == 0 && before.agg.is && now.agg.is && a.same(&before.agg, &now.agg)
}

// same reports whether two states are sure to be equal.
func (a *windowAgg) same(x, y *aggRun) bool {
	if a.fn.Fixed != nil {
		return bytes.Equal(x.fixed(), y.fixed())
	}
	return a.merges() && bytes.Equal(x.obj.AppendImage(nil), y.obj.AppendImage(nil))
}

// rowReader decodes some columns of rows from their images.
type rowReader struct {
	types   []sqltypes.Type
	cols    []int
	vecs    []*delta.Vec // nil where a column is not wanted
	weights []int64
	n       int
	numbers []int32
}

func newRowReader(types []sqltypes.Type, cols []int) *rowReader {
	r := &rowReader{types: types, cols: cols}
	r.reset()
	return r
}

func (r *rowReader) reset() {
	r.vecs, r.weights, r.n = make([]*delta.Vec, len(r.types)), r.weights[:0], 0
	for _, c := range r.cols {
		r.vecs[c] = newVecs(r.types[c : c+1])[0]
	}
}

func (r *rowReader) add(image []byte, weight int64) error {
	r.weights = append(r.weights, weight)
	r.n++
	if len(r.cols) == 0 {
		return nil
	}
	return decodeImage(image, r.types, r.vecs)
}

// list numbers the rows.
func (r *rowReader) list() []int32 {
	for len(r.numbers) < r.n {
		r.numbers = append(r.numbers, int32(len(r.numbers)))
	}
	return r.numbers[:r.n]
}

// windowSums is the summary that the map keeps: a state of each aggregate that merges, []aggRun.
type windowSums struct {
	aggs  []*windowAgg
	types []sqltypes.Type
}

// newWindowSums returns nil when there is nothing but rows to count.
func newWindowSums(funcs []*windowFunc, types []sqltypes.Type) state.Summary {
	s := &windowSums{types: types}
	for _, f := range funcs {
		if f.agg != nil && f.agg.merges() {
			f.agg.sum = len(s.aggs)
			s.aggs = append(s.aggs, f.agg)
		}
	}
	if len(s.aggs) == 0 {
		return nil
	}
	return s
}

// Leaf implements state.Summary.
func (s *windowSums) Leaf(keys, values [][]byte, weights []int64) any {
	var cols []int
	for _, a := range s.aggs {
		cols = append(cols, a.columns()...)
	}
	slices.Sort(cols)
	r := newRowReader(s.types, slices.Compact(cols))
	out := make([]aggRun, len(s.aggs))
	for i, k := range keys {
		if r.add(entryImage(k, values[i]), weights[i]) != nil {
			return out
		}
	}
	for i, a := range s.aggs {
		out[i] = a.empty()
		_ = a.update(nil, &out[i], a.args(r.vecs), a.filter(r.vecs), r.list(), r.weights, 1) // fails for nobody
	}
	return out
}

// Merge implements state.Summary.
func (s *windowSums) Merge(parts []any) any {
	out := make([]aggRun, len(s.aggs))
	for i, a := range s.aggs {
		out[i] = a.empty()
		for _, p := range parts {
			a.merge(&out[i], p.([]aggRun)[i])
		}
	}
	return out
}
