package parser

import (
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
)

func (p *parser) createTable(h createHead) Stmt {
	s := &CreateTableStmt{Temp: h.temp, Unlogged: h.unlogged, OrReplace: h.orReplace}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	untyped := false
	if s.HasElements = p.isPunct("("); s.HasElements {
		untyped = p.tableElements(&s.TableElements)
	}
	for p.tableClause(s) {
	}
	if p.take("as") {
		s.Query = p.query()
		s.NoData = p.withData()
	}
	if untyped && s.Query == nil {
		p.fail()
	}
	if !s.HasElements && s.Query == nil && s.Options == nil && s.Format == nil && s.FromSource.IsZero() {
		p.fail()
	}
	return s
}

// tableClause parses one of the clauses that may follow the list of columns, in any order.
func (p *parser) tableClause(s *CreateTableStmt) bool {
	switch {
	case p.takeWords("append", "only"):
		s.AppendOnly = true
	case p.takeWords("on", "conflict"):
		s.OnConflict = p.conflictPolicy()
	case p.takeWords("on", "commit"):
		s.OnCommit = p.onCommit()
	case p.takeWords("with", "version", "column"):
		s.VersionColumns = p.columnList()
	case p.is("with") && p.peek(1).isPunct("("):
		s.Options = p.withOptions()
	case p.takeWords("without", "oids"):
	case p.is("using") && s.HasElements, p.is("tablespace"):
		p.advance() // how and where PostgreSQL would store the rows
		p.colID()
	case p.is("include"):
		s.Includes = append(s.Includes, p.include())
	case p.is("format"):
		s.Format = p.connectorFormat()
	case p.is("validate"):
		s.Validate = p.validate()
	case p.is("from"):
		p.advance()
		s.FromSource = p.qualifiedName()
		p.expect("table")
		s.ExternalTable = p.stringLit()
	default:
		return false
	}
	return true
}

// validate parses VALIDATE [SECRET name] AS expression.
func (p *parser) validate() *ValidateClause {
	c := &ValidateClause{Loc: p.loc()}
	p.advance()
	if p.take("secret") {
		c.Secret = p.qualifiedName()
	}
	p.expect("as")
	c.Expr = p.expr()
	return c
}

// conflictPolicy parses what follows ON CONFLICT of a table.
func (p *parser) conflictPolicy() string {
	switch {
	case p.take("overwrite"), p.takeWords("do", "update", "full"):
		return "OVERWRITE"
	case p.take("ignore"), p.takeWords("do", "nothing"):
		return "IGNORE"
	}
	p.expect("do", "update", "if", "not", "null")
	return "DO UPDATE IF NOT NULL"
}

func (p *parser) onCommit() string {
	switch {
	case p.take("drop"):
		return "DROP"
	case p.takeWords("delete", "rows"):
		return "DELETE ROWS"
	}
	p.expect("preserve", "rows")
	return "PRESERVE ROWS"
}

func (p *parser) createSource(h createHead) Stmt {
	s := &CreateSourceStmt{Temp: h.temp, OrReplace: h.orReplace}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	if s.HasElements = p.isPunct("("); s.HasElements {
		if untyped := p.tableElements(&s.TableElements); untyped {
			p.fail()
		}
	}
	for {
		switch {
		case p.is("include"):
			s.Includes = append(s.Includes, p.include())
		case p.is("with") && p.peek(1).isPunct("("):
			s.Options = p.withOptions()
		case p.is("format"):
			s.Format = p.connectorFormat()
		default:
			return s
		}
	}
}

func (p *parser) createSink(h createHead) Stmt {
	s := &CreateSinkStmt{OrReplace: h.orReplace}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	if p.take("into") {
		s.Into = p.qualifiedName()
		s.IntoColumns = p.optColumnList()
	}
	if p.take("from") {
		s.From = p.qualifiedName()
	} else {
		p.expect("as")
		s.Query = p.query()
	}
	s.EmitAt = p.loc()
	s.EmitOnWindowClose = p.emitOnWindowClose()
	s.Options = p.withOptions()
	if p.is("format") {
		s.Format = p.connectorFormat()
	}
	return s
}

