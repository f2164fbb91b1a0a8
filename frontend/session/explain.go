package session

import (
	"context"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/explain"
	"github.com/millrace/millrace/planner/stream"
)

// explain runs EXPLAIN: the batch plan of a query or DML, the stream plan of a CREATE.
func (s *Session) explain(ctx context.Context, x *parser.ExplainStmt) (pgwire.Rows, error) {
	if x.Has("analyze") {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "EXPLAIN ANALYZE is not supported").At(x.Pos)
	}
	n, mode, err := s.explained(x.Stmt)
	if err != nil {
		return nil, err
	}
	lines := explain.Lines(n, mode)
	if x.Has("state") {
		lines = explain.State(n)
	}
	var rows [][]sqltypes.Datum
	for _, line := range lines {
		rows = append(rows, []sqltypes.Datum{line})
	}
	return table(s.utilityColumns(x), rows, "EXPLAIN"), nil
}

func (s *Session) explained(ast parser.Stmt) (n plan.Node, m explain.Mode, err error) {
	env := s.env(nil)
	defer func() {
		if err == nil {
			err = s.mayAccess(env.Access)
		}
	}()
	switch x := ast.(type) {
	case *parser.SelectStmt:
		n, err := bind.Query(env, x.Query)
		if err != nil {
			return nil, 0, err
		}
		n, err = s.planQuery(n, env.Catalog)
		return n, explain.Batch, err
	case *parser.InsertStmt:
		if bind.InsertQueries(x) {
			n, err := bind.InsertReturning(env, x)
			if err != nil {
				return nil, 0, err
			}
			n, err = s.planQuery(n, env.Catalog)
			return n, explain.Batch, err
		}
		p, err := bind.Insert(env, x)
		if err != nil {
			return nil, 0, err
		}
		n, err = planBatch(p.Source, env.Catalog)
		return n, explain.Batch, err
	case *parser.UpdateStmt:
		p, err := bind.Update(env, x)
		if err != nil {
			return nil, 0, err
		}
		n, err = planBatch(p.Source, env.Catalog)
		return n, explain.Batch, err
	case *parser.DeleteStmt:
		p, err := bind.Delete(env, x)
		if err != nil {
			return nil, 0, err
		}
		n, err = planBatch(p.Source, env.Catalog)
		return n, explain.Batch, err
	case *parser.MergeStmt:
		p, err := bind.Merge(env, x)
		if err != nil {
			return nil, 0, err
		}
		n, err = planBatch(p.Source, env.Catalog)
		return n, explain.Batch, err
	case *parser.CreateMatViewStmt:
		n, err := s.streamQuery(&catalog.Relation{}, x.Query)
		if err != nil {
			return nil, 0, err
		}
		n, _, err = stream.Plan(n, s.root(stream.Root{EmitOnClose: x.EmitOnWindowClose}), max(s.m.Parallelism, 1))
		if err != nil {
			return nil, 0, placed(err, x.Query, x.EmitAt)
		}
		return n, explain.Stream, nil
	}
	return nil, 0, unsupported(ast)
}
