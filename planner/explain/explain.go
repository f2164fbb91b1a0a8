// Package explain prints plans for people: the answer to EXPLAIN and EXPLAIN (STATE).
//
// The idea: one line per operator, its inputs indented below it, operators named as their users know them and
// expressions as SQL over column names. A stream plan's lines end with the facts that the planner derived.
//
// Pure functions; any goroutine may call them. The text is for people and golden tests; nothing parses it.
//
// It does not plan. Start at Lines.
package explain

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// Mode says what a plan is for.
type Mode uint8

// The modes.
const (
	Logical Mode = iota
	Batch
	Stream
)

// Lines prints a plan as a tree, one operator a line.
func Lines(n plan.Node, m Mode) []string {
	p := &printer{mode: m}
	p.node(n, 0)
	return p.lines
}

type printer struct {
	mode   Mode
	lines  []string
	shared map[int]bool // by plan.Share.ID: printed
}

func (p *printer) node(n plan.Node, depth int) {
	head := ""
	if depth > 0 {
		head = strings.Repeat("  ", depth-1) + "└ "
	}
	line := head + p.describe(n)
	if p.mode == Stream {
		line += facts(n)
	}
	if s, ok := n.(*plan.Share); ok {
		if p.shared[s.ID] {
			p.lines = append(p.lines, line+" (see above)")
			return
		}
		if p.shared == nil {
			p.shared = map[int]bool{}
		}
		p.shared[s.ID] = true
	}
	p.lines = append(p.lines, line)
	for _, c := range n.Children() {
		p.node(c, depth+1)
	}
}

// facts are the derived facts of a stream node, in braces.
func facts(n plan.Node) string {
	switch n.(type) {
	case *plan.Exchange, *plan.Share, *plan.Materialize, *plan.Sink, *plan.DML:
		return ""
	}
	var out []string
	if plan.AppendOnly(n) {
		out = append(out, "append-only")
	}
	if keys := plan.UniqueKeys(n); len(keys) > 0 {
		if len(keys[0]) == 0 {
			out = append(out, "one row")
		} else {
			out = append(out, "unique ("+cols(n, keys[0])+")")
		}
	}
	if marks := plan.MarkCols(n); len(marks) > 0 {
		out = append(out, "watermark ("+cols(n, marks)+")")
	}
	if len(out) == 0 {
		return ""
	}
	return " {" + strings.Join(out, "; ") + "}"
}

// describe is one operator with its arguments.
func (p *printer) describe(n plan.Node) string {
	switch x := n.(type) {
	case *plan.TableScan:
		return p.tableScan(x)
	case *plan.Capture:
		return "Capture " + x.Name
	case *plan.CaptureScan:
		return "CaptureScan (" + names(x.Out[:len(x.Out)-1]) + ")"
	case *plan.SourceScan:
		return "SourceScan " + x.Name + " (" + names(x.Out) + ")" + optional(x.Upsert, " upsert")
	case *plan.DML:
		return fmt.Sprintf("DML (%s)", names(x.Out))
	case *plan.SystemScan:
		return "Scan " + x.Schema + "." + x.Name + " (" + names(x.Out) + ")"
	case *plan.Values:
		return values(x)
	case *plan.Filter:
		return "Filter " + format(x.Cond, x.Input)
	case *plan.Project:
		return "Project " + project(x)
	case *plan.Join:
		return join(x)
	case *plan.DynamicFilter:
		l, r := x.Input.Columns(), x.Bound.Columns()
		return "DynamicFilter " + formatOver(x.Cond, append(l[:len(l):len(l)], r...))
	case *plan.AsofJoin:
		return asofJoin(x)
	case *plan.TemporalJoin:
		return temporalJoin(x)
	case *plan.PreAgg:
		return "PreAgg of hot groups" + list(" by ", x.Input, x.GroupBy)
	case *plan.Agg:
		return agg(x)
	case *plan.TopN:
		return topN(x)
	case *plan.Sort:
		return "Sort " + order(x.Input, x.Keys)
	case *plan.Limit:
		return "Limit" + limit(x)
	case *plan.Union:
		return "Union"
	case *plan.SetOp:
		return map[bool]string{false: "Intersect", true: "Except"}[x.Except] + optional(x.All, " all")
	case *plan.Window:
		return window(x)
	case *plan.TableFunc:
		return tableFunc(x)
	case *plan.Hop:
		return hop(x)
	case *plan.Recursive:
		return "Recursive " + strconv.Itoa(x.ID) + optional(x.Distinct, " distinct")
	case *plan.WorkTable:
		return "WorkTable " + strconv.Itoa(x.ID) + " (" + names(x.Out) + ")"
	case *plan.Shared:
		return "Shared " + strconv.Itoa(x.ID)
	case *plan.Returned:
		return "Returned " + strconv.Itoa(x.ID) + " (" + names(x.Out) + ")"
	case *plan.Expand:
		return expand(x)
	case *plan.Watermark:
		return "Watermark " + cols(x.Input, []int{x.Col}) + ": " + format(x.Bound, x.Input)
	case *plan.GapFill:
		return gapFill(x)
	case *plan.Session:
		return "Session " + cols(x.Input, []int{x.TimeCol}) + ", gap " + seconds(x.GapMicros) + list(" per ", x.Input, x.PartitionBy) + optional(x.Close, ", on close")
	case *plan.TemporalFilter:
		return temporal(x)
	case *plan.EmitOnClose:
		return "EmitOnClose by " + cols(x.Input, x.Cols)
	case *plan.MaxOneRow:
		return "MaxOneRow" + list(" per ", x.Input, x.PartitionBy)
	case *plan.Exchange:
		return exchange(x)
	case *plan.Share:
		return fmt.Sprintf("Share %d", x.ID)
	case *plan.Materialize:
		return materialize(x)
	case *plan.Sink:
		return sink(x)
	}
	return fmt.Sprintf("%T", n)
}

