package plan

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Watermark stands above a source or the writes to a table. For each split, in the order of its offsets, the
// watermark is the greatest value of Bound so far; a row whose Col is below it, or NULL, is late and dropped.
type Watermark struct {
	Input Node
	Col   int
	Bound expr.Expr // over the input's columns, of Col's type
	// IdleMicros: a split without rows for so long no longer holds the others back; 0: never.
	IdleMicros int64
	State      int // per split: watermark, late rows
}

// EmitOnClose holds the changes of its input back until the watermarks of all the columns Cols have passed a row, when
// nothing can change it any more; then the row leaves, once.
type EmitOnClose struct {
	Input Node
	Cols  []int
	Dist  []int // columns by whose hash the input is spread; nil: one actor
	State int
}

// Mark says how the watermark of an output column follows from those of the inputs: it is the least of From. A leaf's
// mark has no From: the leaf makes it.
type Mark struct {
	Col  int
	From []MarkFrom
	// Padded: the column is NULL in rows that its side of a full join is not in. Such a column tells nothing by itself (MarkCols leaves it out).
	Padded bool
}

// MarkFrom is the watermark of an input's column, carried over by a function that never falls.
type MarkFrom struct {
	Port, Col int
	Expr      expr.Expr // over the input's columns, of which it reads Col only; nil: as it is
	Hop       *Hop      // the bound of the earliest window with the watermark in it
	End       bool      // its end rather than its start
	Plus      int64     // added to the watermark, in the column's unit
}

// Marks lists the output columns of n that have a watermark: from some time on, no change concerns a row in which the
// column is below it.
func Marks(n Node) []Mark {
	switch x := n.(type) {
	case *TableScan:
		out := make([]Mark, len(x.Watermarks))
		for i, c := range x.Watermarks {
			out[i] = Mark{Col: c}
		}
		return out
	case *Watermark:
		out := slices.DeleteFunc(keepMarks(x.Input, nil), func(m Mark) bool { return m.Col == x.Col })
		return append(out, Mark{Col: x.Col})
	case *EmitOnClose:
		return keepMarks(x.Input, x.Cols)
	case *Filter, *Exchange, *Share, *Materialize, *Sink, *Sort:
		return keepMarks(n.Children()[0], nil)
	case *TableFunc:
		if x.Input != nil {
			return keepMarks(x.Input, nil)
		}
	case *Hop:
		return hopMarks(x)
	case *Expand:
		return expandMarks(x)
	case *Session: // a session that has ended by the watermark takes no more rows
		if slices.Contains(MarkCols(x.Input), x.TimeCol) {
			return []Mark{{Col: len(x.Input.Columns()) + 1, From: []MarkFrom{{Col: x.TimeCol, Plus: 1}}}}
		}
	case *Project:
		return projectMarks(x)
	case *PreAgg:
		return partitionMarks(x.Input, x.GroupBy)
	case *Agg:
		return groupMarks(x.Input, x.GroupBy)
	case *TopN:
		return partitionMarks(x.Input, x.PartitionBy)
	case *MaxOneRow:
		return partitionMarks(x.Input, x.PartitionBy)
	case *Window:
		return windowMarks(x)
	case *Union:
		return commonMarks(x.Inputs)
	case *SetOp:
		return commonMarks([]Node{x.Left, x.Right})
	case *Join:
		return joinMarks(x)
	}
	return nil
}

// MarkCols lists the columns of n that have a watermark, ascending.
func MarkCols(n Node) []int {
	out := []int{}
	for _, m := range Marks(n) {
		if !m.Padded {
			out = append(out, m.Col)
		}
	}
	slices.Sort(out)
	return out
}

// keepMarks are those of an operator that keeps its input's columns, restricted to only (nil: all).
func keepMarks(in Node, only []int) []Mark {
	var out []Mark
	for _, c := range MarkCols(in) {
		if only == nil || slices.Contains(only, c) {
			out = append(out, Mark{Col: c, From: []MarkFrom{{Col: c}}})
		}
	}
	return out
}

// partitionMarks: a row may change when another of its partition comes, so only the partition's columns keep theirs.
func partitionMarks(in Node, partition []int) []Mark {
	if len(partition) == 0 {
		return nil
	}
	return keepMarks(in, partition)
}

// windowMarks: besides the partition's columns, the first column of the order keeps its watermark if every function looks at
// rows up to a row's peers only: those that still come stand behind. If frames end a fixed time ahead, the watermark is behind by as much.
func windowMarks(x *Window) []Mark {
	out := partitionMarks(x.Input, x.PartitionBy)
	if len(x.OrderBy) == 0 || x.OrderBy[0].Desc || x.OrderBy[0].NullsFirst {
		return out
	}
	col := x.OrderBy[0].Col
	if slices.ContainsFunc(out, func(m Mark) bool { return m.Col == col }) {
		return out
	}
	ahead := int64(0)
	for _, f := range x.Funcs {
		by, ok := looksAhead(f, x)
		if !ok {
			return out
		}
		ahead = max(ahead, by)
	}
	for _, m := range keepMarks(x.Input, []int{col}) {
		m.From[0].Plus = -ahead
		out = append(out, m)
	}
	return out
}

