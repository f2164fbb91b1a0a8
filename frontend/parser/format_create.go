package parser

import "strings"

// createStmt writes the CREATE statements; false if s is another.
func (f *formatter) createStmt(s Stmt) bool {
	switch s := s.(type) {
	case *CreateTableStmt:
		f.createTable(s)
	case *CreateSourceStmt:
		f.createSource(s)
	case *CreateViewStmt:
		f.createView(s)
	case *CreateMatViewStmt:
		f.createMatView(s)
	case *CreateSinkStmt:
		f.createSink(s)
	case *CreateIndexStmt:
		f.createIndex(s)
	case *CreateFunctionStmt:
		f.createFunction(s)
	default:
		return f.createSmall(s)
	}
	return true
}

func (f *formatter) createSmall(s Stmt) bool {
	switch s := s.(type) {
	case *CreateSchemaStmt:
		f.create("SCHEMA", s.IfNotExists, s.Name)
		if s.Owner != "" {
			f.addIf(!s.Name.IsZero(), " ")
			f.add("AUTHORIZATION ")
			f.ident(s.Owner)
		}
	case *CreateDatabaseStmt:
		f.createDatabase(s)
	case *CreateRoleStmt:
		f.create(string(s.Kind), s.IfNotExists, Name{Parts: []string{s.Name.Name}})
		f.roleOptions(s.Options)
	case *CreateSecretStmt:
		f.create("SECRET", s.IfNotExists, s.Name)
		f.withOptions(s.Options)
		f.add(" AS ")
		f.string(s.Value)
	case *CreateConnectionStmt:
		f.create("CONNECTION", s.IfNotExists, s.Name)
		f.withOptions(s.Options)
	case *CreateSubscriptionStmt:
		f.create("SUBSCRIPTION", s.IfNotExists, s.Name)
		f.add(" FROM ")
		f.name(s.From)
		f.withOptions(s.Options)
	case *CreateTypeStmt:
		f.createType(s)
	case *CreateDomainStmt:
		f.create("DOMAIN", false, s.Name)
		f.add(" AS ")
		f.typeName(s.Type)
		f.collation(s.Collation)
		for i := range s.Constraints {
			f.add(" ")
			f.columnConstraint(&s.Constraints[i])
		}
	case *CreateSequenceStmt:
		f.create(temp(s.Temp)+"SEQUENCE", s.IfNotExists, s.Name)
		f.addIf(s.Options != nil, " ")
		f.sequenceOptions(s.Options)
	default:
		return false
	}
	return true
}

func temp(b bool) string {
	if b {
		return "TEMPORARY "
	}
	return ""
}

// create writes CREATE what [IF NOT EXISTS] name.
func (f *formatter) create(what string, ifNotExists bool, name Name) {
	f.add("CREATE ", what, " ")
	f.addIf(ifNotExists, "IF NOT EXISTS ")
	f.name(name)
}

func orReplace(b bool, what string) string {
	if b {
		return "OR REPLACE " + what
	}
	return what
}

func (f *formatter) createTable(s *CreateTableStmt) {
	what := temp(s.Temp)
	if s.Unlogged {
		what = "UNLOGGED "
	}
	f.create(orReplace(s.OrReplace, what+"TABLE"), s.IfNotExists, s.Name)
	if s.HasElements {
		f.tableElements(&s.TableElements)
	}
	f.addIf(s.AppendOnly, " APPEND ONLY")
	f.addIf(s.OnConflict != "", " ON CONFLICT "+s.OnConflict)
	if s.VersionColumns != nil {
		f.add(" WITH VERSION COLUMN")
		f.columns(s.VersionColumns)
	}
	f.includes(s.Includes)
	f.withOptions(s.Options)
	f.connectorFormat(s.Format)
	if v := s.Validate; v != nil {
		f.add(" VALIDATE ")
		if !v.Secret.IsZero() {
			f.add("SECRET ")
			f.name(v.Secret)
			f.add(" ")
		}
		f.add("AS ")
		f.expr(v.Expr)
	}
	if !s.FromSource.IsZero() {
		f.add(" FROM ")
		f.name(s.FromSource)
		f.add(" TABLE ")
		f.string(s.ExternalTable)
	}
	f.addIf(s.OnCommit != "", " ON COMMIT "+s.OnCommit)
	if s.Query != nil {
		f.add(" AS ")
		f.query(s.Query)
		f.addIf(s.NoData, " WITH NO DATA")
	}
}

