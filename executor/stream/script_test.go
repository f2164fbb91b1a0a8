package stream

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqltypes"
)

var rewrite = flag.Bool("rewrite", false, "write the outputs that were found into the scripts")

// Script tables: t0 (a bigint, b text, n numeric) is a bag, t1 of the same columns only grows, and t2, which
// only grows too, has a as a unique key. t3 and t4 only grow and have a watermark for a.
func scriptScan(i int) *plan.TableScan {
	s := &plan.TableScan{Table: tableID(i), AppendOnly: i > 0, Out: []plan.Column{
		{Name: "a", Type: sqltypes.Int8}, {Name: "b", Type: sqltypes.Text}, {Name: "n", Type: sqltypes.Numeric}}}
	if i == 2 {
		s.UniqueKeys = [][]int{{0}}
	}
	if i >= 3 {
		s.Watermarks = []int{0}
	}
	return s
}

func scriptAgg(input, by int, aggs ...plan.AggCall) plan.Node {
	n := &plan.Agg{Input: scriptScan(input), GroupBy: []int{by}, Aggs: aggs}
	if by < 0 {
		n.GroupBy, n.Scalar = nil, true
	}
	return n
}

func scriptJoin(kind plan.JoinKind, left, right int) *plan.Join {
	return &plan.Join{Kind: kind, Left: scriptScan(left), Right: scriptScan(right), LeftKeys: []int{0}, RightKeys: []int{0}}
}

func withCond(j *plan.Join) *plan.Join { // left.n < right.n, by way of bigint
	bigint := func(i int) expr.Expr {
		return &expr.Cast{Arg: &expr.Col{Index: i, Ty: sqltypes.Numeric}, Ty: sqltypes.Int8, Explicit: true}
	}
	j.Cond = less(bigint(2), bigint(5))
	return j
}

func distinctCall(c plan.AggCall) plan.AggCall {
	c.Distinct = true
	return c
}

