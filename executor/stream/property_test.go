package stream

import (
	"fmt"
	"maps"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The columns of all random tables: few distinct values, so that keys meet, and NULLs.
var tableTypes = []sqltypes.Type{sqltypes.Int8, sqltypes.Text, sqltypes.Numeric, sqltypes.Bool, sqltypes.Timestamp, sqltypes.Float8}

const (
	plainTable  = iota // a bag, with deletes
	growTable          // append-only
	uniqueTable        // append-only, column 0 unique
	keyedTable         // with deletes, column 0 unique
	tableKinds
)

func mustDec(s string) numeric.Dec {
	d, err := numeric.Parse(s)
	if err != nil {
		panic(err)
	}
	return d
}

func randomRow(r *rand.Rand) []sqltypes.Datum {
	row := []sqltypes.Datum{
		int64(r.Intn(6)), []string{"", "a", "b", "a\x00b", "zz"}[r.Intn(5)],
		mustDec([]string{"1.0", "1.00", "2.5", "-3"}[r.Intn(4)]), r.Intn(2) == 0, int64(r.Intn(12)),
		[]float64{0, math.Copysign(0, -1), 1.5, math.NaN(), 1e20, -1e20}[r.Intn(6)],
	}
	for i := range row {
		if r.Intn(7) == 0 {
			row[i] = nil
		}
	}
	return row
}

// signedRow is one signed row of a table.
type signedRow struct {
	table int
	vals  []sqltypes.Datum
	w     int64
}

// world is a set of random tables and their contents.
type world struct {
	r      *rand.Rand
	tables []zset
	used   map[int64]bool // keys that uniqueTable has had
}

func newWorld(r *rand.Rand) *world {
	w := &world{r: r, tables: make([]zset, tableKinds), used: map[int64]bool{}}
	for i := range w.tables {
		w.tables[i] = zset{}
	}
	return w
}

// epoch makes the changes of an epoch, in no order, and applies them.
func (w *world) epoch(size int) []signedRow {
	var out []signedRow
	add := func(t int, vals []sqltypes.Datum, n int64) {
		out = append(out, signedRow{t, vals, n})
		w.tables[t].add(vals, n)
	}
	for range size {
		vals := randomRow(w.r)
		switch t := w.r.Intn(tableKinds); t {
		case plainTable:
			w.changePlain(add, vals)
		case growTable:
			add(t, vals, 1+int64(w.r.Intn(8)/7))
		case uniqueTable:
			if k := int64(w.r.Intn(9)); !w.used[k] {
				w.used[k] = true
				vals[0] = k
				add(t, vals, 1)
			}
		case keyedTable:
			vals[0] = int64(w.r.Intn(7))
			for _, old := range w.tables[t].rows() {
				if old[0] == vals[0] {
					add(t, old, -1)
				}
			}
			if w.r.Intn(3) > 0 {
				add(t, vals, 1)
			}
		}
	}
	w.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (w *world) changePlain(add func(int, []sqltypes.Datum, int64), vals []sqltypes.Datum) {
	have := w.tables[plainTable].rows()
	switch n := w.r.Intn(10); {
	case n < 4 && len(have) > 0 || len(have) > 25:
		add(plainTable, have[w.r.Intn(len(have))], -1)
	case n == 9: // comes and goes within the epoch
		add(plainTable, vals, 2)
		add(plainTable, vals, -2)
	default:
		add(plainTable, vals, 1+int64(w.r.Intn(8)/7))
	}
}

// chunks cuts changes into chunks of one table each, in random interleaving, some with garbage that is not selected.
func (w *world) chunks(changes []signedRow, f func(table int, c *delta.Chunk) error) error {
	for len(changes) > 0 {
		n := min(1+w.r.Intn(6), len(changes))
		part := changes[:n]
		changes = changes[n:]
		for t := range w.tables {
			b := delta.NewBuilder(tableTypes)
			var sel []int32
			for _, ch := range part {
				if ch.table != t {
					continue
				}
				if w.r.Intn(3) == 0 {
					b.AppendDatums(randomRow(w.r), -5)
				}
				sel = append(sel, int32(b.Len()))
				b.AppendDatums(ch.vals, ch.w)
			}
			c := b.Take()
			if c == nil {
				continue
			}
			if c.Sel = sel; len(sel) == c.Rows {
				c.Sel = nil
			}
			if t == uniqueTable || t == growTable {
				plain := true
				for k := range c.Len() {
					plain = plain && c.Weight(c.Row(k)) == 1
				}
				if plain {
					c.Weights = nil
				}
			}
			if err := f(t, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// planner makes random plans.
type planner struct{ r *rand.Rand }

func scanOf(t int) *plan.TableScan {
	s := &plan.TableScan{Table: tableID(t), Name: fmt.Sprint("t", t)}
	for i, ty := range tableTypes {
		s.Cols, s.Out = append(s.Cols, i), append(s.Out, plan.Column{Name: fmt.Sprint("c", i), Type: ty})
	}
	s.AppendOnly = t == growTable || t == uniqueTable
	if t == uniqueTable || t == keyedTable {
		s.UniqueKeys = [][]int{{0}}
	}
	return s
}

func (p *planner) node(depth int) plan.Node {
	if depth == 0 {
		return scanOf(p.r.Intn(tableKinds))
	}
	switch p.r.Intn(18) {
	case 17:
		return p.rangeJoin(p.node(depth-1), p.node(p.r.Intn(depth)))
	case 16:
		return p.dynamicFilter(p.node(depth-1), p.node(p.r.Intn(depth)))
	case 15:
		return p.asofJoin(p.node(depth-1), p.node(p.r.Intn(depth)))
	case 12:
		return p.oneRow(p.node(depth - 1))
	case 13, 14:
		return p.window(p.node(depth - 1))
	case 0:
		return p.filter(p.node(depth - 1))
	case 1:
		return p.project(p.node(depth - 1))
	case 2, 3, 4:
		return p.join(p.node(depth-1), p.node(p.r.Intn(depth)))
	case 5, 6, 7:
		return p.agg(p.node(depth - 1))
	case 8, 9:
		return p.topN(p.node(depth - 1))
	case 10:
		n := p.node(depth - 1)
		return &plan.Union{Inputs: []plan.Node{n, n}}
	default:
		return p.setOp(p.node(depth - 1))
	}
}

// some picks up to n columns of a type for which ok holds.
func (p *planner) some(n plan.Node, max int, ok func(t sqltypes.Type) bool) []int {
	var out []int
	types := plan.Types(n)
	for _, i := range p.r.Perm(len(types)) {
		if len(out) < max && (ok == nil || ok(types[i])) {
			out = append(out, i)
		}
	}
	return out
}

func isInt(t sqltypes.Type) bool  { return t.Kind == sqltypes.KInt8 }
func isBool(t sqltypes.Type) bool { return t.Kind == sqltypes.KBool }

func column(n plan.Node, i int) expr.Expr { return &expr.Col{Index: i, Ty: n.Columns()[i].Type} }

func intConst(v int64) expr.Expr { return &expr.Const{Ty: sqltypes.Int8, Val: v} }

func less(a, b expr.Expr) expr.Expr {
	return &expr.Call{Sig: "<(bigint,bigint)", Args: []expr.Expr{a, b}, Ty: sqltypes.Bool}
}

func (p *planner) filter(in plan.Node) plan.Node {
	c := p.some(in, 1, isInt)
	if len(c) == 0 {
		return in
	}
	return &plan.Filter{Input: in, Cond: less(column(in, c[0]), intConst(4))}
}

func (p *planner) project(in plan.Node) plan.Node {
	n := &plan.Project{Input: in}
	for _, c := range p.some(in, 1+p.r.Intn(5), nil) {
		n.Exprs, n.Names = append(n.Exprs, column(in, c)), append(n.Names, "x")
	}
	return n
}

func (p *planner) join(l, r plan.Node) plan.Node {
	n := &plan.Join{Kind: plan.JoinKind(p.r.Intn(7)), Left: l, Right: r}
	rt := plan.Types(r)
	for _, i := range p.some(l, 3, func(t sqltypes.Type) bool { return t.Kind != sqltypes.KBool }) {
		var same []int
		for k, t := range rt {
			if t == l.Columns()[i].Type {
				same = append(same, k)
			}
		}
		if len(same) > 0 && len(n.LeftKeys) < 2 && p.r.Intn(3) > 0 {
			n.LeftKeys, n.RightKeys = append(n.LeftKeys, i), append(n.RightKeys, same[p.r.Intn(len(same))])
			n.NullSafe = append(n.NullSafe, p.r.Intn(3) == 0)
		}
	}
	a, b := p.some(l, 1, isInt), p.some(r, 1, isInt)
	if len(a) > 0 && len(b) > 0 && p.r.Intn(2) == 0 {
		n.Cond = less(column(l, a[0]), &expr.Col{Index: len(l.Columns()) + b[0], Ty: sqltypes.Int8})
	}
	return n
}

// rangeJoin is a join with up to three comparisons of columns, and sometimes a further condition.
func (p *planner) rangeJoin(l, r plan.Node) plan.Node {
	n := p.join(l, r).(*plan.Join)
	if n.Kind == plan.NullAnti {
		n.Kind = plan.JoinKind(p.r.Intn(6))
	}
	var conds []expr.Expr
	if n.Cond != nil {
		conds = append(conds, n.Cond)
	}
	x := &plan.JoinRange{}
	value := func(to *[]expr.Expr, e expr.Expr) int {
		for i, have := range *to {
			if have.(*expr.Col).Index == e.(*expr.Col).Index {
				return i
			}
		}
		*to = append(*to, e)
		return len(*to) - 1
	}
	lw := len(l.Columns())
	for range 1 + p.r.Intn(3) {
		for _, a := range p.some(l, 1, nil) {
			t := l.Columns()[a].Type
			for _, b := range p.some(r, 1, func(o sqltypes.Type) bool { return o == t }) {
				op := []string{"<", "<=", ">", ">="}[p.r.Intn(4)]
				conds = append(conds, &expr.Call{Sig: op + "(" + t.String() + "," + t.String() + ")", Ty: sqltypes.Bool,
					Args: []expr.Expr{column(l, a), &expr.Col{Index: lw + b, Ty: t}}})
				x.Compare = append(x.Compare, plan.RangeCompare{Op: op, Left: value(&x.Left, column(l, a)), Right: value(&x.Right, column(r, b))})
			}
		}
	}
	if n.Cond = expr.And(conds); x.Compare != nil {
		n.Range = x
	}
	return n
}

// dynamicFilter compares with the least or greatest value of r.
func (p *planner) dynamicFilter(l, r plan.Node) plan.Node {
	a, b := p.some(l, 1, isInt), p.some(r, 1, isInt)
	if len(a) == 0 || len(b) == 0 {
		return l
	}
	f := "max(bigint)"
	if p.r.Intn(2) == 0 {
		f = "min(bigint)"
	}
	bound := &plan.Agg{Input: r, Scalar: true, Aggs: []plan.AggCall{{Sig: f, Args: b, ArgTypes: []sqltypes.Type{sqltypes.Int8}, Result: sqltypes.Int8, Filter: -1}}}
	op := []string{"<", "<=", ">", ">="}[p.r.Intn(4)]
	n := &plan.DynamicFilter{Input: l, Bound: bound, Col: a[0], Op: op}
	if p.r.Intn(2) == 0 {
		n.Dist = p.some(l, 1, nil)
	}
	n.Cond = &expr.Call{Sig: op + "(bigint,bigint)", Args: []expr.Expr{column(l, a[0]), &expr.Col{Index: len(l.Columns()), Ty: sqltypes.Int8}}, Ty: sqltypes.Bool}
	return n
}

// asofJoin joins on a time or number, in any direction, with a key or without.
func (p *planner) asofJoin(l, r plan.Node) plan.Node {
	j := p.join(l, r).(*plan.Join)
	n := &plan.AsofJoin{Left: l, Right: r, LeftKeys: j.LeftKeys, RightKeys: j.RightKeys, LeftTime: -1,
		Later: p.r.Intn(2) == 0, Strict: p.r.Intn(2) == 0, Outer: p.r.Intn(2) == 0}
	for _, a := range p.some(l, 9, nil) {
		for _, b := range p.some(r, 9, nil) {
			if t := l.Columns()[a].Type; t == r.Columns()[b].Type && t.Kind != sqltypes.KBool {
				n.LeftTime, n.RightTime = a, b
			}
		}
	}
	if n.LeftTime < 0 {
		return j
	}
	return n
}

func (p *planner) agg(in plan.Node) plan.Node {
	n := &plan.Agg{Input: in, GroupBy: p.some(in, p.r.Intn(3), nil)}
	n.Scalar = len(n.GroupBy) == 0
	if p.r.Intn(6) == 0 && len(n.GroupBy) > 0 {
		return n // DISTINCT
	}
	for range 1 + p.r.Intn(4) {
		n.Aggs = append(n.Aggs, p.aggCall(in))
	}
	return n
}

func (p *planner) aggCall(in plan.Node) plan.AggCall {
	a := plan.AggCall{Sig: "count()", Result: sqltypes.Int8, Filter: -1}
	if f := p.some(in, 1, isBool); len(f) > 0 && p.r.Intn(3) == 0 {
		a.Filter = f[0]
	}
	c := p.some(in, 1, nil)
	if len(c) == 0 || p.r.Intn(5) == 0 {
		return a
	}
	t := in.Columns()[c[0]].Type
	a.Args, a.Distinct = c, p.r.Intn(3) == 0
	if p.r.Intn(2) == 0 && p.anyAgg(in, c[0], &a) {
		return a
	}
	switch r := p.r.Intn(3); {
	case t.Kind == sqltypes.KInt8:
		a.Sig = []string{"sum(bigint)", "max(bigint)", "avg(bigint)"}[r]
		a.Result = []sqltypes.Type{sqltypes.Numeric, sqltypes.Int8, sqltypes.Numeric}[r]
	case t.Kind == sqltypes.KText && r == 0:
		a.Sig, a.Result = "max(text)", sqltypes.Text
	case t.Kind == sqltypes.KText:
		a.Sig, a.Result, a.Args = "string_agg(text,text)", sqltypes.Text, []int{c[0], c[0]}
		if o := p.some(in, 1, nil); !a.Distinct {
			a.OrderBy = []plan.SortKey{{Col: o[0], Desc: r == 1}}
		}
	case t.Kind == sqltypes.KNumeric:
		a.Sig = []string{"sum(numeric)", "min(numeric)", "avg(numeric)"}[r]
		a.Result = sqltypes.Numeric
	case t.Kind == sqltypes.KFloat8:
		a.Sig = []string{"sum(double precision)", "min(double precision)", "max(double precision)"}[r]
		a.Result = sqltypes.Float8
	case t.Kind == sqltypes.KBool:
		a.Sig, a.Result = "bool_or(boolean)", sqltypes.Bool
	default:
		a.Sig = `count("any")`
	}
	return a
}

// anyAgg makes a call of any aggregate of the library that takes column c; false when there is none. Objects with NULL keys
// fail, and fractions have to be between 0 and 1 and the same in all rows: those have tests of their own.
func (p *planner) anyAgg(in plan.Node, c int, a *plan.AggCall) bool {
	cols := in.Columns()
	takes := func(want, have sqltypes.Type) bool {
		switch want.Kind {
		case sqltypes.KAny, sqltypes.KAnyElement:
			return true
		case sqltypes.KAnyNonArray:
			return have.Kind != sqltypes.KArray
		}
		return want == have.Base()
	}
	var fits []*expr.AggFunc
	expr.AllAggs(func(f *expr.AggFunc) {
		if f.Direct == 0 && len(f.Args) > 0 && takes(f.Args[0], cols[c].Type) && f.Name != "json_object_agg" && f.Name != "jsonb_object_agg" {
			fits = append(fits, f)
		}
	})
	if len(fits) == 0 {
		return false
	}
	f := fits[p.r.Intn(len(fits))]
	args := []int{c}
	for _, want := range f.Args[1:] {
		more := p.some(in, 1, func(t sqltypes.Type) bool { return takes(want, t) })
		if len(more) == 0 {
			return false
		}
		args = append(args, more[0])
	}
	types := make([]sqltypes.Type, len(args))
	for i, k := range args {
		types[i] = cols[k].Type.Base()
	}
	a.Sig, a.Args, a.Result = f.Sig(), args, f.Result
	if f.ResultOf != nil {
		a.Result = f.ResultOf(types)
	}
	if f.OrderedSet {
		a.OrderBy = []plan.SortKey{{Col: c, Desc: p.r.Intn(2) == 0}}
	}
	return true
}

func (p *planner) topN(in plan.Node) plan.Node {
	n := &plan.TopN{Input: in, PartitionBy: p.some(in, p.r.Intn(2), nil), Limit: int64(p.r.Intn(4)),
		Offset: int64(p.r.Intn(6) / 4), WithTies: p.r.Intn(4) == 0, RowNumber: p.r.Intn(3) == 0}
	if p.r.Intn(8) == 0 {
		n.Limit = -1
	}
	for _, c := range p.some(in, 1+p.r.Intn(2), nil) {
		n.OrderBy = append(n.OrderBy, plan.SortKey{Col: c, Desc: p.r.Intn(2) == 0, NullsFirst: p.r.Intn(2) == 0})
	}
	return n
}

// oneRow is a correlated scalar subquery, or rarely one that is not.
func (p *planner) oneRow(in plan.Node) plan.Node {
	return &plan.MaxOneRow{Input: in, PartitionBy: p.some(in, (5+p.r.Intn(8))/6, nil)}
}

// split makes the two halves of a scalar aggregation over the union of some inputs of the same columns, each with a
// first half of its own; nil when an aggregate cannot be split.
func (p *planner) split(inputs ...plan.Node) plan.Node {
	final := &plan.Agg{Input: &plan.Union{}, Scalar: true, Phase: plan.AggFinal}
	var calls []plan.AggCall
	for range 1 + p.r.Intn(3) {
		c := p.aggCall(inputs[0])
		f, _ := expr.AggBySig(c.Sig)
		if c.Distinct || f.Ordered || f.Fixed == nil || f.Fixed.Merge == nil {
			return nil
		}
		for _, in := range inputs {
			if !f.Invertible && !plan.AppendOnly(in) {
				return nil
			}
		}
		last := plan.AggCall{Sig: c.Sig, Args: []int{len(calls)}, Filter: -1, Result: c.Result}
		c.Result = sqltypes.Bytea
		calls, final.Aggs = append(calls, c), append(final.Aggs, last)
	}
	u := final.Input.(*plan.Union)
	for _, in := range inputs {
		u.Inputs = append(u.Inputs, &plan.Agg{Input: in, Aggs: calls, Phase: plan.AggPartial})
	}
	return final
}

// folded makes an aggregation over the union of some inputs of the same columns, each of which has its hot groups folded; nil when an
// aggregate cannot be split.
func (p *planner) folded(inputs ...plan.Node) plan.Node {
	var final *plan.Agg
	if p.r.Intn(4) == 0 {
		final = &plan.Agg{Merges: true}
	} else if s, ok := p.split(inputs...).(*plan.Agg); ok {
		final = &plan.Agg{Merges: true, Aggs: s.Input.(*plan.Union).Inputs[0].(*plan.Agg).Aggs}
		final.Aggs = slices.Clone(final.Aggs)
		for i := range final.Aggs {
			final.Aggs[i].Result = s.Aggs[i].Result
		}
	} else {
		return nil
	}
	if final.GroupBy = p.some(inputs[0], 1+p.r.Intn(2), nil); len(final.GroupBy) == 0 {
		return nil
	}
	u := &plan.Union{}
	for _, in := range inputs {
		u.Inputs = append(u.Inputs, &plan.PreAgg{Input: in, GroupBy: final.GroupBy, Aggs: final.Aggs})
	}
	final.Input = u
	return final
}

func (p *planner) setOp(l plan.Node) plan.Node {
	cols := p.some(l, 2, nil)
	one := func(in plan.Node) plan.Node {
		x := &plan.Project{Input: in}
		for _, c := range cols {
			x.Exprs, x.Names = append(x.Exprs, column(in, c)), append(x.Names, "x")
		}
		return x
	}
	return &plan.SetOp{Left: one(l), Right: one(p.filter(l)), Except: p.r.Intn(2) == 0, All: p.r.Intn(2) == 0}
}

// TestViewEqualsRecompute runs random plans over random changes, with restarts from checkpoints, and compares
// the sum of the output with the plan evaluated from scratch at each barrier.
func TestViewEqualsRecompute(t *testing.T) {
	seeds := 600
	if testing.Short() {
		seeds = 100
	}
	defer func(s, n int64) { smallPartition, nearRows = s, n }(smallPartition, nearRows)
	for seed := int64(1); seed <= int64(seeds); seed++ {
		r := rand.New(rand.NewSource(seed))
		smallPartition, nearRows = []int64{0, 4, 48}[r.Intn(3)], []int64{1, 128}[r.Intn(2)]
		n := (&planner{r}).node(1 + r.Intn(3))
		runProperty(t, fmt.Sprintf("seed %d: %s", seed, describe(n)), n, r, 12)
	}
}

// TestOperatorEqualsRecompute does the same for each operator by itself, over each kind of table.
func TestOperatorEqualsRecompute(t *testing.T) {
	for seed := int64(1); seed <= 12; seed++ {
		r := rand.New(rand.NewSource(1000 + seed))
		p := &planner{r}
		for table := range tableKinds {
			in := scanOf(table)
			for range 4 {
				for _, n := range []plan.Node{p.agg(in), p.topN(in), p.window(in), p.setOp(in), p.oneRow(in), p.dynamicFilter(in, scanOf(r.Intn(tableKinds))), p.asofJoin(in, scanOf(r.Intn(tableKinds))), p.join(in, scanOf(r.Intn(tableKinds))), p.rangeJoin(in, scanOf(r.Intn(tableKinds))), p.rangeJoin(scanOf(r.Intn(tableKinds)), in),
					p.join(scanOf(r.Intn(tableKinds)), in)} {
					runProperty(t, fmt.Sprintf("seed %d table %d: %s", seed, table, describe(n)), n, r, 6)
				}
			}
		}
	}
}

// TestSplitAggEqualsRecompute does it for aggregations in two halves: the first ones run over several inputs, as in
// several actors, and see one chunk at a time.
func TestSplitAggEqualsRecompute(t *testing.T) {
	defer func(n int32) { hotRows = n }(hotRows)
	hotRows = 2
	done := 0
	for seed := int64(1); done < 300; seed++ {
		r := rand.New(rand.NewSource(2000 + seed))
		p := &planner{r}
		var inputs []plan.Node
		for range 1 + r.Intn(3) {
			var in plan.Node = scanOf(r.Intn(tableKinds))
			if r.Intn(3) == 0 {
				in = scanOf(growTable + r.Intn(2)) // for min and max
			}
			if r.Intn(3) == 0 {
				in = p.filter(in)
			}
			inputs = append(inputs, in)
		}
		n := p.split(inputs...)
		if r.Intn(2) == 0 {
			n = p.folded(inputs...)
		}
		if n != nil {
			done++
			runProperty(t, fmt.Sprintf("seed %d: %s", seed, describe(n)), n, r, 8)
		}
	}
}

// TestLinearEqualsRecompute covers the operators that random plans do not contain.
func TestLinearEqualsRecompute(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	in := scanOf(plainTable)
	ints := []plan.Column{{Name: "v", Type: sqltypes.Int8}}
	series := func(outer, ord bool) plan.Node {
		return &plan.TableFunc{Input: in, Sig: "generate_series(bigint,bigint,bigint)", Args: []expr.Expr{intConst(1), column(in, 0)},
			Out: ints, Outer: outer, WithOrdinality: ord}
	}
	vals := &plan.Values{Rows: [][]expr.Expr{{intConst(1)}, {intConst(2)}, {expr.Null(sqltypes.Int8)}}, Out: ints}
	sets := &plan.Expand{Input: in, Keys: []int{1, 0, 1}, Sets: [][]bool{{true, true, false}, {false, true, false}, {false, false, false}, {false, true, false}}}
	w := len(in.Columns())
	one := &plan.Filter{Input: in, Cond: less(column(in, 0), intConst(1))}
	for _, n := range []plan.Node{
		&plan.Hop{Input: in, TimeCol: 4, SizeMicros: 10, SlideMicros: 3, OffsetMicros: 1},
		&plan.Hop{Input: in, TimeCol: 4, SizeMicros: 5, SlideMicros: 5},
		&plan.Hop{Input: in, TimeCol: 4, SizeMicros: 2, SlideMicros: 5},
		series(false, false), series(true, true), vals,
		&plan.TableFunc{Input: in, Args: []expr.Expr{intConst(1), column(in, 0), intConst(1), column(in, 4)}, Out: append(ints[:1:1], ints...),
			Parts: []plan.TableFuncPart{{Sig: "generate_series(bigint,bigint,bigint)", Args: 2, Cols: 1}, {Sig: "generate_series(bigint,bigint,bigint)", Args: 2, Cols: 1}}},
		&plan.Union{Inputs: []plan.Node{vals, &plan.Project{Input: in, Exprs: []expr.Expr{column(in, 0)}, Names: []string{"v"}}}},
		&plan.Join{Kind: plan.Anti, Left: vals, Right: in, LeftKeys: []int{0}, RightKeys: []int{0}},
		sets,
		&plan.Agg{Input: sets, GroupBy: []int{w, w + 1, w + 3}, Aggs: []plan.AggCall{
			{Sig: "count()", Result: sqltypes.Int8, Filter: -1, Name: "n"},
			{Sig: "sum(bigint)", Args: []int{0}, ArgTypes: []sqltypes.Type{sqltypes.Int8}, Result: sqltypes.Numeric, Filter: -1, Name: "s"},
		}},
		&plan.MaxOneRow{Input: one},
		&plan.Join{Kind: plan.Inner, Left: in, Right: &plan.MaxOneRow{Input: one}},
	} {
		for range 20 {
			runProperty(t, describe(n), n, r, 10)
		}
	}
}

func describe(n plan.Node) string {
	var b strings.Builder
	var visit func(n plan.Node, depth int)
	visit = func(n plan.Node, depth int) {
		fmt.Fprintf(&b, "\n%s%T", strings.Repeat("  ", depth), n)
		switch x := n.(type) {
		case *plan.TableScan:
			fmt.Fprint(&b, " ", x.Name)
		case *plan.Join:
			fmt.Fprintf(&b, " kind %d keys %v %v safe %v cond %v", x.Kind, x.LeftKeys, x.RightKeys, x.NullSafe, x.Cond != nil)
			if x.Range != nil {
				fmt.Fprintf(&b, " range %v over %d and %d", x.Range.Compare, len(x.Range.Left), len(x.Range.Right))
			}
		case *plan.Agg:
			fmt.Fprintf(&b, " by %v %+v", x.GroupBy, x.Aggs)
		case *plan.TopN:
			fmt.Fprintf(&b, " by %v order %v limit %d offset %d ties %v numbers %v", x.PartitionBy, x.OrderBy, x.Limit, x.Offset, x.WithTies, x.RowNumber)
		case *plan.Window:
			fmt.Fprintf(&b, " by %v order %v", x.PartitionBy, x.OrderBy)
			for _, f := range x.Funcs {
				fmt.Fprintf(&b, " %s%s%v filter %d frame %c %v exclude %q nulls %v;", f.Name, f.Sig, f.Args, f.Filter, f.Frame.Mode,
					[]any{f.Frame.Start.Kind, shown(f.Frame.Start.Offset), f.Frame.End.Kind, shown(f.Frame.End.Offset)}, f.Frame.Exclude, f.IgnoreNulls)
			}
		case *plan.MaxOneRow:
			fmt.Fprintf(&b, " by %v", x.PartitionBy)
		case *plan.DynamicFilter:
			fmt.Fprintf(&b, " %d %s dist %v", x.Col, x.Op, x.Dist)
		case *plan.AsofJoin:
			fmt.Fprintf(&b, " keys %v %v times %d %d later %v strict %v outer %v", x.LeftKeys, x.RightKeys, x.LeftTime, x.RightTime, x.Later, x.Strict, x.Outer)
		case *plan.SetOp:
			fmt.Fprintf(&b, " except %v all %v", x.Except, x.All)
		}
		for _, c := range n.Children() {
			visit(c, depth+1)
		}
	}
	visit(n, 0)
	return b.String()
}

// runProperty drives one plan for some epochs.
func runProperty(t *testing.T, what string, n plan.Node, r *rand.Rand, epochs int) {
	t.Helper()
	w := newWorld(r)
	s, err := newSim(n)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	types := plan.Types(n)
	view := zset{}
	savedView, savedTables, savedUsed, savedErrs := zset{}, cloneAll(w.tables), map[int64]bool{}, map[string]int64{}
	appendOnly := plan.AppendOnly(n)
	for e := range epochs {
		size := r.Intn(12)
		if e == 0 {
			size = 20
		}
		if err := w.chunks(w.epoch(size), s.push); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if e > 0 && r.Intn(6) == 0 { // crash: everything since the checkpoint is lost
			w.tables, view = cloneAll(savedTables), savedView.clone()
			w.used, s.errs = maps.Clone(savedUsed), maps.Clone(savedErrs)
			if err := s.start(); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			continue
		}
		checkpoint := r.Intn(3) == 0
		out, err := s.barrier(checkpoint)
		if err != nil {
			t.Fatalf("%s: epoch %d: %v", what, e, err)
		}
		for _, c := range out {
			chunkRows(c, func(vals []sqltypes.Datum, weight int64) {
				if appendOnly && weight < 0 {
					t.Fatalf("%s: epoch %d: row (%s) is retracted by an append-only plan", what, e, show(vals))
				}
				view.add(vals, weight)
			})
		}
		if a, ok := n.(*plan.Agg); ok {
			checkOncePerKey(t, what, out, len(a.GroupBy), types)
		}
		want := zset{}
		for _, o := range recompute(n, w.tables) {
			want.add(o, 1)
		}
		check(t, fmt.Sprintf("%s\nepoch %d", what, e), view, want, types)
		if m, ok := n.(*plan.MaxOneRow); ok {
			if _, scan := m.Input.(*plan.TableScan); scan {
				checkErrors(t, what, s.errs, severalRows(m, recompute(m.Input, w.tables)))
			}
		}
		if checkpoint {
			savedView, savedTables, savedUsed, savedErrs = view.clone(), cloneAll(w.tables), maps.Clone(w.used), maps.Clone(s.errs)
			if r.Intn(2) == 0 {
				if err := s.start(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
		}
	}
}

// checkErrors: the weights of the errors reported add up to the number of those that are there.
func checkErrors(t *testing.T, what string, errs map[string]int64, want int64) {
	t.Helper()
	sum := int64(0)
	for _, w := range errs {
		sum += w
	}
	if sum != want {
		t.Fatalf("%s: errors add up to %d, want %d: %v", what, sum, want, errs)
	}
}

func cloneAll(zs []zset) []zset {
	out := make([]zset, len(zs))
	for i := range zs {
		out[i] = zs[i].clone()
	}
	return out
}

// checkOncePerKey: an aggregation emits at most one −1 and one +1 for each group and epoch.
func checkOncePerKey(t *testing.T, what string, out []*delta.Chunk, keys int, types []sqltypes.Type) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range out {
		chunkRows(c, func(vals []sqltypes.Datum, w int64) {
			k := fmt.Sprint(w, " ", show(vals[:keys]))
			if w != 1 && w != -1 || seen[k] {
				t.Fatalf("%s: group (%s) is emitted twice in an epoch", what, k)
			}
			seen[k] = true
		})
	}
}