// looksAhead returns how far behind a row's place in the order, in the unit of its first column, the rows lie at most that a function looks at.
func looksAhead(f WindowFunc, x *Window) (by int64, ok bool) {
	if looksBack(f, x.Input) {
		return 0, true
	}
	end := f.Frame.End
	if f.Frame.Mode != 'A' || f.Frame.Exclude != 0 || end.Kind != Following || end.Offset == nil || !readsFrame(f) {
		return 0, false
	}
	t := x.Input.Columns()[x.OrderBy[0].Col].Type
	by, ok = lengthOf(end.Offset, t)
	if t.Kind == sqltypes.KDate { // the offset is an interval, the watermark counts days
		by = (by + microsPerDay - 1) / microsPerDay
	}
	return by, ok && by >= 0
}

// readsFrame says that a function is one of the rows of its frame.
func readsFrame(f WindowFunc) bool {
	switch f.Name {
	case "row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead":
		return false
	}
	return true
}

// looksBack says that a function's value for a row depends on rows up to its peers only.
func looksBack(f WindowFunc, in Node) bool {
	switch f.Name {
	case "row_number", "rank", "dense_rank":
		return true
	case "lag":
		return len(f.Args) < 2 || isOffset(in, f.Args[1])
	case "lead", "ntile", "percent_rank", "cume_dist":
		return false
	}
	end := f.Frame.End.Kind
	return f.Frame.Mode != 0 && f.Frame.Exclude == 0 && (end == CurrentRow || end == Preceding)
}

// isOffset says that a column is a constant that is not negative.
func isOffset(in Node, col int) bool {
	p, ok := in.(*Project)
	if !ok {
		return false
	}
	c, ok := p.Exprs[col].(*expr.Const)
	if !ok {
		return false
	}
	v, ok := c.Val.(int64)
	return ok && v >= 0
}

func groupMarks(in Node, groups []int) []Mark {
	have := MarkCols(in)
	var out []Mark
	for i, g := range groups {
		if slices.Contains(have, g) {
			out = append(out, Mark{Col: i, From: []MarkFrom{{Col: g}}})
		}
	}
	return out
}

func hopMarks(x *Hop) []Mark {
	out := keepMarks(x.Input, nil)
	if !slices.ContainsFunc(out, func(m Mark) bool { return m.Col == x.TimeCol }) {
		return out
	}
	w := len(x.Input.Columns())
	return append(out, Mark{Col: w, From: []MarkFrom{{Col: x.TimeCol, Hop: x}}},
		Mark{Col: w + 1, From: []MarkFrom{{Col: x.TimeCol, Hop: x, End: true}}})
}

// expandMarks: the copy of a key that every grouping set has is never made NULL.
func expandMarks(x *Expand) []Mark {
	out := keepMarks(x.Input, nil)
	for _, m := range out {
		k := slices.Index(x.Keys, m.Col)
		if k >= 0 && !slices.ContainsFunc(x.Sets, func(s []bool) bool { return !s[k] }) {
			out = append(out, Mark{Col: len(x.Input.Columns()) + k, From: m.From})
		}
	}
	return out
}

func projectMarks(x *Project) []Mark {
	have := MarkCols(x.Input)
	var out []Mark
	if j, ok := x.Input.(*Join); ok {
		out = append(out, mergedMarks(x, j)...)
	}
	for i, e := range x.Exprs {
		c, ok := rising(e)
		if !ok || !slices.Contains(have, c) {
			continue
		}
		from := MarkFrom{Col: c}
		if _, plain := e.(*expr.Col); !plain {
			from.Expr = e
		}
		out = append(out, Mark{Col: i, From: []MarkFrom{from}})
	}
	return out
}

// mergedMarks: a row of a full join has its key from either side, and COALESCE of both is never NULL. It stands for the watermark that the join
// itself cannot have, as each side may be padded.
func mergedMarks(x *Project, j *Join) []Mark {
	if j.Kind != Full {
		return nil
	}
	left, right, ok := ClosingKey(j)
	if !ok {
		return nil
	}
	var out []Mark
	for i, e := range x.Exprs {
		if c, ok := e.(*expr.Coalesce); ok && len(c.Args) == 2 && isColumn(c.Args[0], left, len(j.Left.Columns())+right) &&
			isColumn(c.Args[1], left, len(j.Left.Columns())+right) {
			out = append(out, Mark{Col: i, From: []MarkFrom{{Col: left}}})
		}
	}
	return out
}

