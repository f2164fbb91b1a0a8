package expr

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Golden lines about aggregates and set-returning functions are queries:
//
//	sum(a) FROM (VALUES (1), (2)) AS t(a)
//	percentile_cont(0.5) WITHIN GROUP (ORDER BY a DESC) FROM (VALUES (1), (2)) AS t(a)
//	string_agg(x::text, ';') FROM generate_series(1, 3) AS f(x)
//	string_agg(f::text, ';') FROM json_to_record('{"a": 1}') AS f(a int4)
type goldenQuery struct {
	agg    *AggFunc
	cols   []*delta.Vec // of agg, as its state sees them
	rows   int
	table  *TableFunc
	args   []Expr
	result sqltypes.Type
}

func (q *goldenQuery) sig() string {
	if q.agg != nil {
		return q.agg.Sig()
	}
	return q.table.Sig()
}

func isQuery(s string) bool {
	return strings.Contains(s, " FROM ") && !strings.Contains(s, " DISTINCT FROM ")
}

func parseQuery(s string) (q *goldenQuery, err error) {
	defer func() {
		if p := recover(); p != nil {
			msg, ok := p.(parseError)
			if !ok {
				panic(p)
			}
			q, err = nil, fmt.Errorf("parse: %s", string(msg))
		}
	}()
	head, source, _ := strings.Cut(s, " FROM ")
	p := &testParser{s: source}
	if strings.HasPrefix(source, "(VALUES ") {
		return p.aggregate(head), nil
	}
	return p.tableFunction(), nil
}

// list reads (a, b, …).
func (p *testParser) list(item func()) {
	if !p.take("(") {
		p.fail("expected ( at " + p.s[p.pos:])
	}
	for !p.take(")") {
		item()
		p.take(",")
	}
}

func (p *testParser) aggregate(head string) *goldenQuery {
	p.pos = len("(VALUES ")
	var rows [][]Expr
	for p.space(); p.pos < len(p.s) && p.s[p.pos] == '('; p.space() {
		var row []Expr
		p.list(func() { row = append(row, p.binary()) })
		rows = append(rows, row)
		p.take(",")
	}
	var names []string
	if !p.take(")") || !p.take("AS t") {
		p.fail("expected ) AS t at " + p.s[p.pos:])
	}
	p.list(func() { names = append(names, p.word()) })
	h := &testParser{s: head}
	name := h.word()
	var calls, values []Expr // of every argument one expression for each row, the rows one after the other
	column := func(h *testParser) []Expr {
		at := h.pos
		word := h.word()
		k := slices.Index(names, word)
		out := make([]Expr, len(rows))
		for i, r := range rows {
			if k >= 0 {
				out[i] = r[k]
				continue
			}
			h.pos = at
			out[i] = h.binary()
		}
		return out
	}
	var argCols, valueCols [][]Expr
	h.list(func() {
		if h.take("*") {
			return
		}
		argCols = append(argCols, column(h))
	})
	desc := false
	if h.take("WITHIN GROUP") {
		h.list(func() {
			h.take("ORDER BY")
			valueCols = append(valueCols, column(h))
			desc = h.take("DESC")
		})
	}
	for _, c := range argCols {
		calls = append(calls, settle(firstTyped(c)))
	}
	for _, c := range valueCols {
		values = append(values, settle(firstTyped(c)))
	}
	q := &goldenQuery{rows: len(rows)}
	all := append(slices.Clone(calls), values...)
	q.agg = bestAgg(name, all)
	if q.agg == nil {
		p.fail("no aggregate " + name)
	}
	var types []sqltypes.Type
	for k, c := range append(slices.Clone(argCols), valueCols...) {
		t := q.agg.Args[min(k, len(q.agg.Args)-1)]
		if t.IsPseudo() {
			t = all[k].Type()
		}
		v := &delta.Vec{Type: t}
		for _, e := range c {
			d, err := EvalConst(goldenCtx(), convert(e, t))
			if err != nil {
				p.fail(err.Error())
			}
			v.AppendDatum(d)
		}
		types = append(types, t)
		q.cols = append(q.cols, v)
	}
	q.result = q.agg.Result
	if q.agg.ResultOf != nil {
		q.result = q.agg.ResultOf(types)
	}
	if q.agg.OrderedSet {
		q.cols = append(slices.Clone(q.cols[q.agg.Direct:]), q.cols[:q.agg.Direct]...)
		order := make([]int32, len(rows))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			c := sqlio.Compare(q.cols[0].Type, q.cols[0].Datum(int(a)), q.cols[0].Datum(int(b)))
			if desc {
				return -c
			}
			return c
		})
		for k := range q.cols {
			q.cols[k] = q.cols[k].Gather(order)
		}
	}
	return q
}