// scriptPlans are what the first line of a script may name.
var scriptPlans = map[string]func() plan.Node{
	"agg": func() plan.Node {
		return scriptAgg(0, 1, call("count()", sqltypes.Int8), call("sum(bigint)", sqltypes.Numeric, 0),
			call("max(bigint)", sqltypes.Int8, 0), call("sum(numeric)", sqltypes.Numeric, 2))
	},
	"agg_numeric_key": func() plan.Node { return scriptAgg(0, 2, call("count()", sqltypes.Int8)) },
	"agg_scalar": func() plan.Node {
		return scriptAgg(0, -1, call("count()", sqltypes.Int8), call("min(text)", sqltypes.Text, 1))
	},
	"agg_halves": func() plan.Node {
		sum := call("sum(bigint)", sqltypes.Bytea, 0)
		u := &plan.Union{}
		for i := range 2 {
			u.Inputs = append(u.Inputs, &plan.Agg{Input: scriptScan(i), Phase: plan.AggPartial,
				Aggs: []plan.AggCall{call("count()", sqltypes.Bytea), sum}})
		}
		return &plan.Agg{Input: u, Scalar: true, Phase: plan.AggFinal,
			Aggs: []plan.AggCall{call("count()", sqltypes.Int8, 0), call("sum(bigint)", sqltypes.Numeric, 1)}}
	},
	"agg_distinct": func() plan.Node {
		return scriptAgg(0, 1, distinctCall(call(`count("any")`, sqltypes.Int8, 0)), distinctCall(call("sum(numeric)", sqltypes.Numeric, 2)))
	},
	"agg_list": func() plan.Node {
		c := call("string_agg(text,text)", sqltypes.Text, 1, 1)
		c.OrderBy = []plan.SortKey{{Col: 0, Desc: true}}
		return scriptAgg(0, 2, c)
	},
	"distinct": func() plan.Node { return &plan.Agg{Input: scriptScan(0), GroupBy: []int{0, 1}} },
	"agg_append": func() plan.Node {
		return scriptAgg(1, 1, call("max(bigint)", sqltypes.Int8, 0), call("min(numeric)", sqltypes.Numeric, 2))
	},
	"temporal": func() plan.Node { // now − 10 < a ≤ now, where a is a time
		a := &expr.Col{Ty: sqltypes.Timestamptz}
		now := &expr.Call{Sig: "now()", Ty: sqltypes.Timestamptz}
		ago := &expr.Call{Sig: "-(timestamp with time zone,interval)", Ty: sqltypes.Timestamptz,
			Args: []expr.Expr{now, &expr.Const{Ty: sqltypes.IntervalT, Val: datetime.Interval{Micros: 10}}}}
		return &plan.TemporalFilter{Input: scriptScan(0), Bounds: []plan.TimeBound{
			{Value: a, Op: ">", Clock: ago, Drift: plan.Drift{Lo: -10, Hi: -10}}, {Value: a, Op: "<=", Clock: now}}}
	},
	"close_agg": func() plan.Node {
		return &plan.EmitOnClose{Cols: []int{0}, Dist: []int{0},
			Input: scriptAgg(3, 0, call("count()", sqltypes.Int8), call("max(text)", sqltypes.Text, 1))}
	},
	"close_agg_itself": func() plan.Node {
		a := scriptAgg(3, 0, call("count()", sqltypes.Int8), distinctCall(call("sum(numeric)", sqltypes.Numeric, 2)),
			call("string_agg(text,text)", sqltypes.Text, 1, 1)).(*plan.Agg)
		a.Close = []int{0}
		return a
	},
	"agg_cleaned": func() plan.Node {
		return scriptAgg(3, 0, call("count()", sqltypes.Int8), distinctCall(call(`count("any")`, sqltypes.Int8, 1)),
			call("string_agg(text,text)", sqltypes.Text, 1, 1))
	},
	"close_sort": func() plan.Node { return &plan.EmitOnClose{Cols: []int{0}, Dist: []int{1}, Input: scriptScan(3)} },
	"close_join": func() plan.Node {
		return &plan.EmitOnClose{Cols: []int{0}, Input: scriptJoin(plan.Left, 3, 4)}
	},
	"join_inner":      func() plan.Node { return scriptJoin(plan.Inner, 0, 1) },
	"join_pending":    func() plan.Node { return scriptJoin(plan.Inner, 1, 2) },
	"join_left":       func() plan.Node { return scriptJoin(plan.Left, 0, 1) },
	"join_full_cond":  func() plan.Node { return withCond(scriptJoin(plan.Full, 0, 1)) },
	"join_semi":       func() plan.Node { return scriptJoin(plan.Semi, 0, 1) },
	"join_anti_cond":  func() plan.Node { return withCond(scriptJoin(plan.Anti, 0, 1)) },
	"join_not_in":     func() plan.Node { return scriptJoin(plan.NullAnti, 0, 1) },
	"join_cross_left": func() plan.Node { return &plan.Join{Kind: plan.Left, Left: scriptScan(0), Right: scriptScan(1)} },
	"top": func() plan.Node {
		return &plan.TopN{Input: scriptScan(0), PartitionBy: []int{1}, OrderBy: []plan.SortKey{{Col: 0}}, Limit: 2}
	},
	"top_append": func() plan.Node {
		return &plan.TopN{Input: scriptScan(1), OrderBy: []plan.SortKey{{Col: 0, Desc: true, NullsFirst: true}}, Limit: 2, WithTies: true}
	},
	"newest": func() plan.Node {
		return &plan.TopN{Input: scriptScan(1), PartitionBy: []int{1}, OrderBy: []plan.SortKey{{Col: 0, Desc: true}}, Limit: 1, RowNumber: true}
	},
	"row_number": func() plan.Node {
		return &plan.TopN{Input: scriptScan(0), OrderBy: []plan.SortKey{{Col: 0}}, Limit: -1, Offset: 1, RowNumber: true}
	},
	"over": func() plan.Node {
		rows := plan.Frame{Mode: 'R', Start: plan.FrameBound{Kind: plan.UnboundedPreceding}, End: plan.FrameBound{Kind: plan.CurrentRow}}
		return &plan.Window{Input: scriptScan(0), PartitionBy: []int{1}, OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{
			{Name: "row_number", Filter: -1, Result: sqltypes.Int8},
			{Name: "lag", Args: []int{0}, Filter: -1, Result: sqltypes.Int8},
			{Name: "sum", Sig: "sum(numeric)", Args: []int{2}, Filter: -1, Result: sqltypes.Numeric, Frame: rows}}}
	},
	"over_max": func() plan.Node {
		rows := plan.Frame{Mode: 'R', Start: plan.FrameBound{Kind: plan.UnboundedPreceding}, End: plan.FrameBound{Kind: plan.CurrentRow}}
		return &plan.Window{Input: scriptScan(0), OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{
			{Name: "max", Sig: "max(numeric)", Args: []int{2}, Filter: -1, Result: sqltypes.Numeric, Frame: rows}}}
	},
	"ntile": func() plan.Node {
		return &plan.Window{Input: scriptScan(0), OrderBy: []plan.SortKey{{Col: 0}}, Funcs: []plan.WindowFunc{
			{Name: "ntile", Args: []int{0}, Filter: -1, Result: sqltypes.Int8}}}
	},
	"dynamic_filter": func() plan.Node {
		bound := scriptAgg(1, -1, call("max(bigint)", sqltypes.Int8, 0))
		in := scriptScan(0)
		return &plan.DynamicFilter{Input: in, Bound: bound, Op: ">=", Cond: &expr.Call{Sig: ">=(bigint,bigint)", Ty: sqltypes.Bool,
			Args: []expr.Expr{column(in, 0), &expr.Col{Index: 3, Ty: sqltypes.Int8}}}}
	},
	"asof": func() plan.Node {
		return &plan.AsofJoin{Left: scriptScan(0), Right: scriptScan(1), LeftKeys: []int{1}, RightKeys: []int{1}, Outer: true}
	},
	"asof_next": func() plan.Node {
		return &plan.AsofJoin{Left: scriptScan(0), Right: scriptScan(1), LeftKeys: []int{1}, RightKeys: []int{1}, Later: true, Strict: true}
	},
	"temporal_join": func() plan.Node {
		return &plan.TemporalJoin{Left: scriptScan(0), Right: scriptScan(1), LeftKeys: []int{1}, RightKeys: []int{1}, Outer: true}
	},
	"temporal_join_append": func() plan.Node {
		return &plan.TemporalJoin{Left: scriptScan(1), Right: scriptScan(0), LeftKeys: []int{1}, RightKeys: []int{1}}
	},
	"except_all": func() plan.Node {
		return &plan.SetOp{Left: scriptScan(0), Right: scriptScan(1), Except: true, All: true}
	},
	"intersect":   func() plan.Node { return &plan.SetOp{Left: scriptScan(0), Right: scriptScan(1)} },
	"max_one_row": func() plan.Node { return &plan.MaxOneRow{Input: scriptScan(0)} },
	"max_one_row_by_n": func() plan.Node {
		return &plan.MaxOneRow{Input: scriptScan(0), PartitionBy: []int{2}}
	},
	"values": func() plan.Node {
		return &plan.Values{Rows: [][]expr.Expr{{intConst(1)}, {intConst(2)}}, Out: []plan.Column{{Name: "v", Type: sqltypes.Int8}}}
	},
	"series": func() plan.Node {
		return &plan.TableFunc{Sig: "generate_series(bigint,bigint,bigint)", Args: []expr.Expr{intConst(1), intConst(3)},
			Out: []plan.Column{{Name: "v", Type: sqltypes.Int8}}}
	},
	"division": func() plan.Node {
		in := scriptScan(0)
		e := &expr.Call{Sig: "/(bigint,bigint)", Args: []expr.Expr{intConst(6), column(in, 0)}, Ty: sqltypes.Int8}
		return &plan.Project{Input: in, Exprs: []expr.Expr{e}, Names: []string{"q"}}
	},
}

