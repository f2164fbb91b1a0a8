// Package bindtest builds catalogs from CREATE statements, for tests of the binder and the planner.
//
// The idea: the same text that a user would type describes a test's schema; views go through binder and stream planner,
// so that their derived facts are real.
//
// A Catalog belongs to one test and one goroutine. It stores nothing and runs nothing. Start at New.
package bindtest

import (
	"fmt"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/stream"
)

// Catalog is a catalog under construction.
type Catalog struct {
	Snapshot *catalog.Snapshot
	next     catalog.ID
	// Parallelism is that of the jobs planned for views and indexes.
	Parallelism int
}

// New makes a catalog with a schema "public" and the relations that the statements create.
func New(statements string) (*Catalog, error) {
	c := &Catalog{next: catalog.FirstUserID, Parallelism: 4, Snapshot: &catalog.Snapshot{
		Database: "dev", Schemas: map[string]*catalog.Schema{"public": {ID: 1, Name: "public"}},
		Relations: map[catalog.ID]*catalog.Relation{},
	}}
	c.Snapshot.Index()
	return c, c.Add(statements)
}

// Env is an environment to bind one statement in.
func (c *Catalog) Env() *bind.Env {
	return &bind.Env{Catalog: c.Snapshot, SearchPath: []string{"public"}, Settings: sqlio.DefaultSettings(), System: System}
}

// System knows one system relation.
func System(schema, name string) ([]plan.Column, bool) {
	if schema != "pg_catalog" || name != "pg_class" {
		return nil, false
	}
	return []plan.Column{{Name: "oid", Type: sqltypes.Oid}, {Name: "relname", Type: sqltypes.Name}, {Name: "relkind", Type: sqltypes.Char}}, true
}

// Add runs CREATE statements.
func (c *Catalog) Add(statements string) error {
	stmts, err := parser.Parse(statements)
	if err != nil {
		return err
	}
	for _, s := range stmts {
		if err := c.add(s); err != nil {
			return fmt.Errorf("%s: %w", s.Src().Text, err)
		}
	}
	return nil
}

func (c *Catalog) add(s parser.Stmt) error {
	r := &catalog.Relation{ID: c.next, Schema: "public", Owner: "root", Parallelism: c.Parallelism}
	c.next++
	var err error
	switch x := s.(type) {
	case *parser.CreateTableStmt:
		r.Name, r.Kind, r.AppendOnly = x.Name.Last(), catalog.Table, x.AppendOnly
		if err = columns(r, &x.TableElements); err == nil {
			marks, bad := bind.Watermarks(c.Env(), r)
			if bad != nil {
				return bad
			}
			_, f := stream.TableJob(r, nil, marks, c.Parallelism)
			apply(r, f)
		}
	case *parser.CreateSourceStmt:
		r.Name, r.Kind, r.AppendOnly = x.Name.Last(), catalog.Source, true
		r.Connector = &catalog.Connector{Name: "nexmark"}
		if x.Format != nil {
			r.Connector.Format, r.Connector.Encode = x.Format.Format, x.Format.Encode
		}
		err = columns(r, &x.TableElements)
	case *parser.CreateViewStmt:
		r.Name, r.Kind, r.Definition = x.Name.Last(), catalog.View, parser.Format(x.Query)
		err = c.viewColumns(r, x.Query, x.Columns)
	case *parser.CreateMatViewStmt:
		r.Name, r.Kind = x.Name.Last(), catalog.MatView
		err = c.matView(r, x)
	case *parser.CreateIndexStmt:
		r.Name, r.Kind = x.Name.Last(), catalog.Index
		err = c.index(r, x)
	default:
		return fmt.Errorf("%T is not a statement for a test catalog", s)
	}
	if err != nil {
		return err
	}
	c.Snapshot.Relations[r.ID] = r
	c.Snapshot.Index()
	return nil
}

func apply(r *catalog.Relation, f *stream.Facts) {
	r.Key, r.Dist, r.UniqueKeys, r.AppendOnly, r.Watermarks = f.Key, f.Dist, f.UniqueKeys, f.AppendOnly, f.Watermarks
}

func columns(r *catalog.Relation, e *parser.TableElements) error {
	for i, d := range e.Columns {
		t, err := bind.TypeOf(&bind.Env{}, d.Type)
		if err != nil {
			return err
		}
		col := catalog.Column{ID: int32(i + 1), Name: d.Name, Type: t}
		for _, con := range d.Constraints {
			switch con.Kind {
			case parser.ConNotNull:
				col.NotNull = true
			case parser.ConPrimaryKey:
				col.NotNull = true
				r.PrimaryKey = []int{i}
			case parser.ConDefault:
				col.Default = parser.Format(con.Expr)
			case parser.ConGenerated:
				col.Generated = parser.Format(con.Expr)
			}
		}
		r.Columns = append(r.Columns, col)
	}
	for _, con := range e.Constraints {
		if con.Kind != parser.ConPrimaryKey {
			continue
		}
		for _, id := range con.Columns {
			i, _ := r.Column(id.Name)
			r.PrimaryKey = append(r.PrimaryKey, i)
		}
	}
	if r.PrimaryKey != nil {
		r.UniqueKeys = [][]int{r.PrimaryKey}
	}
	for _, w := range e.Watermarks {
		col, _ := r.Column(w.Column.Name)
		r.WatermarkFor = append(r.WatermarkFor, catalog.Watermark{Col: col, Expr: parser.Format(w.Expr)})
	}
	return nil
}

func (c *Catalog) viewColumns(r *catalog.Relation, q *parser.Query, names []parser.Ident) error {
	env := c.Env()
	env.Streaming = true
	n, err := bind.Query(env, q)
	if err != nil {
		return err
	}
	setColumns(r, n, names)
	return nil
}

func setColumns(r *catalog.Relation, n plan.Node, names []parser.Ident) {
	for i, col := range n.Columns() {
		if i < len(names) {
			col.Name = names[i].Name
		}
		r.Columns = append(r.Columns, catalog.Column{ID: int32(i + 1), Name: col.Name, Type: col.Type})
	}
}

func (c *Catalog) matView(r *catalog.Relation, x *parser.CreateMatViewStmt) error {
	env := c.Env()
	env.Streaming = true
	n, err := bind.Query(env, x.Query)
	if err != nil {
		return err
	}
	top, f, err := stream.Plan(n, stream.Root{Table: r.ID}, c.Parallelism)
	if err != nil {
		return err
	}
	setColumns(r, top, x.Columns)
	apply(r, f)
	r.DependsOn = env.Used
	return nil
}

func (c *Catalog) index(r *catalog.Relation, x *parser.CreateIndexStmt) error {
	base, ok := c.Snapshot.Resolve([]string{"public"}, x.Table.Last())
	if !ok {
		return fmt.Errorf("no relation %s", x.Table)
	}
	r.IndexOn, r.DependsOn = base.ID, []catalog.ID{base.ID}
	taken := map[int]bool{}
	add := func(i int) {
		taken[i] = true
		r.Columns = append(r.Columns, base.Columns[i])
	}
	for _, e := range x.Elems {
		i, ok := base.Column(e.Expr.(*parser.ColumnRef).Parts[0])
		if !ok {
			return fmt.Errorf("no column %s", parser.Format(e.Expr))
		}
		r.IndexCols = append(r.IndexCols, catalog.SortKey{Col: i, Desc: e.Desc})
		add(i)
	}
	for i := range base.Columns {
		if !taken[i] {
			add(i)
		}
	}
	_, f, err := stream.IndexJob(r, base, c.Parallelism)
	if err != nil {
		return err
	}
	apply(r, f)
	return nil
}
