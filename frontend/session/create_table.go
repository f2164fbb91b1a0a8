package session

import (
	"context"
	"fmt"
	"maps"
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
	if captured, err := s.isCaptured(x); captured || err != nil {
		if err == nil {
			err = s.createCaptured(ctx, snap, r, x)
		}
		return "CREATE TABLE", err
	}
	parts, options := &tableParts{}, x.Options
	if x.Format == nil && onlyStorageParameters(options) {
		options = nil
	}
	if len(options) > 0 {
		if parts.described, err = s.describeRecords(ctx, r, options, x.Format, x.Pos); err != nil {
			return "", err
		}
	}
	if err := s.tableElements(r, &x.TableElements, x.Includes, parts); err != nil {
		return "", err
	}
	r.OnConflict = strings.ToLower(x.OnConflict)
	if strings.HasPrefix(r.OnConflict, "do ") {
		r.OnConflict = map[string]string{"do nothing": "ignore"}[r.OnConflict]
	}
	r.AppendOnly = x.AppendOnly
	if len(options) > 0 {
		if err := s.connect(ctx, r, x.Pos); err != nil {
			return "", err
		}
	}
	if err := s.webhook(r, x); err != nil {
		return "", err
	}
	if len(r.Columns) == 0 && r.Connector != nil {
		return "", sqlerr.New(sqlerr.InvalidTableDefinition, "table %q has no columns", r.Name).At(x.Name.Pos)
	}
	if err := s.watermarks(r, x.Watermarks); err != nil {
		return "", err
	}
	return "CREATE TABLE", s.createTableJob(ctx, snap, r, parts)
}

func (s *Session) createTableJob(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, parts *tableParts) error {
	if r.Connector != nil {
		r.UniqueKeys = nil // rows may be changed by DML
	}
	return s.createWith(ctx, snap, r, parts, func(catalog.ID) (int, error) { return s.setTableJob(r) })
}

// createTableAs runs CREATE TABLE … AS: the table, then an INSERT of the query's rows.
func (s *Session) createTableAs(ctx context.Context, snap *catalog.Snapshot, r *catalog.Relation, x *parser.CreateTableStmt) (string, error) {
	env := s.env(nil)
	q, err := bind.Query(env, x.Query)
	if err != nil {
		return "", err
	}
	if err := s.mayAccess(env.Access); err != nil {
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
	if err := s.createTableJob(ctx, snap, r, &tableParts{}); err != nil {
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
		res, err := s.m.Engine.Insert(ctx, txn, ins, s.queryOf(bound{runs: env.Runs}))
		if err != nil {
			return 0, err
		}
		return res.Count, nil
	})
	if s.staging() {
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
func (s *Session) tableElements(r *catalog.Relation, t *parser.TableElements, includes []parser.IncludeClause, parts *tableParts) error {
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
		if t.Star && t.StarAt == i {
			if err := describedColumns(r, t, parts); err != nil {
				return err
			}
		}
		if err := s.columnDef(r, &t.Columns[i], parts); err != nil {
			return err
		}
	}
	if t.Star && t.StarAt == len(t.Columns) || len(t.Columns) == 0 && len(t.Likes) == 0 {
		if err := describedColumns(r, t, parts); err != nil {
			return err
		}
	}
	for _, inc := range includes {
		if err := s.includeColumn(r, inc, parts); err != nil {
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
			if err := setPrimaryKey(r, c.Name, cols, c.Pos); err != nil {
				return err
			}
		case parser.ConForeignKey:
			if err := s.addForeign(r, c.Name, c.Columns, c.Ref, parts); err != nil {
				return err
			}
		case parser.ConUnique:
			if err := s.addUnique(r, c.Name, c.Columns, c.NullsNotDistinct, parts, c.Pos); err != nil {
				return err
			}
		}
	}
	if err := describedKey(r, t, parts); err != nil {
		return err
	}
	// Checks may name any column.
	for i := range t.Columns {
		for _, con := range t.Columns[i].Constraints {
			if con.Kind == parser.ConCheck {
				if err := s.addCheck(r, con.Name, con.Expr, t.Columns[i].Name, parts, con.Pos); err != nil {
					return err
				}
			}
		}
	}
	for _, c := range t.Constraints {
		if c.Kind == parser.ConCheck {
			if err := s.addCheck(r, c.Name, c.Expr, "", parts, c.Pos); err != nil {
				return err
			}
		}
	}
	return s.checkDefaults(r, t, parts)
}

// describedColumns adds the columns that the records have of themselves; one that is declared goes before.
func describedColumns(r *catalog.Relation, t *parser.TableElements, parts *tableParts) error {
	for _, c := range parts.described.Columns {
		if slices.ContainsFunc(t.Columns, func(d parser.ColumnDef) bool { return d.Name == c.Name }) {
			continue
		}
		if err := addColumn(r, c, -1); err != nil {
			return err
		}
	}
	return nil
}

// describedKey makes the key of the records the primary key of a table that takes their columns and declares none.
func describedKey(r *catalog.Relation, t *parser.TableElements, parts *tableParts) error {
	if r.Kind != catalog.Table || len(r.PrimaryKey) > 0 || len(parts.described.Key) == 0 || len(t.Columns) > 0 && !t.Star {
		return nil
	}
	var cols []int
	for _, name := range parts.described.Key {
		k, ok := r.Column(name)
		if !ok {
			return nil
		}
		cols = append(cols, k)
	}
	return setPrimaryKey(r, "", cols, -1)
}

func setPrimaryKey(r *catalog.Relation, name string, cols []int, pos int) error {
	if len(r.PrimaryKey) > 0 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "multiple primary keys for table %q are not allowed", r.Name).At(pos)
	}
	for _, c := range cols {
		r.Columns[c].NotNull = true
		if t := r.Columns[c].Type; t.Kind == sqltypes.KJSON {
			return noOperatorClass(t, pos)
		}
	}
	r.PrimaryKey = cols
	if r.PrimaryKeyName = name; name == "" {
		r.PrimaryKeyName = r.Name + "_pkey"
	}
	return nil
}

