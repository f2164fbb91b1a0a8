package batch

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// libraryAgg finds an aggregate of the real library by name and argument types.
func libraryAgg(t *testing.T, name string, args ...sqltypes.Type) *expr.AggFunc {
	t.Helper()
next:
	for _, f := range expr.AggByName(name) {
		if len(f.Args) != len(args) {
			continue
		}
		for i, a := range f.Args {
			if a != args[i] && a.Kind != sqltypes.KAny && a.Kind != sqltypes.KAnyElement && a.Kind != sqltypes.KAnyNonArray {
				continue next
			}
		}
		return f
	}
	t.Fatalf("aggregate %s%v is not in the library", name, args)
	return nil
}

// TestLibrary runs the library's aggregates and functions through whole queries.
func TestLibrary(t *testing.T) {
	w := newWorld(t, 1)
	n := &plan.TableFunc{Sig: expr.TableFuncsByName("generate_series")[0].Sig(), Args: []expr.Expr{intConst(1), intConst(10)},
		Out: columns([]sqltypes.Type{sqltypes.Int8})}
	for _, f := range expr.TableFuncsByName("generate_series") {
		if len(f.Args) >= 2 && f.Args[0] == sqltypes.Int8 {
			n.Sig = f.Sig()
		}
	}
	agg := &plan.Agg{Input: n, Scalar: true}
	frame := plan.Frame{Mode: 'R', Start: plan.FrameBound{Kind: plan.Preceding, Offset: intConst(2)},
		End: plan.FrameBound{Kind: plan.CurrentRow}}
	win := &plan.Window{Input: n, OrderBy: []plan.SortKey{{Col: 0}}}
	for _, name := range []string{"count", "sum", "avg", "min", "max", "array_agg"} {
		f := libraryAgg(t, name, sqltypes.Int8)
		ty := f.Result
		if f.ResultOf != nil {
			ty = f.ResultOf([]sqltypes.Type{sqltypes.Int8})
		}
		call := plan.AggCall{Sig: f.Sig(), Args: []int{0}, Result: ty, Filter: -1, Name: name}
		agg.Aggs = append(agg.Aggs, call)
		win.Funcs = append(win.Funcs, plan.WindowFunc{Name: name, Sig: f.Sig(), Args: []int{0}, Result: ty, Filter: -1, Frame: frame})
	}
	for _, c := range []struct {
		node plan.Node
		want string
	}{
		{agg, "10 55 5.5000000000000000 1 10 {1,2,3,4,5,6,7,8,9,10}"},
		{&plan.Limit{Input: win, Limit: intConst(1), Offset: intConst(4)}, "5 3 12 4.0000000000000000 3 5 {3,4,5}"},
	} {
		op, err := Build(c.node, w.rel, Options{})
		if err != nil {
			t.Fatal(err)
		}
		types := plan.Types(c.node)
		rows, err := drainRows(op, types)
		op.Close()
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		var got []string
		for i, d := range rows[0] {
			got = append(got, asText(types[i], d))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("got %s, want %s", s, c.want)
		}
	}
}

// TestLibraryFilter compares and computes with the library, and fails where the library does.
func TestLibraryFilter(t *testing.T) {
	op := func(name string, args ...expr.Expr) expr.Expr {
		for _, f := range expr.ByName(name) {
			if len(f.Args) == 2 && f.Args[0] == sqltypes.Int8 && f.Args[1] == sqltypes.Int8 {
				return expr.NewCall(f, args...)
			}
		}
		t.Fatalf("operator %s is not in the library", name)
		return nil
	}
	w := newWorld(t, 2)
	x := &expr.Col{Index: 0, Ty: sqltypes.Int8}
	n := &plan.Project{Input: &plan.Filter{Input: series(1, 10), Cond: op(">", x, intConst(7))},
		Exprs: []expr.Expr{op("*", x, x)}, Names: []string{"sq"}}
	w.same(n, []row{{int64(64)}, {int64(81)}, {int64(100)}}, true)
	div := &plan.Project{Input: series(-1, 3), Exprs: []expr.Expr{op("/", intConst(6), x)}, Names: []string{"q"}}
	if _, err := w.run(div); err == nil || !strings.Contains(fmt.Sprint(err), "division by zero") {
		t.Errorf("error is %v", err)
	}
	// Under a limit, rows that are not in the result are not computed.
	w.same(&plan.Limit{Input: div, Limit: intConst(1)}, []row{{int64(-6)}}, true)
}