func (f *formatter) createSource(s *CreateSourceStmt) {
	f.create(orReplace(s.OrReplace, temp(s.Temp)+"SOURCE"), s.IfNotExists, s.Name)
	if s.HasElements {
		f.tableElements(&s.TableElements)
	}
	f.includes(s.Includes)
	f.withOptions(s.Options)
	f.connectorFormat(s.Format)
}

func (f *formatter) tableElements(e *TableElements) {
	n := 0
	next := func() {
		f.addIf(n > 0, ", ")
		n++
	}
	f.add(" (")
	for i := range e.Columns {
		if e.Star && e.StarAt == i {
			next()
			f.add("*")
		}
		next()
		f.columnDef(&e.Columns[i])
	}
	if e.Star && e.StarAt >= len(e.Columns) {
		next()
		f.add("*")
	}
	for _, l := range e.Likes {
		next()
		f.add("LIKE ")
		f.name(l.Table)
		for _, o := range l.Options {
			f.add(" ", o)
		}
	}
	for _, w := range e.Watermarks {
		next()
		f.watermark(&w)
	}
	for i := range e.Constraints {
		next()
		f.tableConstraint(&e.Constraints[i])
	}
	f.add(")")
}

func (f *formatter) watermark(w *Watermark) {
	f.add("WATERMARK FOR ")
	f.ident(w.Column.Name)
	f.add(" AS ")
	f.expr(w.Expr)
	f.addIf(w.TTL, " WITH TTL")
}

func (f *formatter) columnDef(c *ColumnDef) {
	f.ident(c.Name)
	if c.Type == nil {
		return
	}
	f.add(" ")
	f.typeName(c.Type)
	f.collation(c.Collation)
	for i := range c.Constraints {
		f.add(" ")
		f.columnConstraint(&c.Constraints[i])
	}
}

func (f *formatter) constraintName(name string) {
	if name != "" {
		f.add("CONSTRAINT ")
		f.ident(name)
		f.add(" ")
	}
}

func (f *formatter) columnConstraint(c *ColumnConstraint) {
	f.constraintName(c.Name)
	switch c.Kind {
	case ConNotNull:
		f.add("NOT NULL")
	case ConNull:
		f.add("NULL")
	case ConDefault:
		f.add("DEFAULT ")
		f.restricted(c.Expr)
	case ConCheck:
		f.add("CHECK ")
		f.parens(c.Expr)
	case ConUnique:
		f.add("UNIQUE")
		f.addIf(c.NullsNotDistinct, " NULLS NOT DISTINCT")
	case ConPrimaryKey:
		f.add("PRIMARY KEY")
	case ConGenerated:
		f.add("GENERATED ALWAYS AS ")
		f.parens(c.Expr)
		f.addIf(c.Stored, " STORED")
	case ConIdentity:
		f.identity(c)
	case ConForeignKey:
		f.reference(c.Ref)
	}
	for _, a := range c.Attributes {
		f.add(" ", a)
	}
}

func (f *formatter) identity(c *ColumnConstraint) {
	if c.Always {
		f.add("GENERATED ALWAYS AS IDENTITY")
	} else {
		f.add("GENERATED BY DEFAULT AS IDENTITY")
	}
	if c.Sequence != nil {
		f.add(" (")
		f.sequenceOptions(c.Sequence)
		f.add(")")
	}
}

