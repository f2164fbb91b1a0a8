package session

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// createTable runs CREATE TABLE in all its forms and returns the command tag.
func (s *Session) createTable(ctx context.Context, x *parser.CreateTableStmt) (string, error) {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.Table, x.Text)
	if err != nil {
		return "", err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return "CREATE TABLE", err
	}
	if x.Query != nil {
		return s.createTableAs(ctx, snap, r, x)
	}
	if err := s.tableElements(r, &x.TableElements, x.Includes); err != nil {
		return "", err
	}
	r.OnConflict = strings.ToLower(x.OnConflict)
	if strings.HasPrefix(r.OnConflict, "do ") {
		r.OnConflict = map[string]string{"do nothing": "ignore"}[r.OnConflict]
	}
	r.AppendOnly = x.AppendOnly
	if len(x.Options) > 0 {
		if err := s.connect(ctx, r, x.Options, x.Format, x.Pos); err != nil {
			return "", err
		}
	}
	if len(r.Columns) == 0 && r.Connector != nil {
		return "", sqlerr.New(sqlerr.InvalidTableDefinition, "table %q has no columns", r.Name).At(x.Name.Pos)
	}
	if err := s.watermarks(r, x.Watermarks); err != nil {
		return "", err
	}
	return "CREATE TABLE", s.createTableJob(ctx, snap, r)
}

func (s *Session) createTableJob(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation) error {
	if r.Connector != nil {
		r.UniqueKeys = nil // rows may be changed by DML
	}
	return s.create(ctx, snap, r, func(catalog.ID) (int, error) { return s.setTableJob(r) })
}

// createTableAs runs CREATE TABLE … AS: the table, then an INSERT of the query's rows.
func (s *Session) createTableAs(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, x *parser.CreateTableStmt) (string, error) {
	q, err := bind.Query(s.env(nil), x.Query)
	if err != nil {
		return "", err
	}
	for i, c := range q.Columns() {
		name := c.Name
		if i < len(x.Columns) {
			name = x.Columns[i].Name
		}
		if err := addColumn(r, catalog.Column{Name: name, Type: c.Type}, x.Query.Pos); err != nil {
			return "", err
		}
	}
	if err := s.createTableJob(ctx, snap, r); err != nil {
		return "", err
	}
	if x.NoData {
		return "CREATE TABLE AS", nil
	}
	ins := &plan.Insert{Table: s.snapshot().Relations[r.ID]}
	if ins.Source, err = planBatch(q, s.snapshot()); err != nil {
		return "", err
	}
	n, err := s.modifying(ctx, true, func(ctx context.Context, txn *engine.Txn) (int64, error) {
		res, err := s.m.Engine.Insert(ctx, txn, ins, s.query2())
		if err != nil {
			return 0, err
		}
		return res.Count, nil
	})
	if s.txn.block {
		return fmt.Sprintf("SELECT %d", n), err
	}
	if err == nil {
		err = s.commit(ctx)
	}
	if err != nil {
		s.forget(context.WithoutCancel(ctx), r)
		return "", err
	}
	return fmt.Sprintf("SELECT %d", n), nil
}

func addColumn(r *catalog.Relation, c catalog.Column, pos int) error {
	if _, dup := r.Column(c.Name); dup {
		return sqlerr.New(sqlerr.DuplicateColumn, "column %q specified more than once", c.Name).At(pos)
	}
	if len(r.Columns) >= 1600 {
		return sqlerr.New(sqlerr.TooManyColumns, "tables can have at most 1600 columns")
	}
	if c.Type.IsPseudo() || c.Type.Kind == sqltypes.KVoid {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "column %q has pseudo-type %s", c.Name, c.Type).At(pos)
	}
	if c.Type.Kind == sqltypes.KUnknown {
		c.Type = sqltypes.Text
	}
	r.NextColumnID++
	c.ID = r.NextColumnID
	r.Columns = append(r.Columns, c)
	return nil
}

