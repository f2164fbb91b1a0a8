package batch

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// restriction says that only rows are wanted whose key columns hold one of the keys. A join that has built its table tells the probe
// side so, and what is below passes it on as far as it goes: under projections, groups and other joins, at last
// into scans, which then make no other columns of the rows that would be dropped in the end.
type restriction struct {
	cols []int // of the operator's output
	keys *grouper
}

// restricted is implemented by operators that can use a restriction, or know somebody who can. It is a hint: rows
// that do not meet it may still come. It is given before the first Next.
type restricted interface{ restrict(r restriction) }

func restrict(op Operator, r restriction) {
	if x, ok := op.(restricted); ok {
		x.restrict(r)
	}
}

// mapped translates the columns; false when f does not know one of them.
func (r restriction) mapped(f func(col int) (int, bool)) (restriction, bool) {
	out := restriction{cols: make([]int, len(r.cols)), keys: r.keys}
	for k, c := range r.cols {
		var ok bool
		if out.cols[k], ok = f(c); !ok {
			return restriction{}, false
		}
	}
	return out, true
}

func (f *filter) restrict(r restriction)   { restrict(f.in, r) }
func (u *unweight) restrict(r restriction) { restrict(u.in, r) }

func (p *project) restrict(r restriction) {
	if r, ok := r.mapped(func(c int) (int, bool) { return p.column(c) }); ok {
		restrict(p.in, r)
	}
}

// column is the input column that output column c is a copy of.
func (p *project) column(c int) (int, bool) {
	if x, ok := p.n.Exprs[c].(*expr.Col); ok {
		return x.Index, true
	}
	return 0, false
}

func (a *hashAgg) restrict(r restriction) {
	if r, ok := r.mapped(func(c int) (int, bool) { return groupColumn(a.n, c) }); ok && a.open {
		restrict(a.in, r)
	}
}

func (p *parallelAgg) restrict(r restriction) {
	if !p.read {
		for _, a := range p.parts {
			a.restrict(r)
		}
	}
}

// groupColumn is the input column that output column c of an aggregation groups by.
func groupColumn(n *plan.Agg, c int) (int, bool) {
	if c < len(n.GroupBy) {
		return n.GroupBy[c], true
	}
	return 0, false
}

func (d *distinct) restrict(r restriction) {
	if r, ok := r.mapped(func(c int) (int, bool) { return d.cols[c], true }); ok {
		restrict(d.in, r)
	}
}

func (g *gather) restrict(r restriction) {
	if g.out == nil {
		for _, op := range g.w.ops {
			restrict(op, r)
		}
	}
}

// restrict passes a restriction on the output to the inputs; one on keys is one on both sides' keys.
func (j *hashJoin) restrict(r restriction) {
	if j.opened || j.n.Kind == plan.Right || j.n.Kind == plan.Full || j.n.Kind == plan.NullAnti {
		return
	}
	width := len(j.leftTypes)
	toLeft := func(c int) (int, bool) {
		if c < width {
			return c, true
		}
		for k, key := range j.n.RightKeys {
			if key == c-width && j.n.Kind == plan.Inner {
				return j.n.LeftKeys[k], true
			}
		}
		return 0, false
	}
	toRight := func(c int) (int, bool) {
		if c >= width {
			return c - width, j.n.Kind == plan.Inner
		}
		for k, key := range j.n.LeftKeys {
			if key == c {
				return j.n.RightKeys[k], true
			}
		}
		return 0, false
	}
	if left, ok := r.mapped(toLeft); ok {
		restrict(j.left, left)
	}
	if right, ok := r.mapped(toRight); ok && (j.shared == nil || j.shared.joins[0] == j) {
		restrict(j.right, right)
	}
}

// passOn tells the probe side which keys the build side has.
func (j *hashJoin) passOn() {
	if j.n.Kind != plan.Inner && j.n.Kind != plan.Semi || len(j.n.LeftKeys) == 0 {
		return
	}
	cols := j.n.LeftKeys
	if j.leftBuilt {
		cols = j.n.RightKeys
	}
	restrict(j.probe.op, restriction{cols: cols, keys: j.build.table})
}

// scanRestriction is a restriction of a scan. One that drops little is given up.
type scanRestriction struct {
	cols       []int
	lookup     *grouper
	seen, kept int64
}

// restrictAfter is the number of rows after which a restriction must have dropped a quarter of them.
const restrictAfter = 16 * delta.BatchRows

func (s *blockScan) restrict(r restriction) {
	s.restrictions = append(s.restrictions, &scanRestriction{cols: r.cols, lookup: r.keys.over(r.cols)})
}

// decide returns which of the rows have one of the keys; nil: all, or nobody has looked.
func (r *scanRestriction) decide(ch *delta.Chunk) []int32 {
	keep := make([]int32, 0, ch.Rows)
	for i, id := range r.lookup.find(ch) {
		if id != noGroup {
			keep = append(keep, int32(i))
		}
	}
	r.seen += int64(ch.Rows)
	r.kept += int64(len(keep))
	if len(keep) == ch.Rows {
		return nil
	}
	return keep
}

func (r *scanRestriction) pays() bool { return r.seen < restrictAfter || r.kept*4 < r.seen*3 }