func isColumn(e expr.Expr, one, other int) bool {
	c, ok := e.(*expr.Col)
	return ok && (c.Index == one || c.Index == other)
}

// rising recognises an expression that never falls when the only column that it reads rises. Months are of different
// lengths and days of a time zone too, so adding them may turn the order of two times round.
func rising(e expr.Expr) (col int, ok bool) {
	switch x := e.(type) {
	case *expr.Col:
		return x.Index, true
	case *expr.ToDomain:
		return rising(x.Arg)
	case *expr.Cast:
		from, to := x.Arg.Type().Kind, x.Ty.Kind
		if isTimeLine(from) && isTimeLine(to) && (from == sqltypes.KTimestamptz) == (to == sqltypes.KTimestamptz) {
			return rising(x.Arg)
		}
	case *expr.Call:
		name, _, _ := strings.Cut(x.Sig, "(")
		switch {
		case len(x.Args) == 2 && (name == "+" || name == "-") && isTimeLine(x.Args[0].Type().Kind) && fixedLength(x.Args[1], x.Args[0].Type()):
			return rising(x.Args[0])
		case len(x.Args) == 2 && name == "+" && isTimeLine(x.Args[1].Type().Kind) && fixedLength(x.Args[0], x.Args[1].Type()):
			return rising(x.Args[1])
		case name == "date_trunc" && len(x.Args) == 2 && x.Args[1].Type().Kind == sqltypes.KTimestamp && isConst(x.Args[0]):
			return rising(x.Args[1])
		}
	}
	return 0, false
}

func isTimeLine(k sqltypes.Kind) bool {
	return k == sqltypes.KTimestamp || k == sqltypes.KTimestamptz || k == sqltypes.KDate
}

func isConst(e expr.Expr) bool {
	c, ok := e.(*expr.Const)
	return ok && c.Val != nil
}

// fixedLength recognises a constant that moves every value of a time type by the same length.
func fixedLength(e expr.Expr, t sqltypes.Type) bool {
	_, ok := lengthOf(e, t)
	return ok
}

// lengthOf is by how much a constant moves every value of a type whose values are on a line, in the type's unit; not ok when that depends on
// the value.
func lengthOf(e expr.Expr, t sqltypes.Type) (by int64, ok bool) {
	c, ok := e.(*expr.Const)
	if !ok {
		return 0, false
	}
	switch v := c.Val.(type) {
	case datetime.Interval:
		return v.Micros + int64(v.Days)*microsPerDay, v.Months == 0 && (v.Days == 0 || t.Kind != sqltypes.KTimestamptz)
	case int64:
		return v, t.Kind == sqltypes.KDate || t.Kind == sqltypes.KInt8
	}
	return 0, false
}

// commonMarks: rows of any input may change an output row.
func commonMarks(inputs []Node) []Mark {
	var out []Mark
	for _, c := range MarkCols(inputs[0]) {
		m := Mark{Col: c}
		for port, in := range inputs {
			if !slices.Contains(MarkCols(in), c) {
				m.From = nil
				break
			}
			m.From = append(m.From, MarkFrom{Port: port, Col: c})
		}
		if m.From != nil {
			out = append(out, m)
		}
	}
	return out
}

// ClosingKey finds a pair of key columns of a join with a watermark on both sides: when the lower of them has passed a key,
// nothing changes there any more.
func ClosingKey(x *Join) (left, right int, ok bool) {
	if x.Kind == NullAnti {
		return 0, 0, false
	}
	l, r := MarkCols(x.Left), MarkCols(x.Right)
	for i, lk := range x.LeftKeys {
		rk := x.RightKeys[i]
		if slices.Contains(l, lk) && slices.Contains(r, rk) && x.Left.Columns()[lk].Type.Kind == x.Right.Columns()[rk].Type.Kind {
			return lk, rk, true
		}
	}
	return 0, 0, false
}