func (f *formatter) tableConstraint(c *TableConstraint) {
	f.constraintName(c.Name)
	switch c.Kind {
	case ConPrimaryKey:
		f.add("PRIMARY KEY")
		f.columns(c.Columns)
	case ConUnique:
		f.add("UNIQUE")
		f.addIf(c.NullsNotDistinct, " NULLS NOT DISTINCT")
		f.columns(c.Columns)
	case ConCheck:
		f.add("CHECK ")
		f.parens(c.Expr)
	case ConForeignKey:
		f.add("FOREIGN KEY")
		f.columns(c.Columns)
		f.add(" ")
		f.reference(c.Ref)
	}
	f.addIf(c.NotValid, " NOT VALID")
}

func (f *formatter) reference(r *Reference) {
	f.add("REFERENCES ")
	f.name(r.Table)
	f.columns(r.Columns)
	f.addIf(r.Match != "", " MATCH "+r.Match)
	f.addIf(r.OnDelete != "", " ON DELETE "+r.OnDelete)
	f.addIf(r.OnUpdate != "", " ON UPDATE "+r.OnUpdate)
}

func (f *formatter) includes(list []IncludeClause) {
	for _, c := range list {
		f.add(" INCLUDE ")
		f.ident(c.Kind)
		if c.Field != "" {
			f.add(" ")
			f.string(c.Field)
		}
		if c.Type != nil {
			f.add(" ")
			f.typeName(c.Type)
		}
		if c.As != "" {
			f.add(" AS ")
			f.ident(c.As)
		}
	}
}

func (f *formatter) connectorFormat(c *ConnectorFormat) {
	if c == nil {
		return
	}
	f.add(" FORMAT ", label(c.Format), " ENCODE ", label(c.Encode))
	if c.Options != nil {
		f.add(" ")
		f.optionList(c.Options, " = ")
	}
	if c.KeyEncode != "" {
		f.add(" KEY ENCODE ", label(c.KeyEncode))
		if c.KeyOptions != nil {
			f.add(" ")
			f.optionList(c.KeyOptions, " = ")
		}
	}
}

// label writes an upper-case word, quoted if it is no plain word.
func label(word string) string {
	if plainIdent(strings.ToLower(word)) {
		return word
	}
	return `"` + strings.ReplaceAll(word, `"`, `""`) + `"`
}

func (f *formatter) createView(s *CreateViewStmt) {
	what := temp(s.Temp)
	if s.Recursive {
		what += "RECURSIVE "
	}
	f.create(orReplace(s.OrReplace, what+"VIEW"), s.IfNotExists, s.Name)
	f.columns(s.Columns)
	f.withOptions(s.Options)
	f.add(" AS ")
	f.query(s.Query)
	f.addIf(s.CheckOption != "", " WITH "+s.CheckOption+" CHECK OPTION")
}

func (f *formatter) createMatView(s *CreateMatViewStmt) {
	f.create(orReplace(s.OrReplace, "MATERIALIZED VIEW"), s.IfNotExists, s.Name)
	f.columns(s.Columns)
	f.withOptions(s.Options)
	f.add(" AS ")
	f.query(s.Query)
	f.addIf(s.EmitOnWindowClose, " EMIT ON WINDOW CLOSE")
	f.addIf(s.NoData, " WITH NO DATA")
}

func (f *formatter) createSink(s *CreateSinkStmt) {
	f.create(orReplace(s.OrReplace, "SINK"), s.IfNotExists, s.Name)
	if !s.Into.IsZero() {
		f.add(" INTO ")
		f.name(s.Into)
		f.columns(s.IntoColumns)
	}
	if s.Query != nil {
		f.add(" AS ")
		f.query(s.Query)
	} else {
		f.add(" FROM ")
		f.name(s.From)
	}
	f.addIf(s.EmitOnWindowClose, " EMIT ON WINDOW CLOSE")
	f.withOptions(s.Options)
	f.connectorFormat(s.Format)
}

