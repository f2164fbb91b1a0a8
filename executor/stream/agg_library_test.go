package stream

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// argument makes an expression of a type over the columns of the random tables; nil: there is none.
func argument(r *rand.Rand, in plan.Node, t sqltypes.Type) expr.Expr {
	at := func(c int) expr.Expr { return column(in, c) }
	cast := func(e expr.Expr, to sqltypes.Type) expr.Expr { return &expr.Cast{Arg: e, Ty: to, Explicit: true} }
	switch t.Kind {
	case sqltypes.KAny, sqltypes.KAnyElement:
		return at(r.Intn(len(tableTypes)))
	case sqltypes.KInt2, sqltypes.KInt4:
		return cast(at(0), t)
	case sqltypes.KVarchar, sqltypes.KBytea:
		return cast(at(1), t)
	case sqltypes.KVector:
		text := func(s string) expr.Expr { return &expr.Const{Ty: sqltypes.Text, Val: []byte(s)} }
		cat := func(a, b expr.Expr) expr.Expr {
			return &expr.Call{Sig: "||(text,text)", Args: []expr.Expr{a, b}, Ty: sqltypes.Text}
		}
		return cast(cat(cat(text("[1.5,"), cast(at(0), sqltypes.Text)), text("]")), t)
	case sqltypes.KBit:
		return cast(at(0), sqltypes.Bit.WithTypmod(8))
	case sqltypes.KFloat4:
		return cast(at(5), t)
	case sqltypes.KDate, sqltypes.KTimestamptz, sqltypes.KTime:
		return cast(at(4), t)
	case sqltypes.KJSON, sqltypes.KJSONB:
		return cast(cast(at(0), sqltypes.Text), t)
	}
	for c, have := range tableTypes {
		if have == t {
			return at(c)
		}
	}
	return nil
}

// TestEveryAggregate runs each aggregate of the library over tables that change, grouped and over windows.
func TestEveryAggregate(t *testing.T) {
	defer func(s, n int64) { smallPartition, nearRows = s, n }(smallPartition, nearRows)
	smallPartition, nearRows = 0, 1
	tested, skipped := 0, []string{}
	r := rand.New(rand.NewSource(4))
	p := &planner{r}
	expr.AllAggs(func(f *expr.AggFunc) {
		in := scanOf([]int{plainTable, keyedTable, growTable}[r.Intn(3)])
		below := &plan.Project{Input: in}
		for i, c := range in.Columns() {
			below.Exprs, below.Names = append(below.Exprs, column(in, i)), append(below.Names, c.Name)
		}
		call := plan.AggCall{Sig: f.Sig(), Filter: -1, Name: "x"}
		// Objects with a NULL for a key are an error, and ordered sets are called in another way.
		skip := f.OrderedSet || strings.Contains(f.Name, "object")
		for _, ty := range f.Args {
			e := argument(r, in, ty)
			if e == nil || skip {
				skip = true
				break
			}
			call.Args, call.ArgTypes = append(call.Args, len(below.Exprs)), append(call.ArgTypes, e.Type())
			below.Exprs, below.Names = append(below.Exprs, e), append(below.Names, "arg")
		}
		if skip {
			skipped = append(skipped, f.Sig())
			return
		}
		call.Result = f.Result
		if f.ResultOf != nil {
			call.Result = f.ResultOf(call.ArgTypes)
		}
		tested++
		n := &plan.Agg{Input: below, GroupBy: []int{3}}
		for range 3 {
			c := call
			c.Distinct = len(call.Args) == 1 && r.Intn(2) == 0
			if r.Intn(2) == 0 {
				c.Filter = 3
			}
			if !c.Distinct && r.Intn(2) == 0 {
				c.OrderBy = []plan.SortKey{{Col: 0, Desc: r.Intn(2) == 0}}
			}
			n.Aggs = append(n.Aggs, c)
		}
		runProperty(t, fmt.Sprintf("group: %s", describe(n)), n, r, 6)
		w := &plan.Window{Input: below, PartitionBy: []int{3}, OrderBy: []plan.SortKey{{Col: 0}}}
		for range 3 {
			w.Funcs = append(w.Funcs, plan.WindowFunc{Name: "agg", Sig: call.Sig, Args: call.Args, Result: call.Result, Filter: -1, Frame: p.frame(w)})
		}
		runProperty(t, fmt.Sprintf("window: %s", describe(w)), w, r, 6)
	})
	if t.Logf("not covered: %v", skipped); tested < 80 {
		t.Errorf("only %d aggregates tested", tested)
	}
}
