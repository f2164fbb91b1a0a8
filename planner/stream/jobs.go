package stream

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/logical"
)

// TableJob is the plan of a table: its contents are what DML writes and, for a table with a connector, what source
// (nil: none; bind.Source makes it) delivers. marks are its watermarks, without input (bind.Watermarks).
func TableJob(r *catalog.Relation, source plan.Node, marks []*plan.Watermark, parallelism int) (plan.Node, *Facts) {
	d := &distributor{parallelism: parallelism}
	dml := &plan.DML{Table: r.ID, Out: make([]plan.Column, len(r.Columns))}
	for i, c := range r.Columns {
		dml.Out[i] = plan.Column{Name: c.Name, Type: c.Type}
	}
	facts := &Facts{UniqueKeys: r.UniqueKeys, AppendOnly: r.AppendOnly}
	m := &plan.Materialize{Table: r.ID, Dist: r.Dist, OnConflict: r.OnConflict}
	if len(r.PrimaryKey) > 0 {
		m.Key = ascending(r.PrimaryKey)
		if m.Dist == nil {
			m.Dist = r.PrimaryKey
		}
		if len(facts.UniqueKeys) == 0 {
			facts.UniqueKeys = [][]int{r.PrimaryKey}
		}
	} else if m.Dist == nil {
		m.Dist = comparable(dml)
	}
	var in plan.Node = dml
	if source != nil {
		in = &plan.Union{Inputs: []plan.Node{dml, source}}
		m.Commands = hasCommands(source)
		if m.OnConflict == "" && len(m.Key) > 0 {
			m.OnConflict = "overwrite"
		}
	}
	for _, w := range marks {
		in = w.WithChildren([]plan.Node{in})
	}
	facts.Watermarks = plan.MarkCols(in)
	m.Input, _ = d.hash(in, spread{}, m.Dist)
	facts.Key, facts.Dist = m.Key, m.Dist
	top, states := number(m)
	facts.States = states
	return top, facts
}

// CaptureJob is the plan of a source that captures tables.
func CaptureJob(r *catalog.Relation) (plan.Node, *Facts) {
	top, states := number(&plan.Capture{Source: r.ID, Name: r.Name, Connector: *r.Connector})
	return top, &Facts{States: states}
}

// CapturedJob is the plan of a captured table. One actor keeps it: its changes come in order from one log.
func CapturedJob(r *catalog.Relation) (plan.Node, *Facts) {
	scan := &plan.CaptureScan{Source: r.Captured.Source, Table: r.ID}
	for _, c := range r.Columns {
		scan.Out = append(scan.Out, plan.Column{Name: c.Name, Type: c.Type})
	}
	scan.Out = append(scan.Out, plan.Column{Name: "control", Type: sqltypes.Bytea})
	m := &plan.Materialize{Input: scan, Table: r.ID, Captured: true}
	facts := &Facts{}
	if len(r.PrimaryKey) > 0 {
		m.Key, m.Commands = ascending(r.PrimaryKey), true
		facts.UniqueKeys = [][]int{r.PrimaryKey}
	}
	facts.Key = m.Key
	top, states := number(m)
	facts.States = states
	return top, facts
}

func hasCommands(n plan.Node) bool {
	found := false
	plan.Walk(n, func(x plan.Node) bool {
		if s, ok := x.(*plan.SourceScan); ok && s.Upsert {
			found = true
		}
		return true
	})
	return found
}

// IndexJob is the plan of an index: the base relation's columns of the same names, kept in the order of the index's
// key. Key columns are those of idx.IndexCols.
func IndexJob(idx, base *catalog.Relation, parallelism int) (plan.Node, *Facts, error) {
	scan := logical.Scan(base)
	p := &plan.Project{Input: scan}
	at := map[int]int{} // column of base → of the index
	for i, c := range idx.Columns {
		k, ok := base.Column(c.Name)
		if !ok {
			return nil, nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q does not exist", c.Name)
		}
		at[k] = i
		p.Exprs = append(p.Exprs, &expr.Col{Index: k, Ty: base.Columns[k].Type, Name: c.Name})
		p.Names = append(p.Names, c.Name)
	}
	root := Root{Table: idx.ID}
	for _, k := range idx.IndexCols {
		to, ok := at[k.Col]
		if !ok {
			return nil, nil, sqlerr.New(sqlerr.InvalidObjectDefinition, "index %q lacks its key column %q", idx.Name, base.Columns[k.Col].Name)
		}
		k.Col = to
		root.Key = append(root.Key, k)
	}
	return Plan(p, root, parallelism)
}

// UniqueJob is the plan of the index behind a unique key: whole rows of base by the key's columns, those without NULL in
// them unless NULLs are equal.
func UniqueJob(idx, base *catalog.Relation) (plan.Node, *Facts) {
	d := &distributor{parallelism: idx.Parallelism}
	var in plan.Node = logical.Scan(base)
	var key []int
	var conds []expr.Expr
	for _, k := range idx.IndexCols {
		key = append(key, k.Col)
		conds = append(conds, &expr.IsNull{Arg: &expr.Col{Index: k.Col, Ty: base.Columns[k.Col].Type, Name: base.Columns[k.Col].Name}, Negate: true})
	}
	if !idx.NullsNotDistinct {
		in = &plan.Filter{Input: in, Cond: expr.And(conds)}
	}
	m := &plan.Materialize{Table: idx.ID, Key: ascending(key), Dist: key}
	m.Input, _ = d.hash(in, spread{}, m.Dist)
	top, states := number(m)
	return top, &Facts{Key: m.Key, Dist: m.Dist, UniqueKeys: [][]int{key}, States: states}
}