func (p *printer) tableScan(x *plan.TableScan) string {
	name := "Scan "
	if p.mode == Stream {
		name = "StreamScan "
	}
	s := name + x.Name + " (" + names(x.Out) + ")"
	if x.Lookup == nil {
		return s
	}
	keys := make([]string, len(x.Lookup))
	for i, k := range x.Lookup {
		parts := make([]string, len(k))
		for j, e := range k {
			parts[j] = expr.Format(e, nil)
		}
		keys[i] = strings.Join(parts, ", ")
		if len(k) > 1 {
			keys[i] = "(" + keys[i] + ")"
		}
	}
	return "Lookup " + s[len(name):] + " by key: " + strings.Join(keys, ", ")
}

func optional(b bool, s string) string {
	if b {
		return s
	}
	return ""
}

func names(cs []plan.Column) string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = c.Name
	}
	return strings.Join(out, ", ")
}

// columnName names column i of n; a name that occurs twice gets its index.
func columnName(cs []plan.Column, i int) string {
	if i < 0 || i >= len(cs) {
		return "#" + strconv.Itoa(i)
	}
	for k, c := range cs {
		if k != i && c.Name == cs[i].Name {
			return cs[i].Name + "#" + strconv.Itoa(i)
		}
	}
	return cs[i].Name
}

func cols(n plan.Node, list []int) string {
	cs := n.Columns()
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = columnName(cs, c)
	}
	return strings.Join(out, ", ")
}

func list(head string, n plan.Node, cs []int) string {
	if len(cs) == 0 {
		return ""
	}
	return head + "(" + cols(n, cs) + ")"
}

func format(e expr.Expr, in plan.Node) string { return formatOver(e, in.Columns()) }

func formatOver(e expr.Expr, cs []plan.Column) string {
	return expr.Format(e, func(i int) string { return columnName(cs, i) })
}

func order(n plan.Node, keys []catalog.SortKey) string {
	cs := n.Columns()
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = columnName(cs, k.Col) + optional(k.Desc, " DESC")
		if k.NullsFirst != k.Desc {
			out[i] += " NULLS " + map[bool]string{true: "FIRST", false: "LAST"}[k.NullsFirst]
		}
	}
	return strings.Join(out, ", ")
}

func values(x *plan.Values) string {
	rows := make([]string, 0, 3)
	for i, r := range x.Rows {
		if i == 3 {
			rows = append(rows, fmt.Sprintf("… %d rows", len(x.Rows)))
			break
		}
		es := make([]string, len(r))
		for k, e := range r {
			es[k] = expr.Format(e, nil)
		}
		rows = append(rows, "("+strings.Join(es, ", ")+")")
	}
	if len(rows) == 0 {
		return "Values none"
	}
	return "Values " + strings.Join(rows, ", ")
}