func (s *Session) columnDef(r *catalog.Relation, d *parser.ColumnDef, parts *tableParts) error {
	if d.Type == nil {
		return sqlerr.New(sqlerr.SyntaxError, "column %q has no type", d.Name).At(d.Pos)
	}
	t, serial := serialTypes[d.Type.Name.Last()]
	if serial = serial && d.Type.Name.Schema() == ""; !serial {
		var err error
		if t, err = s.typeOf(d.Type); err != nil {
			return err
		}
	} else if len(d.Type.Dims) > 0 {
		return sqlerr.New(sqlerr.FeatureNotSupported, "array of serial is not implemented").At(d.Type.Pos)
	}
	if t.MadeOfDomains() && (r.Kind != catalog.Table || r.Connector != nil || r.Captured != nil) {
		return sqlerr.New(sqlerr.FeatureNotSupported, "column %q of %s %q cannot have type %s: nothing tests the values that come from outside", d.Name, r.Kind, r.Name, t).
			WithHint("Use the domain's base type, and convert to the domain in a view.").At(d.Type.Pos)
	}
	c := catalog.Column{Name: d.Name, Type: t}
	primary, primaryName := -1, ""
	if serial {
		if err := s.serial(r, &c, nil, parts); err != nil {
			return err
		}
	}
	conflict := func(first, second string) error {
		return sqlerr.New(sqlerr.SyntaxError, "both %s and %s specified for column %q of table %q", first, second, d.Name, r.Name).At(d.Pos)
	}
	var later []func() error // what needs the column to be there
	self := []parser.Ident{{Loc: d.Loc, Name: d.Name}}
	for _, con := range d.Constraints {
		switch con.Kind {
		case parser.ConNotNull:
			c.NotNull = true
		case parser.ConNull:
			if c.NotNull {
				return sqlerr.New(sqlerr.SyntaxError, "conflicting NULL/NOT NULL declarations for column %q of table %q", d.Name, r.Name).At(con.Pos)
			}
		case parser.ConDefault:
			switch {
			case c.Identity != "":
				return conflict("default", "identity")
			case c.Generated != "":
				return conflict("default", "generation expression")
			case c.Default != "":
				return sqlerr.New(sqlerr.SyntaxError, "multiple default values specified for column %q of table %q", d.Name, r.Name).At(con.Pos)
			}
			text, err := s.storedDefault(r, con.Expr)
			if err != nil {
				return err
			}
			c.Default = text
		case parser.ConGenerated:
			if c.Default != "" {
				return conflict("default", "generation expression")
			}
			c.Generated = parser.Format(con.Expr)
		case parser.ConIdentity:
			switch {
			case c.Identity != "":
				return sqlerr.New(sqlerr.SyntaxError, "multiple identity specifications for column %q of table %q", d.Name, r.Name).At(con.Pos)
			case c.Default != "":
				return conflict("default", "identity")
			case !t.IsInteger():
				return sqlerr.New(sqlerr.InvalidParameterValue, "identity column type must be smallint, integer, or bigint")
			}
			if c.Identity = "d"; con.Always {
				c.Identity = "a"
			}
			if err := s.serial(r, &c, con.Sequence, parts); err != nil {
				return err
			}
		case parser.ConPrimaryKey:
			primary, primaryName = con.Pos, con.Name
		case parser.ConForeignKey:
			later = append(later, func() error { return s.addForeign(r, con.Name, self, con.Ref, parts) })
		case parser.ConUnique:
			later = append(later, func() error { return s.addUnique(r, con.Name, self, con.NullsNotDistinct, parts, con.Pos) })
		}
	}
	if err := addColumn(r, c, d.Pos); err != nil {
		return err
	}
	if primary >= 0 {
		if err := setPrimaryKey(r, primaryName, []int{len(r.Columns) - 1}, primary); err != nil {
			return err
		}
	}
	for _, add := range later {
		if err := add(); err != nil {
			return err
		}
	}
	return nil
}

