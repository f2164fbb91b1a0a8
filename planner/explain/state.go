package explain

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/planner/stream"
)

// State prints, for each operator of a stream plan that keeps state, what it keeps and what bounds it: the answer
// to EXPLAIN (STATE).
func State(n plan.Node) []string {
	var out []string
	shared := map[int]bool{}
	var visit func(plan.Node)
	visit = func(x plan.Node) {
		if s, ok := x.(*plan.Share); ok {
			if shared[s.ID] {
				return
			}
			shared[s.ID] = true
		}
		if count := stream.StateTables(x); count > 0 {
			p := &printer{mode: Logical}
			out = append(out, fmt.Sprintf("%s: %s", p.describe(x), keeps(x)))
		}
		for _, c := range x.Children() {
			visit(c)
		}
	}
	visit(n)
	if len(out) == 0 {
		return []string{"no state"}
	}
	return out
}

// keeps says what a node stores and how much of it.
func keeps(n plan.Node) string {
	switch x := n.(type) {
	case *plan.TableScan:
		return "progress of the first snapshot; bounded"
	case *plan.Capture:
		return "the position in the log and one offset per table; bounded"
	case *plan.SourceScan:
		return "one offset per split; bounded"
	case *plan.Watermark:
		return "one watermark per split; bounded"
	case *plan.GapFill:
		return "all rows of the input; grows with it"
	case *plan.Session:
		if len(plan.MarkCols(x)) > 0 {
			return "the rows of sessions that the watermark has not passed; bounded by the watermark"
		}
		return "all rows of the input, because a session can still grow; grows with the input"
	case *plan.TemporalFilter:
		return "the rows that will still enter or leave; bounded by time"
	case *plan.EmitOnClose:
		return "the rows that no watermark has passed yet; bounded by the watermark"
	case *plan.Join:
		return joinKeeps(x)
	case *plan.DynamicFilter:
		return "the rows of its input, in the order of the compared column, and the bound; grows with the input"
	case *plan.AsofJoin:
		return "the rows of both inputs, by key and time; grows with them"
	case *plan.TemporalJoin:
		return temporalKeeps(x)
	case *plan.Agg:
		return aggKeeps(x)
	case *plan.TopN:
		return topNKeeps(x)
	case *plan.Window:
		return windowKeeps(x)
	case *plan.SetOp:
		if marks := plan.MarkCols(x); len(marks) > 0 {
			return "the rows of both inputs until both watermarks have passed " + cols(x, marks[:1]) + "; bounded by the watermarks"
		}
		return "the rows of both inputs; grows with them"
	case *plan.MaxOneRow:
		return "the rows of the input; one if the query does not fail"
	case *plan.Materialize:
		return "the result"
	case *plan.Sink:
		return "the position of the target; bounded"
	}
	return "the rows of its input"
}

func joinKeeps(x *plan.Join) string {
	s := fmt.Sprintf("%d columns of each left row, %d of each right row", len(x.Left.Columns()), len(x.Right.Columns()))
	if x.Range != nil {
		s += ", in the order of " + format(x.Range.Left[0], x.Left) + " and " + format(x.Range.Right[0], x.Right)
	}
	if left, _, ok := plan.ClosingKey(x); ok {
		return s + " until both watermarks have passed " + cols(x.Left, []int{left}) + "; bounded by the watermarks"
	}
	sides := plan.JoinExpiry(x)
	switch left, right := sides[0] != nil, sides[1] != nil; {
	case left && right:
		return s + " until the other side's watermark has passed what they can meet; bounded by the watermarks"
	case left || right:
		side, other := "left", "right"
		if right {
			side, other = other, side
		}
		return fmt.Sprintf("%s; %s rows go when the other side's watermark has passed what they can meet, %s rows grow with their input", s, side, other)
	}
	return s + "; grows with both inputs"
}

func temporalKeeps(x *plan.TemporalJoin) string {
	s := fmt.Sprintf("the present rows of the right input (%d columns)", len(x.Right.Columns()))
	if !plan.AppendOnly(x.Left) {
		s += ", and what each left row has met, because its input can change"
	}
	return s + "; grows with them"
}

func aggKeeps(x *plan.Agg) string {
	s := "one row per group; grows with the number of groups"
	if len(x.GroupBy) == 0 {
		s = "one row; bounded"
	} else if marks := plan.MarkCols(x); len(marks) > 0 && x.Phase != plan.AggPartial {
		s = "one row per group until its " + cols(x, marks) + " has passed; bounded by the watermark"
	}
	appendOnly := plan.AppendOnly(x.Input)
	for _, c := range x.Aggs {
		f, ok := expr.AggBySig(c.Sig)
		switch {
		case c.Distinct:
			s += fmt.Sprintf("; the distinct values of %s", aggCall(x.Input, c))
		case ok && f.Multiset && !appendOnly:
			s += fmt.Sprintf("; all values of %s, because its input can change", aggCall(x.Input, c))
		}
	}
	return s
}

func windowKeeps(x *plan.Window) string {
	const s = "the rows of its input, by partition and order"
	have := plan.MarkCols(x.Input)
	if i := slices.IndexFunc(x.PartitionBy, func(c int) bool { return slices.Contains(have, c) }); i >= 0 {
		return s + ", until the watermark of " + cols(x, x.PartitionBy[i:i+1]) + " has passed; bounded by the watermark"
	}
	return s + "; grows with the input"
}

func topNKeeps(x *plan.TopN) string {
	if marks := plan.MarkCols(x); len(marks) > 0 {
		return "the first rows of each partition until its " + cols(x, marks) + " has passed, or all of them if the input can change; bounded by the watermark"
	}
	if !plan.AppendOnly(x.Input) || x.Limit < 0 {
		return "all rows of the input, because one that leaves the top makes room for another; grows with the input"
	}
	rows := fmt.Sprintf("%d rows", x.Limit+x.Offset)
	if x.WithTies {
		rows += " and their ties"
	}
	if len(x.PartitionBy) == 0 {
		return rows + "; bounded"
	}
	return rows + " per partition; grows with the number of partitions"
}
