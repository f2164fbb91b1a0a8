package session

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/logical"
	"github.com/millrace/millrace/planner/stream"
)

// verification plans VERIFY MATERIALIZED VIEW: the view's rows and, with a weight of −1, those of its query, added up.
// What remains are the rows in which they differ. The query is the one that the job runs, evaluated from scratch over
// the contents of its inputs; like any query it reads the view and them at one epoch.
func (s *Session) verification(x *parser.VerifyStmt) (plan.Node, *catalog.Relation, error) {
	snap := s.snapshot()
	r, err := s.find(snap, x.Name)
	if err != nil {
		return nil, nil, err
	}
	if r.Kind != catalog.MatView {
		return nil, nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a materialized view", r.Name).At(x.Name.Pos)
	}
	if err := s.may(r, 'r'); err != nil {
		return nil, nil, err
	}
	job, err := plan.Decode(r.Plan)
	if err != nil {
		return nil, nil, err
	}
	query, err := stream.Recompute(job)
	if err != nil {
		return nil, nil, sqlerr.From(err).At(x.Name.Pos)
	}
	return differences(logical.Scan(r), query), r, nil
}

// asStream lets a query evaluate expressions and ties as the view's job does.
func (s *Session) asStream(q *engine.Query, view *catalog.Relation) {
	settings := sqlio.DefaultSettings()
	for name, value := range view.Settings {
		_ = Apply(settings, name, value) // what was valid at CREATE stays valid
	}
	q.Batch.ExactTies = true
	q.Ctx = func() *expr.Ctx {
		c := s.evalCtx()
		c.Settings = settings
		return c
	}
}

// differences subtracts want from have: the columns of have, and how often a row is there too many (positive) or too
// few times. Types without an equality are compared as text.
func differences(have, want plan.Node) plan.Node {
	cols := have.Columns()
	u := &plan.Union{Inputs: []plan.Node{signed(have, 1), signed(want, -1)}}
	sums := &plan.Agg{Input: u, GroupBy: plan.Span(0, len(cols)), Scalar: len(cols) == 0, Aggs: []plan.AggCall{{
		Sig: "sum(bigint)", Args: []int{len(cols)}, ArgTypes: []sqltypes.Type{sqltypes.Int8}, Result: sqltypes.Numeric, Filter: -1, Name: "difference"}}}
	sum := &expr.Cast{Arg: &expr.Col{Index: len(cols), Ty: sqltypes.Numeric, Name: "difference"}, Ty: sqltypes.Int8, Explicit: true}
	counts := &plan.Project{Input: sums}
	for i, c := range cols {
		var e expr.Expr = &expr.Col{Index: i, Ty: comparedAs(c.Type), Name: c.Name}
		if comparedAs(c.Type) != c.Type {
			e = &expr.Cast{Arg: e, Ty: c.Type, Explicit: true}
		}
		counts.Exprs, counts.Names = append(counts.Exprs, e), append(counts.Names, c.Name)
	}
	counts.Exprs, counts.Names = append(counts.Exprs, sum), append(counts.Names, "difference")
	return &plan.Filter{Input: counts, Cond: &expr.Call{Sig: "<>(bigint,bigint)", Ty: sqltypes.Bool, Args: []expr.Expr{
		&expr.Col{Index: len(cols), Ty: sqltypes.Int8}, &expr.Const{Ty: sqltypes.Int8, Val: int64(0)}}}}
}

func signed(n plan.Node, weight int64) plan.Node {
	p := &plan.Project{Input: n}
	for i, c := range n.Columns() {
		var e expr.Expr = &expr.Col{Index: i, Ty: c.Type, Name: c.Name}
		if t := comparedAs(c.Type); t != c.Type {
			e = &expr.Cast{Arg: e, Ty: t, Explicit: true}
		}
		p.Exprs, p.Names = append(p.Exprs, e), append(p.Names, c.Name)
	}
	p.Exprs, p.Names = append(p.Exprs, &expr.Const{Ty: sqltypes.Int8, Val: weight}), append(p.Names, "difference")
	return p
}

func comparedAs(t sqltypes.Type) sqltypes.Type {
	if t.Kind == sqltypes.KJSON || t.Elem == sqltypes.KJSON {
		return sqltypes.Text
	}
	return t
}
