package session

import (
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// CreateSQL is a statement that makes the relation as it is now, which ALTER may have changed since its CREATE.
func CreateSQL(snap *catalog.Snapshot, r *catalog.Relation) string {
	name := parser.Name{Parts: []string{r.Schema, r.Name}}
	switch r.Kind {
	case catalog.View, catalog.MatView:
		kind := "VIEW "
		if r.Kind == catalog.MatView {
			kind = "MATERIALIZED VIEW "
		}
		text := "CREATE " + kind + parser.QuoteName(name)
		if !namesFit(r) {
			text += " ("
			for i, c := range r.Columns {
				if i > 0 {
					text += ", "
				}
				text += parser.QuoteIdent(c.Name)
			}
			text += ")"
		}
		return text + " AS " + r.Definition
	}
	st, err := parser.ParseOne(r.Definition)
	if err != nil {
		return r.Definition
	}
	switch x := st.(type) {
	case *parser.CreateTableStmt:
		x.Name = name
		if x.Query != nil || r.Connector == nil && !x.Star && len(x.Includes) == 0 {
			tableAsItIs(x, r)
		}
		if r.Connector != nil {
			x.Options = setOption(x.Options, r, catalog.SourceRate)
		}
	case *parser.CreateSourceStmt:
		x.Name = name
		x.Options = setOption(x.Options, r, catalog.SourceRate)
	case *parser.CreateSinkStmt:
		x.Name = name
		if r.SinkInto == 0 {
			x.Options = setOption(setOption(x.Options, r, catalog.SourceRate), r, catalog.SinkRate)
		}
	case *parser.CreateConnectionStmt:
		x.Name = name
	case *parser.CreateSubscriptionStmt:
		x.Name = name
		subscriptionAsItIs(x, snap, r)
	case *parser.CreateIndexStmt:
		x.Name = parser.Name{Parts: []string{r.Name}}
		if on := snap.Relations[r.IndexOn]; on != nil {
			x.Table = parser.Name{Parts: []string{on.Schema, on.Name}}
		}
	default:
		return r.Definition
	}
	hideOptions(st)
	nameSecrets(st, snap, r)
	return parser.Format(st)
}

// namesFit says that a view's query gives its columns their names by itself.
func namesFit(r *catalog.Relation) bool {
	st, err := parser.ParseOne(r.Definition)
	if err != nil {
		return false
	}
	q, ok := st.(*parser.SelectStmt)
	if !ok {
		return false
	}
	s, ok := q.Query.Body.(*parser.Select)
	if !ok || len(s.Targets) != len(r.Columns) {
		return false
	}
	for i, t := range s.Targets {
		name := t.Alias
		if c, ok := t.Expr.(*parser.ColumnRef); ok && name == "" {
			name = c.Parts[len(c.Parts)-1]
		}
		if name != r.Columns[i].Name {
			return false
		}
	}
	return true
}

// kept are the constraints of a column definition that the catalog does not have in a field of the column.
var kept = []parser.ConstraintKind{parser.ConCheck, parser.ConUnique, parser.ConIdentity, parser.ConForeignKey}

// tableAsItIs gives a CREATE TABLE the columns that the table has now.
func tableAsItIs(x *parser.CreateTableStmt, r *catalog.Relation) {
	defs := map[string]parser.ColumnDef{}
	for _, d := range x.Columns {
		defs[d.Name] = d
	}
	x.Query, x.NoData, x.HasElements, x.Likes, x.Columns = nil, false, true, nil, nil
	x.Constraints = slices.DeleteFunc(x.Constraints, func(c parser.TableConstraint) bool { return c.Kind == parser.ConPrimaryKey })
	for i, c := range r.Columns {
		d := parser.ColumnDef{Name: c.Name}
		d.Type, _ = parser.ParseType(c.Type.String())
		key := len(r.PrimaryKey) == 1 && r.PrimaryKey[0] == i
		if e, err := parser.ParseExpr(c.Default); err == nil && c.Default != "" {
			d.Constraints = append(d.Constraints, parser.ColumnConstraint{Kind: parser.ConDefault, Expr: e})
		}
		if e, err := parser.ParseExpr(c.Generated); err == nil && c.Generated != "" {
			d.Constraints = append(d.Constraints, parser.ColumnConstraint{Kind: parser.ConGenerated, Expr: e, Stored: true})
		}
		if c.NotNull && !slices.Contains(r.PrimaryKey, i) {
			d.Constraints = append(d.Constraints, parser.ColumnConstraint{Kind: parser.ConNotNull})
		}
		if key {
			d.Constraints = append(d.Constraints, parser.ColumnConstraint{Kind: parser.ConPrimaryKey})
		}
		for _, k := range defs[c.Name].Constraints {
			if slices.Contains(kept, k.Kind) {
				d.Constraints = append(d.Constraints, k)
			}
		}
		x.Columns = append(x.Columns, d)
	}
	if len(r.PrimaryKey) > 1 {
		pk := parser.TableConstraint{Kind: parser.ConPrimaryKey}
		for _, k := range r.PrimaryKey {
			pk.Columns = append(pk.Columns, parser.Ident{Name: r.Columns[k].Name})
		}
		x.Constraints = append([]parser.TableConstraint{pk}, x.Constraints...)
	}
}

// showCreate runs SHOW CREATE.
func (s *Session) showCreate(x *parser.ShowStmt, cols []pgwire.Column) (pgwire.Rows, error) {
	snap := s.snapshot()
	if x.ObjectKind == parser.ObjFunction {
		f, err := s.findFunction(snap, x.Relation, false, nil)
		if err != nil {
			return nil, err
		}
		def, err := s.m.System.Function(s, "pg_get_functiondef", []sqltypes.Datum{int64(f.ID)})
		if err != nil {
			return nil, err
		}
		return table(cols, [][]sqltypes.Datum{{f.Schema + "." + f.Name, def}}, "SHOW"), nil
	}
	r, err := s.find(snap, x.Relation)
	if err != nil {
		return nil, err
	}
	if kind, ok := dropKinds[x.ObjectKind]; ok && kind != r.Kind {
		return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a %s", r.Name, kind).At(x.Relation.Pos)
	}
	return table(cols, [][]sqltypes.Datum{{r.Schema + "." + r.Name, CreateSQL(snap, r)}}, "SHOW"), nil
}