// tableElements reads the columns and constraints of CREATE TABLE or CREATE SOURCE.
func (s *Session) tableElements(r *catalog.Relation, t *parser.TableElements, includes []parser.IncludeClause) error {
	for _, l := range t.Likes {
		like, err := s.find(s.snapshot(), l.Table)
		if err != nil {
			return err
		}
		for _, c := range like.Columns {
			if err := addColumn(r, catalog.Column{Name: c.Name, Type: c.Type, NotNull: c.NotNull}, l.Pos); err != nil {
				return err
			}
		}
	}
	for i := range t.Columns {
		if err := s.columnDef(r, &t.Columns[i]); err != nil {
			return err
		}
	}
	for _, inc := range includes {
		if err := s.includeColumn(r, inc); err != nil {
			return err
		}
	}
	for _, c := range t.Constraints {
		switch c.Kind {
		case parser.ConPrimaryKey:
			var cols []int
			for _, id := range c.Columns {
				k, ok := r.Column(id.Name)
				if !ok {
					return sqlerr.New(sqlerr.UndefinedColumn, "column %q named in key does not exist", id.Name).At(id.Pos)
				}
				if slices.Contains(cols, k) {
					return sqlerr.New(sqlerr.DuplicateColumn, "column %q appears twice in primary key constraint", id.Name).At(id.Pos)
				}
				cols = append(cols, k)
			}
			if err := setPrimaryKey(r, cols, c.Pos); err != nil {
				return err
			}
		case parser.ConForeignKey:
			s.warn(sqlerr.Warning, "foreign keys are accepted and not enforced")
		default:
			return sqlerr.New(sqlerr.FeatureNotSupported, "CHECK and UNIQUE constraints are not supported").At(c.Pos).
				WithHint("A primary key keeps rows unique.")
		}
	}
	return s.checkDefaults(r, t)
}

func setPrimaryKey(r *catalog.Relation, cols []int, pos int) error {
	if len(r.PrimaryKey) > 0 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "multiple primary keys for table %q are not allowed", r.Name).At(pos)
	}
	for _, c := range cols {
		r.Columns[c].NotNull = true
		if t := r.Columns[c].Type; t.Kind == sqltypes.KJSON {
			return sqlerr.New(sqlerr.UndefinedObject, "data type %s has no default operator class for access method \"btree\"", t).At(pos)
		}
	}
	r.PrimaryKey = cols
	return nil
}

func (s *Session) columnDef(r *catalog.Relation, d *parser.ColumnDef) error {
	if d.Type == nil {
		return sqlerr.New(sqlerr.SyntaxError, "column %q has no type", d.Name).At(d.Pos)
	}
	serial := strings.ToLower(d.Type.Name.Last())
	if strings.HasSuffix(serial, "serial") || serial == "serial4" || serial == "serial8" || serial == "serial2" {
		return sqlerr.New(sqlerr.FeatureNotSupported, "type %s is not supported", serial).At(d.Type.Pos).
			WithHint("Give the column a value in INSERT, or use a key of your own.")
	}
	t, err := s.typeOf(d.Type)
	if err != nil {
		return err
	}
	c := catalog.Column{Name: d.Name, Type: t}
	primary := -1
	for _, con := range d.Constraints {
		switch con.Kind {
		case parser.ConNotNull:
			c.NotNull = true
		case parser.ConNull:
		case parser.ConDefault:
			c.Default = parser.Format(con.Expr)
		case parser.ConGenerated:
			c.Generated = parser.Format(con.Expr)
		case parser.ConPrimaryKey:
			primary = con.Pos
		case parser.ConForeignKey:
			s.warn(sqlerr.Warning, "foreign keys are accepted and not enforced")
		default:
			return sqlerr.New(sqlerr.FeatureNotSupported, "this column constraint is not supported").At(con.Pos)
		}
	}
	if err := addColumn(r, c, d.Pos); err != nil {
		return err
	}
	if primary >= 0 {
		return setPrimaryKey(r, []int{len(r.Columns) - 1}, primary)
	}
	return nil
}

// checkDefaults binds defaults and generated columns, so that a bad one fails at CREATE.
func (s *Session) checkDefaults(r *catalog.Relation, t *parser.TableElements) error {
	cols := relationColumns(r)
	pos := func(name string) int {
		for _, d := range t.Columns {
			if d.Name == name {
				for _, con := range d.Constraints {
					if con.Expr != nil {
						return con.Pos
					}
				}
			}
		}
		return -1
	}
	for _, c := range r.Columns {
		text, in := c.Default, []plan.Column(nil)
		if c.Generated != "" {
			text, in = c.Generated, cols
		}
		if text == "" {
			continue
		}
		if _, err := bind.Default(s.env(nil), text, c.Type, c.Name, in); err != nil {
			e := *sqlerr.From(err)
			e.Offset = 0 // positions are those of the expression's own text
			return (&e).At(pos(c.Name))
		}
	}
	return nil
}