// include parses INCLUDE kind ['field' [type]] [AS name].
func (p *parser) include() IncludeClause {
	c := IncludeClause{Loc: p.loc()}
	p.advance()
	c.Kind = p.label().Name
	if p.cur().kind == tokString {
		c.Field = p.stringLit()
		if !p.is("as") && !p.isAny("include", "with", "format") && p.cur().kind != tokEOF && !p.isPunct(";") {
			c.Type = p.typeName()
		}
	}
	if p.take("as") {
		c.As = p.colID().Name
	}
	return c
}

// connectorFormat parses FORMAT x ENCODE y [(…)] [KEY ENCODE z [(…)]].
func (p *parser) connectorFormat() *ConnectorFormat {
	f := &ConnectorFormat{Loc: p.loc()}
	p.advance()
	f.Format = upper(p.label().Name)
	p.expect("encode")
	f.Encode = upper(p.label().Name)
	if p.isPunct("(") {
		f.Options = p.options()
	}
	if p.takeWords("key", "encode") {
		f.KeyEncode = upper(p.label().Name)
		if p.isPunct("(") {
			f.KeyOptions = p.options()
		}
	}
	return f
}

// tableElements parses the parenthesised list. It says whether the list is one of names without types,
// which only CREATE TABLE … AS may have.
func (p *parser) tableElements(e *TableElements) (untyped bool) {
	p.parens(func() {
		if p.isPunct(")") {
			return
		}
		if after := p.peek(1); p.isColID() && (after.isPunct(",") || after.isPunct(")")) {
			untyped = true
			for _, id := range p.nameList() {
				e.Columns = append(e.Columns, ColumnDef{Loc: id.Loc, Name: id.Name})
			}
			return
		}
		p.list(func() { p.tableElement(e) })
	})
	return untyped
}

func (p *parser) tableElement(e *TableElements) {
	switch {
	case p.isOp("*"):
		if e.Star {
			p.fail()
		}
		p.advance()
		e.Star, e.StarAt = true, len(e.Columns)
	case p.is("like"):
		e.Likes = append(e.Likes, p.likeClause())
	case p.isWords("watermark", "for"):
		e.Watermarks = append(e.Watermarks, p.watermark())
	case p.isAny("constraint", "primary", "unique", "check", "foreign"):
		e.Constraints = append(e.Constraints, p.tableConstraint())
	default:
		e.Columns = append(e.Columns, p.columnDef())
	}
}

func (p *parser) watermark() Watermark {
	w := Watermark{Loc: p.loc()}
	p.expect("watermark", "for")
	w.Column = p.colID()
	p.expect("as")
	w.Expr = p.expr()
	w.TTL = p.takeWords("with", "ttl")
	return w
}

func (p *parser) likeClause() LikeClause {
	l := LikeClause{Loc: p.loc()}
	p.advance()
	l.Table = p.qualifiedName()
	for {
		how := p.takeAny("including", "excluding")
		if how == "" {
			return l
		}
		what := p.takeAny("comments", "compression", "constraints", "defaults", "identity", "generated", "indexes", "statistics", "storage", "all")
		if what == "" {
			p.fail()
		}
		l.Options = append(l.Options, upper(how+" "+what))
	}
}

// columnDef parses name type constraints.
func (p *parser) columnDef() ColumnDef {
	id := p.colID()
	c := ColumnDef{Loc: id.Loc, Name: id.Name, Type: p.typeName()}
	for p.columnConstraint(&c) {
	}
	for i := range c.Constraints {
		c.Constraints[i].Attributes = nil // they mean nothing here: constraints are checked at once
	}
	return c
}