func temporal(x *plan.TemporalFilter) string {
	out := make([]string, len(x.Bounds))
	for i, b := range x.Bounds {
		out[i] = format(b.Value, x.Input) + " " + b.Op + " " + expr.Format(b.Clock, nil)
	}
	return "TemporalFilter " + strings.Join(out, ", ")
}

func project(x *plan.Project) string {
	in := x.Input.Columns()
	out := make([]string, len(x.Exprs))
	for i, e := range x.Exprs {
		out[i] = formatOver(e, in)
		if out[i] != x.Names[i] && x.Names[i] != "?column?" && x.Names[i] != "" {
			out[i] += " AS " + x.Names[i]
		}
	}
	return strings.Join(out, ", ")
}

var joinNames = map[plan.JoinKind]string{
	plan.Inner: "inner", plan.Left: "left", plan.Right: "right", plan.Full: "full",
	plan.Semi: "semi", plan.Anti: "anti", plan.NullAnti: "null-aware anti",
}

func join(x *plan.Join) string {
	l, r := x.Left.Columns(), x.Right.Columns()
	both := append(l[:len(l):len(l)], r...)
	name := "HashJoin " + joinNames[x.Kind]
	if len(x.LeftKeys) == 0 {
		name = "NestedLoopJoin " + joinNames[x.Kind]
		if x.Cond == nil && x.Kind == plan.Inner {
			name = "CrossJoin"
		}
	}
	if x.Range != nil {
		name = "RangeJoin " + joinNames[x.Kind]
	}
	var on []string
	for i := range x.LeftKeys {
		op := " = "
		if x.NullSafe != nil && x.NullSafe[i] {
			op = " IS NOT DISTINCT FROM "
		}
		on = append(on, columnName(both, x.LeftKeys[i])+op+columnName(both, len(l)+x.RightKeys[i]))
	}
	if len(on) > 0 {
		name += " on " + strings.Join(on, ", ")
	}
	if x.Range != nil {
		name += " in order of " + format(x.Range.Left[0], x.Left) + " and " + format(x.Range.Right[0], x.Right)
	}
	if x.Cond != nil {
		name += " if " + formatOver(x.Cond, both)
	}
	return name
}

var phaseNames = map[plan.AggPhase]string{plan.AggPartial: " partial", plan.AggFinal: " final"}

func agg(x *plan.Agg) string {
	if len(x.Aggs) == 0 && !x.Scalar {
		return "Distinct (" + cols(x.Input, x.GroupBy) + ")"
	}
	name := "HashAgg"
	if len(x.GroupBy) == 0 {
		name = "Agg"
	}
	name += phaseNames[x.Phase] + list(" by ", x.Input, x.GroupBy)
	calls := make([]string, len(x.Aggs))
	for i, a := range x.Aggs {
		calls[i] = aggCall(x.Input, a)
	}
	return name + ": " + strings.Join(calls, ", ") + list(", on close of ", x, x.Close)
}

func aggCall(in plan.Node, a plan.AggCall) string {
	name, _, _ := strings.Cut(a.Sig, "(")
	args := cols(in, a.Args)
	if len(a.Args) == 0 {
		args = "*"
	}
	s := name + "(" + optional(a.Distinct, "DISTINCT ") + args
	if len(a.OrderBy) > 0 {
		s += " ORDER BY " + order(in, a.OrderBy)
	}
	s += ")"
	if a.Filter >= 0 {
		s += " FILTER (" + cols(in, []int{a.Filter}) + ")"
	}
	return s
}

func topN(x *plan.TopN) string {
	s := "TopN"
	if x.Limit >= 0 {
		s += " " + strconv.FormatInt(x.Limit, 10)
	}
	s += optional(x.WithTies, " with ties")
	if x.Offset > 0 {
		s += " offset " + strconv.FormatInt(x.Offset, 10)
	}
	s += list(" per ", x.Input, x.PartitionBy)
	if len(x.OrderBy) > 0 {
		s += " by " + order(x.Input, x.OrderBy)
	}
	return s + optional(x.RowNumber, ", numbered")
}

func limit(x *plan.Limit) string {
	s := ""
	if x.Limit != nil {
		s += " " + expr.Format(x.Limit, nil)
	}
	if x.Offset != nil {
		s += " offset " + expr.Format(x.Offset, nil)
	}
	return s
}