// checkDefaults binds defaults and generated columns, so that a bad one fails at CREATE.
func (s *Session) checkDefaults(r *catalog.Relation, t *parser.TableElements, parts *tableParts) error {
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
		if text == "" || slices.ContainsFunc(parts.seqs, func(q *catalog.Relation) bool { return text == nextvalOf(q) }) {
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
func (s *Session) includeColumn(r *catalog.Relation, inc parser.IncludeClause, parts *tableParts) error {
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
	if d, ok := parts.described.Included[inc.Kind]; ok {
		t = d
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

// describeRecords reads WITH, FORMAT and ENCODE, and asks the connector what it knows of the records.
func (s *Session) describeRecords(ctx context.Context, r *catalog.Relation, opts []parser.Option, f *parser.ConnectorFormat, pos int) (d engine.Description, err error) {
	c, err := s.connectorOf(opts, f)
	if err != nil {
		return d, err
	}
	if err := setRates(r, opts); err != nil {
		return d, err
	}
	if c.Name == "" {
		if err := unknownParameter(opts); err != nil && r.Kind == catalog.Table && f == nil {
			return d, sqlerr.From(err).WithHint("A table that is fed from outside names its connector: WITH (connector = 'kafka', …)")
		}
		return d, sqlerr.New(sqlerr.InvalidParameterValue, "option \"connector\" is missing").At(pos).
			WithHint("WITH (connector = 'kafka', …)")
	}
	if v, ok := c.Options["on_error"]; ok && !slices.Contains(errorPolicies, v) {
		return d, sqlerr.New(sqlerr.InvalidParameterValue, "invalid value for option \"on_error\": %q", v).At(pos).
			WithHint("Records that do not decode can be kept aside (quarantine), left out (skip) or end the job (fail).")
	}
	r.Connector = c
	if d, err = s.m.Engine.DescribeRecords(ctx, r); err != nil {
		return d, err
	}
	maps.Copy(c.FormatOptions, d.FormatOptions)
	return d, nil
}

// connect asks the connector about the relation, and takes over what it promises.
func (s *Session) connect(ctx context.Context, r *catalog.Relation, pos int) error {
	if r.Connector.Name == catalog.WebhookConnector && r.Kind != catalog.Table {
		return sqlerr.New(sqlerr.FeatureNotSupported, "connector %q is for tables", r.Connector.Name).At(pos).WithHint("CREATE TABLE %s (…) WITH (connector = 'webhook')", r.Name)
	}
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
		return sqlerr.New(sqlerr.InvalidTableDefinition, "FORMAT %s needs a primary key", r.Connector.Format).At(pos).
			WithHint("CREATE TABLE %s (…, PRIMARY KEY (…)) WITH (…)", r.Name)
	}
	return nil
}

// connectorOf reads the options of a connector.
func (s *Session) connectorOf(opts []parser.Option, f *parser.ConnectorFormat) (*catalog.Connector, error) {
	c := &catalog.Connector{Options: map[string]string{}, FormatOptions: map[string]string{}, Secrets: map[string]catalog.SecretRef{},
		FormatSecrets: map[string]catalog.SecretRef{}}
	put := func(m map[string]string, secrets map[string]catalog.SecretRef, o parser.Option) error {
		if _, dup := secrets[o.Name]; dup {
			return sqlerr.New(sqlerr.SyntaxError, "option %q is given twice", o.Name).At(o.Pos)
		}
		ref, ok := o.Value.(*parser.SecretRef)
		if _, dup := m[o.Name]; ok && !dup {
			x, err := s.findSecret(s.snapshot(), ref.Name)
			if err == nil {
				if err := s.mayUseSecret(x); err != nil {
					return err
				}
				secrets[o.Name] = catalog.SecretRef{ID: x.ID, File: ref.AsFile}
			}
			return err
		}
		v, ok := o.Text()
		if !ok && ref == nil {
			return sqlerr.New(sqlerr.InvalidParameterValue, "option %q needs a value", o.Name).At(o.Pos)
		}
		if _, dup := m[o.Name]; dup {
			return sqlerr.New(sqlerr.SyntaxError, "option %q is given twice", o.Name).At(o.Pos)
		}
		m[o.Name] = v
		return nil
	}
	for _, o := range opts {
		if err := put(c.Options, c.Secrets, o); err != nil {
			return nil, err
		}
	}
	c.Name = strings.ToLower(c.Options["connector"])
	delete(c.Options, "connector")
	switch conn, err := s.takeConnection(opts, c.Options, c.Secrets); {
	case err != nil:
		return nil, err
	case conn == nil:
	case c.Name != "" && conn.Connector.Name != c.Name:
		return nil, wrongConnection(conn, "connector "+c.Name)
	case conn.Connector.Name == registryType:
		return nil, wrongConnection(conn, "a connector")
	default:
		c.Name, c.Connection = conn.Connector.Name, conn.ID
	}
	if f != nil {
		c.Format, c.Encode = f.Format, f.Encode
		for _, o := range f.Options {
			if err := put(c.FormatOptions, c.FormatSecrets, o); err != nil {
				return nil, err
			}
		}
		switch conn, err := s.takeConnection(f.Options, c.FormatOptions, c.FormatSecrets); {
		case err != nil:
			return nil, err
		case conn == nil:
		case conn.Connector.Name != registryType:
			return nil, wrongConnection(conn, "a format")
		default:
			c.FormatConnection = conn.ID
		}
		if f.KeyEncode != "" {
			c.FormatOptions["key.encode"] = f.KeyEncode
		}
		for _, o := range f.KeyOptions {
			o.Name = "key." + o.Name
			if err := put(c.FormatOptions, c.FormatSecrets, o); err != nil {
				return nil, err
			}
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
	parts := &tableParts{}
	if parts.described, err = s.describeRecords(ctx, r, x.Options, x.Format, x.Pos); err != nil {
		return err
	}
	if err := s.tableElements(r, &x.TableElements, x.Includes, parts); err != nil {
		return err
	}
	if err := s.connect(ctx, r, x.Pos); err != nil {
		return err
	}
	if s.m.Engine.IsCapture(r.Connector.Name) {
		return s.createCapture(ctx, snap, r, x.Pos)
	}
	if len(r.Columns) == 0 {
		return sqlerr.New(sqlerr.InvalidTableDefinition, "source %q has no columns", r.Name).At(x.Name.Pos)
	}
	if err := s.watermarks(r, x.Watermarks); err != nil {
		return err
	}
	return s.create(ctx, snap, r, nil)
}
