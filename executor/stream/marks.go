package stream

import (
	"math"
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Mark is what a column's watermark is, at a barrier, as far as one origin goes: no change after the barrier that comes from
// there concerns a row in which the column is below Value. It is in the column's own unit.
type Mark struct {
	Col    int
	Origin int   // the leaf that made it: its state number
	Value  int64 // NoMark: not known yet
	// Rests: this actor's share of the origin does not hold back that of others.
	Rests bool
}

// NoMark is below every value.
const NoMark = math.MinInt64

// Marks are the watermarks at a barrier. A column has as many entries as there are origins that its rows come from; one that
// is not listed has no watermark.
type Marks []Mark

// Of returns a column's watermark, the least of its origins'.
func (m Marks) Of(col int) (v int64, ok bool) {
	v = math.MaxInt64
	for _, x := range m {
		if x.Col == col {
			v, ok = min(v, x.Value), true
		}
	}
	return v, ok && v != NoMark
}

// Merge returns what holds for two actors of a fragment together.
func (m Marks) Merge(o Marks) Marks {
	out := make(Marks, 0, len(m))
	for _, x := range m {
		i := slices.IndexFunc(o, func(y Mark) bool { return y.Col == x.Col && y.Origin == x.Origin })
		if i < 0 {
			x.Value, x.Rests = NoMark, false
		} else {
			x = x.merge(o[i])
		}
		out = append(out, x)
	}
	return out
}

func (x Mark) merge(y Mark) Mark {
	switch {
	case x.Rests && y.Rests:
		x.Value = max(x.Value, y.Value)
	case x.Rests:
		return y
	case !y.Rests:
		x.Value = min(x.Value, y.Value)
	}
	return x
}

// add puts a mark in; two of one origin hold together.
func (m Marks) add(x Mark) Marks {
	for i := range m {
		if y := &m[i]; y.Col == x.Col && y.Origin == x.Origin {
			y.Value, y.Rests = min(x.Value, y.Value), x.Rests && y.Rests
			return m
		}
	}
	return append(m, x)
}

// MarkRules carries watermarks from an operator's inputs to its output.
type MarkRules struct {
	rules []markRule
	ctx   *expr.Ctx
}

type markRule struct {
	col  int
	from []markFrom
}

type markFrom struct {
	plan.MarkFrom
	prog expr.Program // over one column
	ty   sqltypes.Type
	hop  *hop
}

// NewMarkRules reads a plan node's rules; nil when none of its columns has a watermark.
func NewMarkRules(n plan.Node, env *Env) (*MarkRules, error) {
	r := &MarkRules{ctx: env.Ctx}
	children := n.Children()
	for _, m := range plan.Marks(n) {
		rule := markRule{col: m.Col}
		for _, f := range m.From {
			in := children[f.Port].Columns()
			x := markFrom{MarkFrom: f, ty: in[f.Col].Type}
			var err error
			if f.Expr != nil {
				x.prog, err = expr.Compile(expr.MapColumns(f.Expr, func(int) int { return 0 }))
			}
			if f.Hop != nil {
				x.hop = hopOf(f.Hop)
			}
			if err != nil {
				return nil, err
			}
			rule.from = append(rule.from, x)
		}
		if rule.from != nil {
			r.rules = append(r.rules, rule)
		}
	}
	if len(r.rules) == 0 {
		return nil, nil
	}
	return r, nil
}

// Out returns the output's marks, given those of the inputs by port.
func (r *MarkRules) Out(in []Marks) Marks {
	if r == nil {
		return nil
	}
	var out Marks
	for i := range r.rules {
		rule := &r.rules[i]
		for k := range rule.from {
			f := &rule.from[k]
			found := false
			if f.Port < len(in) {
				for _, x := range in[f.Port] {
					if x.Col == f.Col {
						found = true
						out = out.add(Mark{Col: rule.col, Origin: x.Origin, Value: f.carry(r.ctx, x.Value), Rests: x.Rests})
					}
				}
			}
			if !found {
				out = out.add(Mark{Col: rule.col, Origin: -1 - f.Port, Value: NoMark})
			}
		}
	}
	return out
}

// carry applies the function between input and output column.
func (f *markFrom) carry(ctx *expr.Ctx, v int64) int64 {
	switch {
	case v == NoMark:
		return v
	case f.hop != nil:
		start, end := f.hop.earliest(v)
		if f.End {
			return end
		}
		return start
	case f.prog != nil:
		out := f.prog.Eval(ctx, delta.NewChunk([]*delta.Vec{delta.IntVec(f.ty, []int64{v})}, nil, 1))
		if ctx.TakeErrs() != nil || out.IsNull(0) {
			return NoMark
		}
		return out.Ints[0]
	}
	return v + f.Plus
}

// closedBy are an operator's columns whose watermarks say which of its rows or groups can change no more.
type closedBy struct {
	cols  []int // of the input
	marks []int64
	moved bool // since it was last asked
}

// newClosedBy makes the tracker for some of the columns of an input with watermarks.
func newClosedBy(cols []int) *closedBy {
	c := &closedBy{cols: cols, marks: make([]int64, len(cols))}
	for i := range c.marks {
		c.marks[i] = NoMark
	}
	return c
}

// set takes the input's watermarks in.
func (c *closedBy) set(m Marks) {
	for i, col := range c.cols {
		if v, ok := m.Of(col); ok && v > c.marks[i] {
			c.marks[i], c.moved = v, true
		}
	}
}

// takeMoved reports whether a watermark has risen since the last call.
func (c *closedBy) takeMoved() bool {
	m := c.moved
	c.moved = false
	return m
}

// late returns the rows of ch that are not below a watermark; dropped counts the others.
func (c *closedBy) late(ch *delta.Chunk) (kept *delta.Chunk, dropped int) {
	if !c.any() {
		return ch, 0
	}
	var sel []int32
	for k := range ch.Len() {
		i := ch.Row(k)
		if c.below(ch, i) {
			if dropped == 0 {
				sel = append(make([]int32, 0, ch.Len()), ch.RowList()[:k]...)
			}
			dropped++
		} else if dropped > 0 {
			sel = append(sel, int32(i))
		}
	}
	if dropped == 0 {
		return ch, 0
	}
	return ch.WithSel(sel), dropped
}

func (c *closedBy) any() bool {
	return slices.ContainsFunc(c.marks, func(m int64) bool { return m != NoMark })
}

func (c *closedBy) below(ch *delta.Chunk, i int) bool {
	for n, col := range c.cols {
		v := ch.Cols[col]
		if !v.IsNull(i) && v.Ints[i] < c.marks[n] {
			return true
		}
	}
	return false
}