// firstTyped is a value of a column that says its type.
func firstTyped(column []Expr) Expr {
	for _, e := range column {
		if e.Type() != sqltypes.Unknown {
			return e
		}
	}
	return column[0]
}

func bestAgg(name string, args []Expr) *AggFunc {
	best, bestScore := (*AggFunc)(nil), noMatch
	for _, a := range AggByName(name) {
		if s := matchArgs(&Func{Args: a.Args, Variadic: a.Variadic}, args); s > bestScore && len(args) >= len(a.Args) {
			best, bestScore = a, s
		}
	}
	return best
}

func (p *testParser) tableFunction() *goldenQuery {
	name := p.word()
	q := &goldenQuery{}
	p.list(func() { q.args = append(q.args, p.binary()) })
	bestScore := noMatch
	var best *Func
	for _, t := range TableFuncsByName(name) {
		f := &Func{Args: t.Args, Optional: t.Optional}
		if s := matchArgs(f, q.args); s > bestScore {
			best, q.table, bestScore = f, t, s
		}
	}
	if q.table == nil {
		p.fail("no set-returning function " + name)
	}
	for i := range q.args {
		if want := paramType(best, i, q.args); !want.IsPseudo() {
			q.args[i] = convert(q.args[i], want)
		} else {
			q.args[i] = settle(q.args[i])
		}
	}
	if q.table.ColumnDefs {
		if !p.take("AS f") {
			p.fail("expected AS f")
		}
		var fields []sqltypes.RowField
		p.list(func() { fields = append(fields, sqltypes.RowField{Name: p.word(), Type: p.typeName()}) })
		q.args = append(q.args, Null(sqltypes.StructOf(fields)))
	}
	return q
}

// outcome evaluates the query.
func (q *goldenQuery) outcome(t *testing.T) string {
	if q.agg != nil {
		return run(t, q.agg, q.cols, q.rows, nil)
	}
	text := sqltypes.Text
	args, types := make([]sqltypes.Datum, len(q.args)), make([]sqltypes.Type, len(q.args))
	for i, a := range q.args {
		d, err := EvalConst(goldenCtx(), a)
		if err != nil {
			return outcome(text, nil, err)
		}
		args[i], types[i] = d, a.Type()
		if d == nil && !q.table.CalledOnNull {
			return outcome(text, nil, nil)
		}
	}
	cols := q.table.Cols
	if q.table.ColsOf != nil {
		cols = q.table.ColsOf(types)
	}
	var out []string
	err := q.table.Eval(goldenCtx(), args, types, func(row []sqltypes.Datum) error {
		switch {
		case len(cols) > 1 || q.table.ColumnDefs:
			var fields []sqltypes.RowField
			for _, c := range cols {
				fields = append(fields, sqltypes.RowField{Name: c.Name, Type: c.Type})
			}
			rt := sqltypes.StructOf(fields)
			out = append(out, sqlio.TextOf(rt, sqlio.EncodeRecord(rt, row), sqlio.DefaultSettings()))
		case row[0] != nil:
			out = append(out, sqlio.TextOf(cols[0].Type, row[0], sqlio.DefaultSettings()))
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		return outcome(text, nil, err)
	}
	return outcome(text, []byte(strings.Join(out, ";")), nil)
}