// includeColumn adds the column of an INCLUDE clause.
func (s *Session) includeColumn(r *catalog.Relation, inc parser.IncludeClause) error {
	types := map[string]sqltypes.Type{"key": sqltypes.Bytea, "offset": sqltypes.Varchar, "partition": sqltypes.Varchar,
		"timestamp": sqltypes.Timestamptz, "header": sqltypes.Bytea, "payload": sqltypes.JSONB, "file": sqltypes.Varchar}
	t, ok := types[inc.Kind]
	if !ok {
		return sqlerr.New(sqlerr.InvalidParameterValue, "there is nothing called %q to include", inc.Kind).At(inc.Pos).
			WithHint("Records have key, offset, partition, timestamp, header and payload.")
	}
	if inc.Kind == "header" && inc.Field == "" {
		t = sqltypes.JSONB // all headers, by name
	}
	if inc.Type != nil {
		var err error
		if t, err = s.typeOf(inc.Type); err != nil {
			return err
		}
	}
	name := inc.As
	if name == "" {
		name = "_rw_" + strings.ToLower(r.Name) + "_" + inc.Kind
		if inc.Field != "" {
			name += "_" + inc.Field
		}
	}
	kind := inc.Kind
	if inc.Field != "" {
		kind += ":" + inc.Field
	}
	return addColumn(r, catalog.Column{Name: name, Type: t, Include: kind}, inc.Pos)
}

// errorPolicies are the values of on_error: what happens to records that do not decode.
var errorPolicies = []string{"quarantine", "skip", "fail"}

// connect reads WITH, FORMAT and ENCODE, asks the connector, and takes over what it promises.
func (s *Session) connect(ctx context.Context, r *catalog.Relation, opts []parser.Option, f *parser.ConnectorFormat, pos int) error {
	c, err := connectorOf(opts, f)
	if err != nil {
		return err
	}
	if c.Name == "" {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"connector\" is missing").At(pos).
			WithHint("WITH (connector = 'kafka', …)")
	}
	if v, ok := c.Options["on_error"]; ok && !slices.Contains(errorPolicies, v) {
		return sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for option \"on_error\": %q", v).At(pos).
			WithHint("Records that do not decode can be kept aside (quarantine), left out (skip) or end the job (fail).")
	}
	r.Connector = c
	facts, err := s.m.Engine.DescribeSource(ctx, r)
	if err != nil {
		return err
	}
	if facts.Columns != nil {
		r.Columns, r.NextColumnID = facts.Columns, int32(len(facts.Columns))
		for i := range r.Columns {
			r.Columns[i].ID = int32(i + 1)
		}
	}
	r.UniqueKeys = facts.UniqueKeys
	for _, v := range facts.Variants {
		r.Variants = append(r.Variants, catalog.Variant(v))
	}
	if r.Kind == catalog.Source {
		r.AppendOnly = facts.AppendOnly
	}
	if facts.Upsert && len(r.PrimaryKey) == 0 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "FORMAT %s needs a primary key", c.Format).At(pos).
			WithHint("CREATE TABLE %s (…, PRIMARY KEY (…)) WITH (…)", r.Name)
	}
	return nil
}

// connectorOf reads the options of a connector.
func connectorOf(opts []parser.Option, f *parser.ConnectorFormat) (*catalog.Connector, error) {
	c := &catalog.Connector{Options: map[string]string{}, FormatOptions: map[string]string{}}
	put := func(m map[string]string, o parser.Option) error {
		v, ok := o.Text()
		if !ok {
			return sqlerr.New(sqlerr.InvalidParameterValue, "option %q needs a value", o.Name).At(o.Pos)
		}
		if _, dup := m[o.Name]; dup {
			return sqlerr.New(sqlerr.SyntaxError, "option %q is given twice", o.Name).At(o.Pos)
		}
		m[o.Name] = v
		return nil
	}
	for _, o := range opts {
		if err := put(c.Options, o); err != nil {
			return nil, err
		}
	}
	c.Name = strings.ToLower(c.Options["connector"])
	delete(c.Options, "connector")
	if f != nil {
		c.Format, c.Encode = f.Format, f.Encode
		for _, o := range f.Options {
			if err := put(c.FormatOptions, o); err != nil {
				return nil, err
			}
		}
		if f.KeyEncode != "" {
			c.FormatOptions["key.encode"] = f.KeyEncode
		}
	}
	return c, nil
}

// createSource runs CREATE SOURCE.
func (s *Session) createSource(ctx context.Context, x *parser.CreateSourceStmt) error {
	snap := s.snapshot()
	r, err := s.newRelation(snap, x.Name, catalog.Source, x.Text)
	if err != nil {
		return err
	}
	if skip, err := s.exists(snap, r, x.IfNotExists); skip || err != nil {
		return err
	}
	if err := s.tableElements(r, &x.TableElements, x.Includes); err != nil {
		return err
	}
	if err := s.connect(ctx, r, x.Options, x.Format, x.Pos); err != nil {
		return err
	}
	if len(r.Columns) == 0 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "source %q has no columns", r.Name).At(x.Name.Pos)
	}
	if err := s.watermarks(r, x.Watermarks); err != nil {
		return err
	}
	return s.create(ctx, snap, r, nil)
}