func (f *formatter) createIndex(s *CreateIndexStmt) {
	f.add("CREATE ")
	f.addIf(s.Unique, "UNIQUE ")
	f.add("INDEX ")
	f.addIf(s.Concurrently, "CONCURRENTLY ")
	f.addIf(s.IfNotExists, "IF NOT EXISTS ")
	if !s.Name.IsZero() {
		f.name(s.Name)
		f.add(" ")
	}
	f.add("ON ")
	f.name(s.Table)
	if s.Method != "" {
		f.add(" USING ")
		f.ident(s.Method)
	}
	f.add(" (")
	f.indexElems(s.Elems)
	f.add(")")
	if s.Include != nil {
		f.add(" INCLUDE")
		f.columns(s.Include)
	}
	if s.DistributedBy != nil {
		f.add(" DISTRIBUTED BY (")
		f.exprs(s.DistributedBy)
		f.add(")")
	}
	f.addIf(s.NullsNotDistinct, " NULLS NOT DISTINCT")
	f.withOptions(s.Options)
	f.where(" WHERE ", s.Where)
}

func (f *formatter) createDatabase(s *CreateDatabaseStmt) {
	f.create("DATABASE", s.IfNotExists, s.Name)
	f.addIf(len(s.Options) > 0, " WITH")
	for _, o := range s.Options {
		f.add(" ", databaseOption(o.Name), " = ")
		if o.Value == nil {
			f.add("DEFAULT")
		} else {
			f.optionValue(o)
		}
	}
}

// databaseOption quotes the name of an option unless the grammar takes it as a word.
func databaseOption(name string) string {
	switch name {
	case "connection_limit":
		return "CONNECTION LIMIT"
	case "connection", "encoding", "location", "owner", "tablespace", "template":
		return name
	}
	if plainIdent(name) && keywords[name].cat == catNone {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func (f *formatter) createType(s *CreateTypeStmt) {
	f.create("TYPE", false, s.Name)
	if s.Enum {
		f.add(" AS ENUM (")
		f.commas(len(s.Labels), func(i int) { f.string(s.Labels[i]) })
	} else {
		f.add(" AS (")
		f.fields(s.Fields)
	}
	f.add(")")
}

func (f *formatter) createFunction(s *CreateFunctionStmt) {
	f.create(orReplace(s.OrReplace, temp(s.Temp)+string(s.Kind)), s.IfNotExists, s.Name)
	f.params(s.Params)
	switch {
	case s.Returns != nil:
		f.add(" RETURNS ")
		f.typeName(s.Returns)
	case s.ReturnsTable != nil:
		f.add(" RETURNS TABLE ")
		f.params(s.ReturnsTable)
	}
	if s.Language != "" {
		f.add(" LANGUAGE ")
		f.ident(s.Language)
	}
	f.functionProperties(s)
	f.functionBody(s)
}

func (f *formatter) functionProperties(s *CreateFunctionStmt) {
	f.addIf(s.Volatility != "", " "+s.Volatility)
	if s.Strict != nil {
		if *s.Strict {
			f.add(" STRICT")
		} else {
			f.add(" CALLED ON NULL INPUT")
		}
	}
	for _, a := range s.Attributes {
		f.add(" ", a)
	}
}

func (f *formatter) functionBody(s *CreateFunctionStmt) {
	if s.Body != nil {
		f.add(" AS ")
		f.string(*s.Body)
		if s.LinkObj != nil {
			f.add(", ")
			f.string(*s.LinkObj)
		}
	}
	f.where(" RETURN ", s.Return)
	if s.Atomic != nil {
		f.add(" BEGIN ATOMIC")
		for _, st := range s.Atomic {
			f.add(" ")
			f.stmt(st)
			f.add(";")
		}
		f.add(" END")
	}
	if s.Link != "" {
		f.add(" USING LINK ")
		f.string(s.Link)
	}
	if s.Runtime != "" {
		f.add(" RUNTIME = ")
		f.string(s.Runtime)
	}
	f.withOptions(s.Options)
}
