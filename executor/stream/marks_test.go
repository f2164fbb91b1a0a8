package stream

import (
	"reflect"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestMarksMerge: of the actors of a fragment the slowest counts, but for those that rest.
func TestMarksMerge(t *testing.T) {
	active := func(v int64) Mark { return Mark{Col: 1, Origin: 5, Value: v} }
	rests := func(v int64) Mark { return Mark{Col: 1, Origin: 5, Value: v, Rests: true} }
	for _, tc := range []struct {
		name       string
		a, b, want Mark
	}{
		{"the least", active(3), active(7), active(3)},
		{"one that is not known", active(3), active(NoMark), active(NoMark)},
		{"one that rests", active(7), rests(3), active(7)},
		{"one that rests and has none", rests(NoMark), active(7), active(7)},
		{"all rest", rests(3), rests(7), rests(7)},
	} {
		if got := (Marks{tc.a}).Merge(Marks{tc.b}); !reflect.DeepEqual(got, Marks{tc.want}) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
		if got := (Marks{tc.b}).Merge(Marks{tc.a}); !reflect.DeepEqual(got, Marks{tc.want}) {
			t.Errorf("%s, turned round: got %v, want %v", tc.name, got, tc.want)
		}
	}
	two := Marks{{Col: 1, Origin: 5, Value: 9}, {Col: 1, Origin: 6, Value: 4, Rests: true}}
	if v, ok := two.Of(1); v != 4 || !ok {
		t.Errorf("a column of two origins has the watermark %d %v, want 4: rest does not count between origins", v, ok)
	}
	if _, ok := append(two, Mark{Col: 1, Origin: 7, Value: NoMark}).Of(1); ok {
		t.Error("a column has a watermark although one of its origins has none")
	}
	if got := two.Merge(nil); got[0].Value != NoMark || got[1].Value != NoMark {
		t.Errorf("an input without marks: got %v", got)
	}
}

// TestMarkRules carries a watermark through a projection, a window and a union.
func TestMarkRules(t *testing.T) {
	scan := &plan.TableScan{Out: []plan.Column{{Name: "at", Type: sqltypes.Timestamp}}, Watermarks: []int{0}, AppendOnly: true}
	col := &expr.Col{Ty: sqltypes.Timestamp}
	minus := &expr.Call{Sig: "-(timestamp without time zone,interval)", Ty: sqltypes.Timestamp,
		Args: []expr.Expr{col, &expr.Const{Ty: sqltypes.IntervalT, Val: datetime.Interval{Micros: 10}}}}
	day := &expr.Cast{Arg: col, Ty: sqltypes.Date}
	project := &plan.Project{Input: scan, Exprs: []expr.Expr{day, minus, &expr.Const{Ty: sqltypes.Int8, Val: int64(1)}}, Names: []string{"day", "m", "one"}}
	hop := &plan.Hop{Input: scan, SizeMicros: 100, SlideMicros: 40, OffsetMicros: 5}
	gaps := &plan.Hop{Input: scan, SizeMicros: 10, SlideMicros: 40}
	in := Marks{{Origin: 3, Value: 2*microsPerDay + 7}}
	for _, tc := range []struct {
		name string
		node plan.Node
		in   []Marks
		want Marks
	}{
		{"projection", project, []Marks{in}, Marks{{Col: 0, Origin: 3, Value: 2}, {Col: 1, Origin: 3, Value: 2*microsPerDay - 3}}},
		{"windows", hop, []Marks{{{Origin: 3, Value: 130}}}, Marks{{Col: 0, Origin: 3, Value: 130}, {Col: 1, Origin: 3, Value: 45}, {Col: 2, Origin: 3, Value: 145}}},
		{"windows with gaps", gaps, []Marks{{{Origin: 3, Value: 30}}}, Marks{{Col: 0, Origin: 3, Value: 30}, {Col: 1, Origin: 3, Value: 40}, {Col: 2, Origin: 3, Value: 50}}},
		{"union", &plan.Union{Inputs: []plan.Node{scan, scan}}, []Marks{{{Origin: 3, Value: 5}}, {{Origin: 4, Value: 9}}},
			Marks{{Col: 0, Origin: 3, Value: 5}, {Col: 0, Origin: 4, Value: 9}}},
		{"union of one that has none yet", &plan.Union{Inputs: []plan.Node{scan, scan}}, []Marks{{{Origin: 3, Value: 5}}, nil},
			Marks{{Col: 0, Origin: 3, Value: 5}, {Col: 0, Origin: -2, Value: NoMark}}},
	} {
		r, err := NewMarkRules(tc.node, &Env{Ctx: &expr.Ctx{}})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := r.Out(tc.in); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}