// TestScripts runs testdata/<operator>/*.txt. A script is a plan's name, then commands:
//
//	t0 +1 5 x 1.5   a change of table t0; consecutive ones of a table are one chunk
//	cut             ends a chunk
//	barrier         ends the epoch; its output follows, a line each, in order of the rows
//	checkpoint      the same, and saves the state
//	restart         goes back to the last checkpoint
//	state           prints the number of rows in state
//	at 7            the time of the barriers that follow
//	wake            prints when the first operator wants a barrier
//	mark t3 7       the watermark of a table from the next barrier on
//
// Lines that begin with > are output, those that begin with # are comments.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(f, "testdata/"), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got, err := runScript(string(b))
			if err != nil {
				t.Fatal(err)
			}
			if *rewrite {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(b) {
				t.Fatalf("got:\n%s\nwant:\n%s", got, b)
			}
		})
	}
}

type script struct {
	sim   *sim
	table int
	rows  [][]sqltypes.Datum
	ws    []int64
	out   strings.Builder
}

func runScript(text string) (string, error) {
	s := &script{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, ">") {
			continue
		}
		s.out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := s.command(strings.Fields(line)); err != nil {
			return "", fmt.Errorf("%s: %w", line, err)
		}
	}
	return s.out.String(), nil
}