// columnConstraint parses one constraint, or COLLATE, into c; false if none stands here.
func (p *parser) columnConstraint(c *ColumnDef) bool {
	if p.is("collate") {
		c.Collation = p.optCollate()
		return true
	}
	con := ColumnConstraint{Loc: p.loc()}
	named := p.take("constraint")
	if named {
		con.Name = p.colID().Name
	}
	switch {
	case p.is("not") && !p.isWords("not", "deferrable"):
		p.expect("not", "null")
		con.Kind = ConNotNull
	case p.take("null"):
		con.Kind = ConNull
	case p.take("default"):
		con.Kind = ConDefault
		con.Expr = p.restrictedExpr()
	case p.take("check"):
		con.Kind = ConCheck
		p.parens(func() { con.Expr = p.expr() })
	case p.take("unique"):
		con.Kind = ConUnique
		con.NullsNotDistinct = p.nullsDistinct()
		p.indexParameters()
	case p.take("primary"):
		p.expect("key")
		con.Kind = ConPrimaryKey
		p.indexParameters()
	case p.is("references"):
		con.Kind = ConForeignKey
		con.Ref = p.reference()
	case p.take("generated"):
		p.generated(&con)
	case p.take("as"):
		con.Kind, con.Always = ConGenerated, true
		con.Expr = p.expr()
	default:
		if named {
			p.fail()
		}
		return false
	}
	con.Attributes = p.constraintAttributes()
	c.Constraints = append(c.Constraints, con)
	return true
}

// generated parses ALWAYS AS (expr) [STORED], or ALWAYS|BY DEFAULT AS IDENTITY [(options)].
func (p *parser) generated(con *ColumnConstraint) {
	at := p.pos()
	if con.Always = p.take("always"); !con.Always {
		p.expect("by", "default")
	}
	p.expect("as")
	if p.take("identity") {
		con.Kind = ConIdentity
		if p.isPunct("(") {
			p.parens(func() { con.Sequence = p.sequenceOptions() })
			if con.Sequence == nil {
				p.fail()
			}
		}
		return
	}
	con.Kind = ConGenerated
	p.parens(func() { con.Expr = p.expr() })
	con.Stored = p.take("stored")
	if !con.Always {
		p.errorAt(sqlerr.SyntaxError, at, "for a generated column, GENERATED ALWAYS must be specified")
	}
}

// indexParameters skips what a key's constraint may say of how PostgreSQL would store its index.
func (p *parser) indexParameters() {
	p.withOptions()
	if p.takeWords("using", "index", "tablespace") {
		p.colID()
	}
}

// constraintAttributes parses when a constraint is checked, and whether it is inherited.
func (p *parser) constraintAttributes() []string {
	var out []string
next:
	for {
		for _, words := range [][]string{{"not", "deferrable"}, {"deferrable"}, {"initially", "deferred"}, {"initially", "immediate"}, {"no", "inherit"}} {
			if p.takeWords(words...) {
				out = append(out, upper(strings.Join(words, " ")))
				continue next
			}
		}
		return out
	}
}

// reference parses REFERENCES table [(columns)] [MATCH …] [ON DELETE|UPDATE action].
func (p *parser) reference() *Reference {
	r := &Reference{Loc: p.loc()}
	p.expect("references")
	r.Table = p.qualifiedName()
	r.Columns = p.optColumnList()
	if p.take("match") {
		if r.Match = upper(p.takeAny("full", "partial", "simple")); r.Match == "" {
			p.fail()
		}
	}
	for p.is("on") {
		p.advance()
		switch {
		case p.take("delete"):
			r.OnDelete = p.referenceAction()
		case p.take("update"):
			r.OnUpdate = p.referenceAction()
		default:
			p.fail()
		}
	}
	return r
}

func (p *parser) referenceAction() string {
	for _, words := range [][]string{{"no", "action"}, {"restrict"}, {"cascade"}, {"set", "null"}, {"set", "default"}} {
		if p.takeWords(words...) {
			return upper(strings.Join(words, " "))
		}
	}
	p.fail()
	return ""
}

func (p *parser) tableConstraint() TableConstraint {
	c := TableConstraint{Loc: p.loc()}
	if p.take("constraint") {
		c.Name = p.colID().Name
	}
	switch {
	case p.takeWords("primary", "key"):
		c.Kind = ConPrimaryKey
		c.Columns = p.columnList()
		p.indexParameters()
	case p.take("unique"):
		c.Kind = ConUnique
		c.NullsNotDistinct = p.nullsDistinct()
		c.Columns = p.columnList()
		p.indexParameters()
	case p.take("check"):
		c.Kind = ConCheck
		p.parens(func() { c.Expr = p.expr() })
	default:
		p.expect("foreign", "key")
		c.Kind = ConForeignKey
		c.Columns = p.columnList()
		c.Ref = p.reference()
	}
	p.constraintAttributes()
	return c
}
