package stream

import (
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// windowFunc is one function of a window.
type windowFunc struct {
	n      *plan.WindowFunc
	kernel windowKernel
	frame  *windowFrame // nil: the function has none
	agg    *windowAgg   // nil: not an aggregate
	reach  reach
}

// windowKernel computes a function.
type windowKernel interface {
	// eval appends a value for each row of the side's batch.
	eval(s *winSide, st *winState, out *delta.Vec) error
	// settled reports whether the rows of a segment are sure to have the value they had, those at its ends within
	// the function's finite reach apart.
	settled(g *segment) bool
	// settledNow reports, from the states after the last batch in both versions, whether that is so for all further
	// rows of the segment. Only functions of what lies before are asked.
	settledNow(before, now *winState) bool
}

func (f *windowFunc) needsGroups() bool {
	return f.n.Name == "dense_rank" || f.frame != nil && f.frame.mode == 'G'
}

func newWindowFunc(w *window, n *plan.Window, fn *plan.WindowFunc) (*windowFunc, error) {
	f := &windowFunc{n: fn, reach: reach{groupsAfter: -1, groupsBefore: -1}}
	switch fn.Name {
	case "row_number", "rank", "dense_rank":
		f.kernel, f.reach.head = &rankFunc{w: w, name: fn.Name}, true
	case "percent_rank", "cume_dist":
		f.kernel, f.reach.head, f.reach.tail, f.reach.groupsBefore = &rankFunc{w: w, name: fn.Name}, true, true, 0
	case "ntile":
		f.kernel, f.reach.head, f.reach.tail = &ntileFunc{w: w, arg: fn.Args[0]}, true, true
	case "lag", "lead":
		newShift(w, n, f)
	default:
		fr, err := newWindowFrame(w, n, fn.Frame)
		if err != nil {
			return nil, err
		}
		f.frame, f.reach = fr, frameReach(fr)
		switch fn.Name {
		case "first_value", "last_value", "nth_value":
			newFrameValue(w, n, f)
			return f, nil
		}
		f.agg, err = newWindowAgg(w, f)
		f.kernel = f.agg
		return f, err
	}
	return f, nil
}

// constColumn finds the value that column col of n has in all rows.
func constColumn(n plan.Node, col int) (sqltypes.Datum, bool) {
	for {
		switch x := n.(type) {
		case *plan.Project:
			switch e := x.Exprs[col].(type) {
			case *expr.Const:
				return e.Val, true
			case *expr.Col:
				n, col = x.Input, e.Index
				continue
			}
			return nil, false
		case *plan.Filter, *plan.Exchange, *plan.TopN:
			if n = n.Children()[0]; col >= len(n.Columns()) {
				return nil, false
			}
		case *plan.Window:
			if n = x.Input; col >= len(n.Columns()) {
				return nil, false
			}
		default:
			return nil, false
		}
	}
}

// rankFunc is a function of a row's place.
type rankFunc struct {
	w    *window
	name string
}

func (f *rankFunc) eval(s *winSide, _ *winState, out *delta.Vec) error {
	switch f.name {
	case "row_number":
		for _, p := range s.at {
			out.AppendInt(p + 1)
		}
	case "rank":
		for _, p := range s.peerStarts() {
			out.AppendInt(p + 1)
		}
	case "dense_rank":
		for _, n := range s.groupNumbers() {
			out.AppendInt(n + 1)
		}
	case "percent_rank":
		for _, p := range s.peerStarts() {
			out.AppendFloat(expr.PercentRank(p, s.size))
		}
	default:
		for _, p := range s.peerEnds() {
			out.AppendFloat(float64(p) / float64(s.size))
		}
	}
	return nil
}

func (f *rankFunc) settled(g *segment) bool {
	before, now := f.w.sides[state.Before], f.w.sides[state.Now]
	if (f.name == "percent_rank" || f.name == "cume_dist") && before.size != now.size {
		return false
	}
	if g.prev == nil {
		return true
	}
	switch f.name {
	case "row_number", "cume_dist":
		return !g.moved()
	case "dense_rank":
		peers := f.w.rowPeers(g.pos[state.Now])
		return f.w.groups.CountRange(state.Before, before.pk, peers) == f.w.groups.CountRange(state.Now, now.pk, peers)
	}
	peers := f.w.rowPeers(g.pos[state.Now])
	return !g.moved() && f.w.rows.CountRange(state.Before, before.pk, peers) == f.w.rows.CountRange(state.Now, now.pk, peers)
}

func (f *rankFunc) settledNow(_, _ *winState) bool { return false }

// ntileFunc takes the number of buckets from the partition's first row.
type ntileFunc struct {
	w   *window
	arg int
}

func (f *ntileFunc) buckets(s *winSide) (*delta.Vec, error) {
	v := newVecs([]sqltypes.Type{f.w.types[f.arg]})[0]
	if s.size == 0 {
		v.AppendNull()
		return v, nil
	}
	return v, s.fetch(&rowSource{}, 0, f.arg, v)
}

func (f *ntileFunc) eval(s *winSide, _ *winState, out *delta.Vec) error {
	b, err := f.buckets(s)
	if err != nil {
		return err
	}
	for _, p := range s.at {
		if b.IsNull(0) {
			out.AppendNull()
			continue
		}
		tile, err := expr.Ntile(p, s.size, b.Ints[0])
		if err != nil {
			out.AppendNull()
			f.w.env.fail(s.sign(), sqlerr.From(err))
			continue
		}
		out.AppendInt(tile)
	}
	return nil
}

func (f *ntileFunc) settled(g *segment) bool {
	before, now := f.w.sides[state.Before], f.w.sides[state.Now]
	if before.size != now.size || g.moved() {
		return false
	}
	a, err1 := f.buckets(before)
	b, err2 := f.buckets(now)
	return err1 == nil && err2 == nil && sameValue(a, 0, b, 0)
}

func (f *ntileFunc) settledNow(_, _ *winState) bool { return false }

// shiftFunc is lag and lead: the value some rows away, or a default.
type shiftFunc struct {
	w           *window
	back        bool
	args        []int
	ignoreNulls bool
	far         bool // how many rows away is not known, or not bounded
}

func newShift(w *window, n *plan.Window, f *windowFunc) {
	k := &shiftFunc{w: w, back: f.n.Name == "lag", args: f.n.Args, ignoreNulls: f.n.IgnoreNulls}
	f.kernel = k
	by, known := int64(1), !k.ignoreNulls
	if len(k.args) > 1 {
		var d sqltypes.Datum
		if d, known = constColumn(n.Input, k.args[1]); known && d != nil {
			by, known = d.(int64)
		}
		known = known && !k.ignoreNulls
	}
	if !known {
		k.far, f.reach.head, f.reach.tail = true, true, true
		return
	}
	if k.back {
		by = -by
	}
	f.reach.rowsAfter, f.reach.rowsBefore = max(-by, 0), max(by, 0)
}

func (f *shiftFunc) eval(s *winSide, st *winState, out *delta.Vec) error {
	var solid []int64 // for IGNORE NULLS: the positions of rows with a value
	if f.ignoreNulls {
		var err error
		if solid, err = s.solid(f.args[0]); err != nil {
			return err
		}
	}
	for i, p := range s.at {
		ent := int(s.ents[i])
		by := int64(1)
		if len(f.args) > 1 {
			o := f.w.vecs[f.args[1]]
			if o.IsNull(ent) {
				out.AppendNull()
				continue
			}
			by = o.Ints[ent]
		}
		if f.back {
			by = -by
		}
		from, ok := expr.SatAdd(p, by), true
		if f.ignoreNulls && by != 0 {
			from, ok = solidAt(solid, p, by)
		}
		var err error
		switch {
		case ok && from >= 0 && from < s.size:
			err = s.fetch(&st.src, from, f.args[0], out)
		case len(f.args) > 2:
			out.AppendFrom(f.w.vecs[f.args[2]], ent)
		default:
			out.AppendNull()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// solid lists the positions of the partition's rows with a value in col.
func (s *winSide) solid(col int) ([]int64, error) {
	var out []int64
	var src rowSource
	v := newVecs([]sqltypes.Type{s.w.types[col]})[0]
	for p := range s.size {
		if err := s.fetch(&src, p, col, v); err != nil {
			return nil, err
		}
		if !v.IsNull(v.Len() - 1) {
			out = append(out, p)
		}
	}
	return out, nil
}

// solidAt is the by-th position of solid behind p, or before it.
func solidAt(solid []int64, p, by int64) (int64, bool) {
	i, found := slices.BinarySearch(solid, p)
	at := int64(i)
	if by > 0 {
		if found {
			at++
		}
		by--
	}
	if at = expr.SatAdd(at, by); at < 0 || at >= int64(len(solid)) {
		return 0, false
	}
	return solid[at], true
}

func (f *shiftFunc) settled(*segment) bool { return !f.far }

func (f *shiftFunc) settledNow(_, _ *winState) bool { return false }

// frameValue is first_value, last_value and nth_value.
type frameValue struct {
	w     *window
	f     *windowFunc
	col   int
	fixed int64 // nth_value: the number wanted, if it is one for all rows; else 0
}

func newFrameValue(w *window, n *plan.Window, f *windowFunc) {
	k := &frameValue{w: w, f: f, col: f.n.Args[0]}
	f.kernel = k
	plain := f.frame.exclude == 0 && !f.n.IgnoreNulls
	switch {
	case f.n.Name == "nth_value":
		if d, ok := constColumn(n.Input, f.n.Args[1]); ok {
			k.fixed, _ = d.(int64)
		}
	case f.frame.strays():
	case f.n.Name == "first_value" && plain:
		f.reach.tail, f.reach.rangeBefore = false, nil
	case plain:
		f.reach.head, f.reach.rangeAfter = false, nil
	}
}

func (k *frameValue) eval(s *winSide, st *winState, out *delta.Vec) error {
	starts, ends := k.f.frame.bounds(s)
	last := int64(-1)
	for i := range s.at {
		nth, known := int64(1), true
		if k.f.n.Name == "nth_value" {
			nth, known = k.nth(s, i)
		}
		pos := int64(-1)
		if known {
			var err error
			if pos, err = k.pick(s, i, starts[i], ends[i], nth); err != nil {
				return err
			}
		}
		switch {
		case pos < 0:
			out.AppendNull()
		case pos == last:
			out.AppendFrom(out, out.Len()-1)
		default:
			if err := s.fetch(&st.src, pos, k.col, out); err != nil {
				return err
			}
		}
		last = pos
	}
	return nil
}

// nth is the number, from 1, of the value wanted; it is not known when the argument is NULL or not a number of a row.
func (k *frameValue) nth(s *winSide, i int) (int64, bool) {
	v, ent := k.w.vecs[k.f.n.Args[1]], int(s.ents[i])
	if v.IsNull(ent) {
		return 0, false
	}
	n := v.Ints[ent]
	if n <= 0 {
		k.w.env.fail(s.sign(), sqlerr.New(sqlerr.InvalidArgumentForNthValue, "argument of nth_value must be greater than zero"))
	}
	return n, n > 0
}

// pick returns the position of the nth row of the frame, for last_value of the last; −1: there is none.
func (k *frameValue) pick(s *winSide, i int, start, end, nth int64) (int64, error) {
	spans, n := k.f.frame.spans(s, i, start, end)
	if k.f.n.IgnoreNulls {
		return k.pickSolid(s, spans[:n], nth)
	}
	if k.f.n.Name == "last_value" {
		if n == 0 {
			return -1, nil
		}
		return spans[n-1][1] - 1, nil
	}
	for _, sp := range spans[:n] {
		if size := sp[1] - sp[0]; nth <= size {
			return sp[0] + nth - 1, nil
		} else {
			nth -= size
		}
	}
	return -1, nil
}

// pickSolid passes over rows without a value.
func (k *frameValue) pickSolid(s *winSide, spans [][2]int64, nth int64) (int64, error) {
	var src rowSource
	v := newVecs([]sqltypes.Type{k.w.types[k.col]})[0]
	null := func(p int64) (bool, error) {
		err := s.fetch(&src, p, k.col, v)
		return err == nil && v.IsNull(v.Len()-1), err
	}
	backwards := k.f.n.Name == "last_value"
	if backwards {
		spans = slices.Clone(spans)
		slices.Reverse(spans)
	}
	for _, sp := range spans {
		for t := range sp[1] - sp[0] {
			p := sp[0] + t
			if backwards {
				p = sp[1] - 1 - t
			}
			isNull, err := null(p)
			if err != nil {
				return -1, err
			}
			if isNull {
				continue
			}
			if nth--; nth == 0 {
				return p, nil
			}
		}
	}
	return -1, nil
}

// settled compares the one row that decides, where it is the same for all.
func (k *frameValue) settled(g *segment) bool {
	if k.f.frame.exclude != 0 || k.f.n.IgnoreNulls || k.f.frame.strays() {
		return false
	}
	before, now := k.w.sides[state.Before], k.w.sides[state.Now]
	var p, q int64
	switch k.f.n.Name {
	case "first_value":
	case "last_value":
		p, q = before.size-1, now.size-1
	default:
		if k.fixed <= 0 || g.moved() || k.f.reach.tail && before.size != now.size {
			return false
		}
		p, q = k.fixed-1, k.fixed-1
	}
	return k.sameAt(before, p, now, q)
}

func (k *frameValue) sameAt(a *winSide, p int64, b *winSide, q int64) bool {
	if p < 0 || p >= a.size || q < 0 || q >= b.size {
		return p >= a.size && q >= b.size
	}
	v := newVecs([]sqltypes.Type{k.w.types[k.col], k.w.types[k.col]})
	return a.fetch(&rowSource{}, p, k.col, v[0]) == nil && b.fetch(&rowSource{}, q, k.col, v[1]) == nil && sameValue(v[0], 0, v[1], 0)
}

func (k *frameValue) settledNow(_, _ *winState) bool { return false }
