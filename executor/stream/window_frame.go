package stream

import (
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// windowFrame finds the rows that a function sees, as positions in the partition: the count of rows before a key is
// a search in the map.
type windowFrame struct {
	w       *window
	mode    byte
	exclude byte
	ends    [2]frameEnd
}

// frameEnd is one end of a frame.
type frameEnd struct {
	kind   plan.BoundKind
	isEnd  bool
	mode   byte
	offset int64            // ROWS and GROUPS
	bound  *expr.RangeBound // RANGE with an offset
	order  row.KeyCol       // of RANGE with an offset
}

func newWindowFrame(w *window, n *plan.Window, spec plan.Frame) (*windowFrame, error) {
	fr := &windowFrame{w: w, mode: spec.Mode, exclude: spec.Exclude}
	for i, b := range []plan.FrameBound{spec.Start, spec.End} {
		e := &fr.ends[i]
		e.kind, e.isEnd, e.mode = b.Kind, i == 1, spec.Mode
		if b.Kind != plan.Preceding && b.Kind != plan.Following {
			continue
		}
		which := []string{"starting", "ending"}[i]
		d, err := expr.EvalConst(w.env.Ctx, b.Offset)
		if err != nil {
			return nil, err
		}
		if spec.Mode != 'A' {
			if e.offset, err = expr.RowsOffset(d, which); err != nil {
				return nil, err
			}
			continue
		}
		o := n.OrderBy[0]
		e.order = row.KeyCol(o)
		minus := (b.Kind == plan.Preceding) != o.Desc
		if e.bound, err = expr.NewRangeBound(&expr.Col{Index: o.Col, Ty: w.types[o.Col]}, d, b.Offset.Type(), minus, which); err != nil {
			return nil, err
		}
	}
	return fr, nil
}

// strays reports whether a frame need not have its own row in it, by a RANGE offset: what is in it, if anything, is then no matter of one end.
func (fr *windowFrame) strays() bool {
	return fr.mode == 'A' && (fr.ends[0].kind == plan.Following || fr.ends[1].kind == plan.Preceding)
}

// bounds returns, for each row of the batch, its frame without regard to EXCLUDE; empty where start ≥ end.
func (fr *windowFrame) bounds(s *winSide) (starts, ends []int64) {
	return fr.ends[0].positions(s), fr.ends[1].positions(s)
}

// positions returns, for each row, where its frame begins, or what it ends before.
func (e *frameEnd) positions(s *winSide) []int64 {
	out := make([]int64, len(s.at))
	by := e.offset
	if e.kind == plan.Preceding {
		by = -by
	}
	switch {
	case e.kind == plan.UnboundedPreceding:
	case e.kind == plan.UnboundedFollowing:
		for i := range out {
			out[i] = s.size
		}
	case e.mode == 'R':
		if e.isEnd {
			by = expr.SatAdd(by, 1)
		}
		for i, p := range s.at {
			out[i] = min(max(expr.SatAdd(p, by), 0), s.size)
		}
	case e.kind == plan.CurrentRow && e.isEnd:
		return s.peerEnds()
	case e.kind == plan.CurrentRow:
		return s.peerStarts()
	case e.mode == 'G':
		e.groupPositions(s, by, out)
	default:
		e.rangePositions(s, out)
	}
	return out
}

func (e *frameEnd) groupPositions(s *winSide, by int64, out []int64) {
	if e.isEnd {
		by = expr.SatAdd(by, 1)
	}
	numbers := s.groupNumbers()
	for i, n := range numbers {
		if i > 0 && numbers[i-1] == n {
			out[i] = out[i-1]
		} else {
			out[i] = s.groupStart(expr.SatAdd(n, by))
		}
	}
}

// rangePositions counts the rows before the bounds.
func (e *frameEnd) rangePositions(s *winSide, out []int64) {
	keys := e.keys(s.w, s.w.vecs, len(s.w.ents))
	for i, ent := range s.ents {
		if i > 0 && s.samePeers(i, i-1) {
			out[i] = out[i-1]
			continue
		}
		k := keys.at(s.pk, int(ent), s.peers(i))
		if e.isEnd {
			k = key.PrefixEnd(k)
		}
		out[i] = s.w.rows.CountRange(s.ver, s.pk, k)
	}
}

// boundKeys are the bounds of some rows, comparable with the map's keys.
type boundKeys struct {
	vals  []*delta.Vec
	order []row.KeyCol
	buf   []byte
}

// keys computes the bounds of n rows.
func (e *frameEnd) keys(w *window, vecs []*delta.Vec, n int) *boundKeys {
	v := e.bound.Eval(w.env.Ctx, &delta.Chunk{Cols: vecs, Rows: n})
	if from := w.types[e.order.Col]; e.bound.CastsKey(from) {
		v = datesWithin(v, from, e.isEnd != e.order.Desc)
	}
	return &boundKeys{vals: []*delta.Vec{v}, order: []row.KeyCol{{Desc: e.order.Desc, NullsFirst: e.order.NullsFirst}}}
}

// at returns the bound of row i, which has the given order; a row without a value, or whose bound cannot be
// computed, sees its peers.
func (b *boundKeys) at(pk []byte, i int, peers []byte) []byte {
	if b.vals[0].IsNull(i) {
		return peers
	}
	b.buf = row.AppendKey(append(b.buf[:0], pk...), b.vals, b.order, i)
	return b.buf
}

// datesWithin turns bounds that are timestamps, because dates were shifted by an interval, into dates: the last ones
// not above an upper bound, the first ones not below a lower one.
func datesWithin(v *delta.Vec, date sqltypes.Type, upper bool) *delta.Vec {
	out := make([]int64, v.Len())
	for i, ts := range v.Ints[:v.Len()] {
		switch ts {
		case datetime.Infinity:
			out[i] = datetime.DateInfinity
		case datetime.NegInfinity:
			out[i] = datetime.DateNegInfinity
		default:
			const day = 24 * 3600 * 1_000_000
			d := ts / day
			if ts%day < 0 {
				d--
			}
			if !upper && d*day < ts {
				d++
			}
			out[i] = d
		}
	}
	d := delta.IntVec(date, out)
	d.Valid = v.Valid
	return d
}

// spans applies EXCLUDE to the frame of row i: at most three ranges of rows, in order.
func (fr *windowFrame) spans(s *winSide, i int, start, end int64) (out [3][2]int64, n int) {
	add := func(lo, hi int64) {
		if lo, hi = max(lo, start), min(hi, end); lo < hi {
			out[n] = [2]int64{lo, hi}
			n++
		}
	}
	p := s.at[i]
	switch fr.exclude {
	case 'C':
		add(start, p)
		add(p+1, end)
	case 'G':
		add(start, s.peerStarts()[i])
		add(s.peerEnds()[i], end)
	case 'T':
		add(start, s.peerStarts()[i])
		add(p, p+1)
		add(s.peerEnds()[i], end)
	default:
		add(start, end)
	}
	return out, n
}