func (s *script) command(w []string) error {
	if s.sim == nil {
		p, ok := scriptPlans[w[0]]
		if !ok {
			return fmt.Errorf("unknown plan")
		}
		var err error
		s.sim, err = newSim(p())
		return err
	}
	if w[0] == "at" {
		v, err := strconv.ParseInt(w[1], 10, 64)
		s.sim.now = v
		return err
	}
	if w[0] == "mark" {
		v, err := strconv.ParseInt(w[2], 10, 64)
		s.sim.marks[tableID(int(w[1][1]-'0'))] = v
		return err
	}
	if len(w[0]) == 2 && w[0][0] == 't' {
		return s.change(int(w[0][1]-'0'), w[1:])
	}
	if err := s.flush(); err != nil {
		return err
	}
	switch w[0] {
	case "cut":
		return nil
	case "barrier", "checkpoint":
		out, err := s.sim.barrier(w[0] == "checkpoint")
		s.print(out)
		return err
	case "restart":
		return s.sim.start()
	case "state":
		n := 0
		for _, x := range s.sim.nodes {
			n += x.op.Stats().Rows
		}
		fmt.Fprintf(&s.out, "> %d rows\n", n)
		return nil
	}
	if w[0] == "wake" {
		for _, x := range s.sim.nodes {
			if k, ok := x.op.(Waker); ok {
				at, ok := k.Wake()
				fmt.Fprintf(&s.out, "> %d %v\n", at, ok)
			}
		}
		return nil
	}
	return fmt.Errorf("unknown command")
}

func (s *script) change(table int, w []string) error {
	if table != s.table {
		if err := s.flush(); err != nil {
			return err
		}
		s.table = table
	}
	n, err := strconv.ParseInt(w[0], 10, 64)
	if err != nil || len(w) != 4 {
		return fmt.Errorf("want a weight and three values")
	}
	vals := make([]sqltypes.Datum, 3)
	for i, x := range w[1:] {
		switch {
		case x == "NULL":
		case i == 0:
			if vals[i], err = strconv.ParseInt(x, 10, 64); err != nil {
				return err
			}
		case i == 1:
			vals[i] = x
		default:
			vals[i] = mustDec(x)
		}
	}
	s.rows, s.ws = append(s.rows, vals), append(s.ws, n)
	return nil
}

func (s *script) flush() error {
	if len(s.rows) == 0 {
		return nil
	}
	c := chunkOf(plan.Types(scriptScan(0)), s.rows, s.ws)
	s.rows, s.ws = nil, nil
	return s.sim.push(s.table, c)
}

func (s *script) print(out []*delta.Chunk) {
	var lines []string
	for _, c := range out {
		chunkRows(c, func(vals []sqltypes.Datum, w int64) { lines = append(lines, fmt.Sprintf("> %+d %s\n", w, show(vals))) })
	}
	for msg, w := range s.sim.errs {
		if w != 0 {
			lines = append(lines, fmt.Sprintf("> %+d ! %s\n", w, msg))
		}
	}
	clear(s.sim.errs)
	if s.sim.late > 0 {
		lines = append(lines, fmt.Sprintf("> late %d\n", s.sim.late))
	}
	s.sim.late = 0
	sort.Strings(lines)
	s.out.WriteString(strings.Join(lines, ""))
}
