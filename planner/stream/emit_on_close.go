package stream

import (
	"slices"

	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// emitOnClose makes a plan's rows leave once, when watermarks have passed them. Each operator that would take rows back
// gets an EmitOnClose on top (an aggregation does it itself), so that those above it work on rows that are final; a plan of other operators gets one at
// the root, which sorts by time.
func emitOnClose(n plan.Node) (plan.Node, error) {
	var open plan.Node // an operator that no watermark closes
	closes := false
	full := map[plan.Node]bool{} // full joins, which can be closed by a projection that merges their keys
	n = plan.Transform(n, func(x plan.Node) plan.Node {
		p, isProject := x.(*plan.Project)
		isMerge := isProject && full[p.Input]
		if !isMerge && !worksOnGroups(x) && (plan.AppendOnly(x) || !childrenFinal(x)) {
			return x
		}
		cols := plan.MarkCols(x)
		if j, ok := x.(*plan.Join); ok && j.Kind == plan.Full && len(plan.Marks(j)) > 0 {
			full[x] = true
			return x
		}
		if len(cols) == 0 {
			if open == nil && !isMerge {
				open = x
			}
			return x
		}
		if isMerge {
			delete(full, p.Input)
		}
		closes = true
		if a, ok := x.(*plan.Agg); ok && a.Phase == plan.AggWhole {
			b := *a
			b.Close = cols
			return &b
		}
		if s, ok := x.(*plan.Session); ok {
			b := *s
			b.Close = true
			return &b
		}
		return &plan.EmitOnClose{Input: x, Cols: cols}
	})
	for j := range full {
		open = j
	}
	if open != nil && !plan.AppendOnly(n) {
		return nil, openError(open)
	}
	if closes {
		return n, nil
	}
	cols := plan.MarkCols(n)
	if len(cols) == 0 {
		return nil, closeError("EMIT ON WINDOW CLOSE needs a column with a watermark",
			"Declare WATERMARK FOR a time column of the source, and keep that column, or a window over it, in the query.")
	}
	return &plan.EmitOnClose{Input: n, Cols: cols}, nil
}

// worksOnGroups says that what an operator shows of some rows depends on others that may still come, even if it never
// takes anything back.
func worksOnGroups(n plan.Node) bool {
	switch n.(type) {
	case *plan.Agg, *plan.TopN, *plan.Window, *plan.SetOp, *plan.Session, *plan.GapFill:
		return !plan.AppendOnly(n)
	}
	return false
}

func childrenFinal(n plan.Node) bool {
	return !slices.ContainsFunc(n.Children(), func(c plan.Node) bool { return !plan.AppendOnly(c) })
}

func openError(n plan.Node) error {
	const hint = "Use a window over a column with a watermark, for example GROUP BY window_start over TUMBLE(…)."
	switch n.(type) {
	case *plan.Session:
		return closeError("EMIT ON WINDOW CLOSE needs a watermark for the time column of a session window", "Declare WATERMARK FOR the column, or use one that has it.")
	case *plan.Agg:
		return closeError("EMIT ON WINDOW CLOSE needs a column with a watermark in GROUP BY", hint)
	case *plan.Window:
		return closeError("EMIT ON WINDOW CLOSE needs a column with a watermark in PARTITION BY or first in ORDER BY", hint)
	case *plan.TopN:
		return closeError("EMIT ON WINDOW CLOSE needs a column with a watermark in the partition of a top-n", hint)
	case *plan.Join:
		if n.(*plan.Join).Kind == plan.Full {
			return closeError("EMIT ON WINDOW CLOSE needs the merged key of a full join, with a watermark on both sides", "Join USING the column, or select COALESCE of both.")
		}
		return closeError("EMIT ON WINDOW CLOSE needs a column with a watermark in the condition of an outer join", hint)
	case *plan.TableScan, *plan.SourceScan:
		return closeError("EMIT ON WINDOW CLOSE needs an input that only grows", "Use an append-only source, table or view.")
	}
	return closeError("EMIT ON WINDOW CLOSE needs a column with a watermark in every operator that changes its result", hint)
}

// AboutEmit is what errors of EMIT ON WINDOW CLOSE are about.
const AboutEmit = "emit on window close"

func closeError(text, hint string) error {
	return sqlerr.New(sqlerr.FeatureNotSupported, "%s", text).WithHint("%s", hint).WithAbout(AboutEmit)
}
