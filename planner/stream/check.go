package stream

import (
	"strings"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// check refuses what cannot be kept up to date, naming it and a way out.
func check(n plan.Node) error {
	var bad error
	plan.Walk(n, func(x plan.Node) bool {
		if bad == nil {
			bad = checkNode(x)
		}
		return bad == nil
	})
	return bad
}

func checkNode(n plan.Node) error {
	switch x := n.(type) {
	case *plan.SystemScan:
		return sqlerr.From(refuse("Query it, or create a view over it.", "system relation %q cannot be used in a view that is kept up to date",
			x.Schema+"."+x.Name)).WithAbout(x.Name)
	case *plan.Agg:
		if err := checkAggs(x); err != nil {
			return err
		}
	case *plan.Window:
		if err := checkFrames(x); err != nil {
			return err
		}
	}
	retracts := false
	for _, c := range n.Children() {
		retracts = retracts || !plan.AppendOnly(c)
	}
	for _, e := range plan.Exprs(n) {
		if err := checkExpr(e, retracts); err != nil {
			return err
		}
	}
	return nil
}

// checkFrames refuses frames that no row could be computed with.
func checkFrames(x *plan.Window) error {
	for i := range x.Funcs {
		f := &x.Funcs[i].Frame
		for k, b := range []plan.FrameBound{f.Start, f.End} {
			if b.Kind != plan.Preceding && b.Kind != plan.Following {
				continue
			}
			which := []string{"starting", "ending"}[k]
			d, err := expr.EvalConst(&expr.Ctx{}, b.Offset)
			if err == nil && f.Mode != 'A' {
				_, err = expr.RowsOffset(d, which)
			} else if err == nil {
				o := x.OrderBy[0]
				key := &expr.Col{Index: o.Col, Ty: x.Input.Columns()[o.Col].Type}
				_, err = expr.NewRangeBound(key, d, b.Offset.Type(), (b.Kind == plan.Preceding) != o.Desc, which)
			}
			if err != nil {
				return sqlerr.From(err).WithAbout(x.Funcs[i].Name)
			}
		}
	}
	return nil
}

// checkAggs refuses aggregates that cannot take a row back over input that does.
func checkAggs(x *plan.Agg) error {
	if plan.AppendOnly(x.Input) {
		return nil
	}
	for _, c := range x.Aggs {
		f, ok := expr.AggBySig(c.Sig)
		if ok && !f.Invertible && !f.Multiset && !c.Distinct {
			return refuse("Use an append-only source or table.", "aggregate %s is not supported over rows that can change", f.Name)
		}
	}
	return nil
}

// checkExpr refuses functions whose value for a row cannot be found again when the row is taken back, and the current
// time, which moves without any change of the input.
func checkExpr(e expr.Expr, retracts bool) error {
	var bad error
	expr.Walk(e, func(x expr.Expr) bool {
		c, ok := x.(*expr.Call)
		if !ok || bad != nil {
			return bad == nil
		}
		name, _, _ := strings.Cut(c.Sig, "(")
		switch {
		case name == "proctime" && retracts:
			bad = refuseFunc(name, "Use it over an append-only source or table.", "function proctime() is not supported over rows that can change")
		case name == "proctime":
		case isClock(c, name):
			bad = refuseFunc(name, "Compare it with a column, as in WHERE at > now() - interval '1 hour'; or use proctime() for the time at which a row of an append-only source arrives.",
				"function %s() is not supported here in a view that is kept up to date", name)
		default:
			if f, ok := expr.BySig(c.Sig); ok && f.Volatility == expr.Volatile && retracts {
				bad = refuseFunc(name, "Use it over an append-only source or table, or when querying the view.",
					"volatile function %s() is not supported over rows that can change", name)
			}
		}
		return bad == nil
	})
	return bad
}

// isClock says that a call reads the transaction's clock.
func isClock(c *expr.Call, name string) bool {
	switch name {
	case "now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday",
		"current_timestamp", "current_date", "current_time", "localtime", "localtimestamp":
		return true
	case "age": // age(x) counts from today
		return len(c.Args) == 1
	}
	return false
}

// refuseFunc is refuse with the function that the error is about.
func refuseFunc(name, hint, format string, args ...any) error {
	return sqlerr.From(refuse(hint, format, args...)).WithAbout(name)
}

func refuse(hint, format string, args ...any) error {
	e := sqlerr.New(sqlerr.FeatureNotSupported, format, args...)
	if hint != "" {
		e = e.WithHint("%s", hint)
	}
	return e
}