func window(x *plan.Window) string {
	fs := make([]string, len(x.Funcs))
	for i, f := range x.Funcs {
		fs[i] = f.Name + "(" + cols(x.Input, f.Args) + ")"
	}
	s := "Window " + strings.Join(fs, ", ") + list(" per ", x.Input, x.PartitionBy)
	if len(x.OrderBy) > 0 {
		s += " by " + order(x.Input, x.OrderBy)
	}
	return s
}

func tableFunc(x *plan.TableFunc) string {
	var in []plan.Column
	if x.Input != nil {
		in = x.Input.Columns()
	}
	args := make([]string, len(x.Args))
	for i, a := range x.Args {
		args[i] = formatOver(a, in)
	}
	call := func(sig string, args []string) string {
		name, _, _ := strings.Cut(sig, "(")
		return name + "(" + strings.Join(args, ", ") + ")"
	}
	var calls []string
	for _, p := range x.Parts {
		calls, args = append(calls, call(p.Sig, args[:p.Args])), args[p.Args:]
	}
	if x.Parts == nil {
		calls = []string{call(x.Sig, args)}
	}
	return "TableFunc " + strings.Join(calls, ", ") + optional(x.WithOrdinality, " with ordinality") + optional(x.Outer, " outer")
}

func gapFill(x *plan.GapFill) string {
	s := "GapFill " + cols(x.Input, []int{x.TimeCol}) + ", step " + seconds(x.StepMicros) + list(" per ", x.Input, x.PartitionBy)
	for i, how := range x.Fill {
		if how != plan.FillNull {
			s += map[plan.Fill]string{plan.FillLast: ", last ", plan.FillLine: ", line "}[how] + cols(x.Input, []int{i})
		}
	}
	return s
}

func seconds(micros int64) string {
	return strconv.FormatFloat(float64(micros)/1e6, 'g', -1, 64) + " s"
}

func hop(x *plan.Hop) string {
	micros := seconds
	s := fmt.Sprintf("Hop %s, slide %s, size %s", cols(x.Input, []int{x.TimeCol}), micros(x.SlideMicros), micros(x.SizeMicros))
	if x.Cumulate {
		s = fmt.Sprintf("Cumulate %s, step %s, size %s", cols(x.Input, []int{x.TimeCol}), micros(x.SlideMicros), micros(x.SizeMicros))
	}
	if x.SlideMicros == x.SizeMicros {
		s = fmt.Sprintf("Tumble %s, size %s", cols(x.Input, []int{x.TimeCol}), micros(x.SizeMicros))
	}
	if x.OffsetMicros != 0 {
		s += ", offset " + micros(x.OffsetMicros)
	}
	return s
}

func expand(x *plan.Expand) string {
	sets := make([]string, len(x.Sets))
	for i, has := range x.Sets {
		var keys []int
		for k, in := range has {
			if in {
				keys = append(keys, x.Keys[k])
			}
		}
		sets[i] = "(" + cols(x.Input, keys) + ")"
	}
	return "Expand " + strings.Join(sets, ", ")
}

func exchange(x *plan.Exchange) string {
	switch x.Kind {
	case plan.ExchangeSingle:
		return "Exchange (single)"
	case plan.ExchangeBroadcast:
		return "Exchange (broadcast)"
	}
	return "Exchange (hash: " + cols(x.Input, x.Keys) + ")"
}

func materialize(x *plan.Materialize) string {
	s := "Materialize"
	if len(x.Key) == 0 {
		s += " bag"
	} else {
		s += " key (" + order(x.Input, x.Key) + ")"
	}
	switch {
	case len(x.Dist) == 0 && len(x.Key) == 0 && plan.AppendOnly(x.Input):
		s += " numbered"
	case len(x.Dist) == 0:
		s += " single"
	default:
		s += " dist (" + cols(x.Input, x.Dist) + ")"
	}
	s += optional(x.Commands, " upserts")
	if x.OnConflict != "" {
		s += " on conflict " + x.OnConflict
	}
	return s
}

func sink(x *plan.Sink) string {
	s := "Sink"
	if x.Single {
		s = "Subscription"
	}
	if x.Connector.Name != "" {
		s += " " + x.Connector.Name
	}
	if x.Into != 0 {
		s += " into table"
	}
	return s + list(" key ", x.Input, x.Key) + optional(x.AppendOnly, " append-only")
}