// joinMarks: a row of one side changes the rows that it meets, whatever their times, unless their times are equal. A
// side that is padded with NULL has no watermarks in the output.
func joinMarks(x *Join) []Mark {
	if x.Kind == NullAnti {
		return nil
	}
	l, r := MarkCols(x.Left), MarkCols(x.Right)
	lw := len(x.Left.Columns())
	var out []Mark
	add := func(m Mark) {
		if !slices.ContainsFunc(out, func(o Mark) bool { return o.Col == m.Col }) {
			out = append(out, m)
		}
	}
	for i, lk := range x.LeftKeys {
		rk := x.RightKeys[i]
		if !slices.Contains(l, lk) || !slices.Contains(r, rk) || x.Left.Columns()[lk].Type.Kind != x.Right.Columns()[rk].Type.Kind {
			continue
		}
		from := []MarkFrom{{Port: 0, Col: lk}, {Port: 1, Col: rk}}
		if x.Kind != Right {
			add(Mark{Col: lk, From: from, Padded: x.Kind == Full})
		}
		if x.Kind == Inner || x.Kind == Right || x.Kind == Full {
			add(Mark{Col: lw + rk, From: from, Padded: x.Kind == Full})
		}
	}
	left, right := x.Kind.Padded()
	for _, b := range JoinBounds(x) {
		if b.Later < lw && left || b.Later >= lw && (right || x.Kind >= Semi) {
			continue
		}
		// A pair comes into being, or goes, with one of its rows: a new one of the earlier side meets no row of the later side below the bound.
		m := Mark{Col: b.Later, From: []MarkFrom{{Port: 0, Col: b.Later}, {Port: 1, Col: b.Earlier - lw, Plus: b.Shift}}}
		if b.Later >= lw {
			m.From = []MarkFrom{{Port: 1, Col: b.Later - lw}, {Port: 0, Col: b.Earlier, Plus: b.Shift}}
		}
		add(m)
	}
	return out
}

// JoinBound is a condition of a join on two columns with watermarks, one of each side (columns of the output): the later one is never
// below the earlier one plus Shift, in their own unit.
type JoinBound struct {
	Later, Earlier int
	Shift          int64
}

// JoinBounds finds the bounds in the condition of a join. A row of the later side has met all that it can meet when the earlier
// side's watermark has passed it by less Shift: from then on nothing changes there that it meets.
func JoinBounds(x *Join) []JoinBound {
	if x.Kind == NullAnti || x.Cond == nil {
		return nil
	}
	lw := len(x.Left.Columns())
	l, r := MarkCols(x.Left), MarkCols(x.Right)
	if len(l) == 0 || len(r) == 0 {
		return nil
	}
	marked := func(c int) bool { return c < lw && slices.Contains(l, c) || c >= lw && slices.Contains(r, c-lw) }
	var out []JoinBound
	for _, e := range expr.Conjuncts(x.Cond) {
		c, ok := e.(*expr.Call)
		if !ok || len(c.Args) != 2 {
			continue
		}
		name, _, _ := strings.Cut(c.Sig, "(")
		low, high := c.Args[0], c.Args[1]
		switch name {
		case "<=", "<":
		case ">=", ">":
			low, high = high, low
		default:
			continue
		}
		a, shiftA, okA := movedColumn(low)
		b, shiftB, okB := movedColumn(high)
		if !okA || !okB || (a.Index < lw) == (b.Index < lw) || a.Ty.Kind != b.Ty.Kind || !marked(a.Index) || !marked(b.Index) {
			continue
		}
		out = append(out, JoinBound{Later: b.Index, Earlier: a.Index, Shift: shiftA - shiftB})
	}
	return out
}

// JoinExpiry returns, for the left and the right side of a join, the bound by which rows are forgotten; nil: they are kept.
//
// A row that takes the padding from rows of the other side is needed until those are forgotten: they count their matches anew after a restart. So
// both sides need a bound then, on the same columns.
func JoinExpiry(x *Join) (sides [2]*JoinBound) {
	lw := len(x.Left.Columns())
	for _, b := range JoinBounds(x) {
		p := 0
		if b.Later >= lw {
			p = 1
		}
		// Of several bounds of a column the one that comes first.
		if old := sides[p]; old == nil || old.Later == b.Later && old.Earlier == b.Earlier && old.Shift < b.Shift {
			sides[p] = &b
		}
	}
	left, right := x.Kind.Preserved()
	l, r := sides[0], sides[1]
	pair := l != nil && r != nil && l.Later == r.Earlier && r.Later == l.Earlier
	if right && !pair {
		sides[0] = nil
	}
	if left && !pair {
		sides[1] = nil
	}
	return sides
}

// movedColumn recognises a column of a time type moved by constants of a fixed length, in the column's unit.
func movedColumn(e expr.Expr) (col *expr.Col, by int64, ok bool) {
	switch x := e.(type) {
	case *expr.Col:
		return x, 0, isTimeLine(x.Ty.Kind) || x.Ty.Kind == sqltypes.KInt8
	case *expr.Call:
		name, _, _ := strings.Cut(x.Sig, "(")
		if len(x.Args) != 2 || name != "+" && name != "-" || x.Ty.Kind != x.Args[0].Type().Kind {
			return nil, 0, false
		}
		move, fixed := lengthOf(x.Args[1], x.Ty)
		if col, by, ok = movedColumn(x.Args[0]); !ok || !fixed {
			return nil, 0, false
		}
		if name == "-" {
			move = -move
		}
		return col, by + move, true
	}
	return nil, 0, false
}

const microsPerDay = 24 * 3600 * 1_000_000
